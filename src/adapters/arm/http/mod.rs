//! HTTP: [`Request`], [`Response`], [`HttpError`], and the trait [`HttpClient`] that sends a request.
//!
//! What can go wrong on the way (a reset before or after the server has read the request, a time-out, half a body) decides
//! whether a file system may exist. Tests implement [`HttpClient`] to inject each of these on a manual clock; in production
//! it is [`ReqwestClient`](client::ReqwestClient).

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
pub use http::{HeaderMap, Method, StatusCode};
use url::{Host, Url};

use crate::domain::text::error_chain;
use crate::ports::Cause;

pub mod client;
pub mod metrics;
pub(super) mod retry_after;
pub mod stack;

/// A request, complete. Its `Debug` shows neither headers nor query, which hold the token and signatures.
#[derive(Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// URL.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// Body; may be empty.
    pub body: Bytes,
    /// The whole exchange has to be over within this time.
    pub time_limit: Duration,
    /// Longest response body that is accepted, in bytes.
    pub size_limit: usize,
    /// Whether the proxies of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are used. No proxy is used to a loopback address.
    pub proxied: bool,
}

impl Request {
    /// A request without headers and body, limited to 30 s and 16 MiB, through the proxies of the environment.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            time_limit: Duration::from_secs(30),
            size_limit: 16 << 20,
            proxied: true,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url.path())
    }
}

/// A response, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, whole.
    pub body: Bytes,
}

impl Response {
    /// A header's value; of a repeated header the last.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers.get_all(name).iter().next_back().map(|value| String::from_utf8_lossy(value.as_bytes()))
    }
}

/// Why there is no response. None of these says whether the server acted on the request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HttpError {
    /// No connection.
    #[error("no answer: {}", error_chain(&**.0))]
    NotConnected(#[source] Cause),
    /// The connection broke, or nothing could be sent.
    #[error("no answer: {}", error_chain(&**.0))]
    Broken(#[source] Cause),
    /// The time limit passed.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The body is longer than the limit, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

impl HttpError {
    /// The connection broke, for this reason.
    pub fn broken(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Broken(Cause::boxed(cause))
    }
}

/// Sends requests.
#[async_trait]
pub trait HttpClient: Send + Sync + fmt::Debug {
    /// Sends one request and reads the whole response. Never follows redirects, never repeats.
    async fn send(&self, request: Request) -> Result<Response, HttpError>;
}

/// Whether a URL's host is a loopback address of this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
