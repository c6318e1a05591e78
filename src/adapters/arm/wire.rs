//! One HTTP exchange: [`Request`], [`Response`], [`WireError`], and the trait [`Wire`] that sends them.
//!
//! What can go wrong on the way (a reset before or after the server has read the request, silence, half a body) decides
//! whether a file system may exist. Tests implement [`Wire`] to inject each of these, on a clock that they turn; in
//! production it is [`HttpWire`](super::http::HttpWire).

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
pub use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::ports::Cause;

/// Whether the proxies that the environment names (`HTTPS_PROXY`, `NO_PROXY`, …) are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Route {
    /// As the environment says; this machine itself is never reached by a proxy.
    #[default]
    Environment,
    /// Never by a proxy.
    Direct,
}

/// A request, complete. Its `Debug` shows neither headers nor query, which hold the token and signatures.
#[derive(Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// Body; may be empty.
    pub body: Bytes,
    /// The whole exchange has to be over within this time.
    pub time_limit: Duration,
    /// Longest body that is accepted, in bytes.
    pub size_limit: usize,
    /// By which way.
    pub route: Route,
}

impl Request {
    /// A request without headers and body, limited to 30 s and 16 MiB.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            time_limit: Duration::from_secs(30),
            size_limit: 16 << 20,
            route: Route::Environment,
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
pub enum WireError {
    /// No connection.
    #[error("no answer: {}", in_words(&**.0))]
    NotConnected(#[source] Cause),
    /// The connection broke, or nothing could be sent.
    #[error("no answer: {}", in_words(&**.0))]
    Broken(#[source] Cause),
    /// The time limit passed.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The body is longer than the limit, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

impl WireError {
    /// The connection broke, for this reason.
    pub fn broken(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Broken(Cause::boxed(cause))
    }
}

/// The whole chain, innermost last: "client error (Connect): dns error: …".
fn in_words(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let mut words: Vec<String> = chain.map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

/// A way to send a request.
#[async_trait]
pub trait Wire: Send + Sync + fmt::Debug {
    /// Sends one request and reads the whole response. Never follows redirects, never repeats.
    async fn exchange(&self, request: Request) -> Result<Response, WireError>;
}
