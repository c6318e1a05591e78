//! [`ReqwestClient`]: HTTP/1.1 over rustls, with the system's trust store and proxy settings.
//!
//! Connections are kept, every exchange ends within its time limit, and no body is longer than its size limit.

use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;

use super::{HttpClient, HttpError, Request, Response, is_loopback};

/// Time to connect to a server: name resolution, TCP, TLS.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Idle connections that are kept, and for how long: a little more than the longest pause between two polls.
const IDLE_CONNECTIONS: usize = 4;
const IDLE_LIMIT: Duration = Duration::from_mins(1);

/// [`HttpClient`] over the network.
#[derive(Debug, Clone)]
pub struct ReqwestClient {
    proxied: reqwest::Client,
    /// For link-local and loopback addresses: no proxy reaches them, and over plain http a proxy would read the token.
    direct: reqwest::Client,
}

impl ReqwestClient {
    /// A client that trusts what the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) and uses the proxies
    /// of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. It follows no redirect: a secret goes to the host that the settings
    /// name, or nowhere. Fails if the system's certificates cannot be read at all.
    pub fn new() -> Result<Self, HttpError> {
        let builder = || {
            reqwest::Client::builder()
                .use_rustls_tls()
                .connect_timeout(CONNECT_LIMIT)
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .pool_idle_timeout(IDLE_LIMIT)
                .redirect(reqwest::redirect::Policy::none())
        };
        let (proxied, direct) = (builder().build(), builder().no_proxy().build());
        Ok(Self { proxied: proxied.map_err(HttpError::broken)?, direct: direct.map_err(HttpError::broken)? })
    }
}

#[async_trait]
impl HttpClient for ReqwestClient {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let Request { method, url, headers, body, time_limit, size_limit, proxied } = request;
        let client = if proxied && !is_loopback(&url) { &self.proxied } else { &self.direct };
        let request = client.request(method, url).headers(headers).timeout(time_limit).body(body);
        let failed = |error: reqwest::Error| http_error(error, time_limit);
        let mut response = request.send().await.map_err(failed)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > size_limit {
                return Err(HttpError::TooLong(size_limit));
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Response { status: response.status(), headers, body: body.freeze() })
    }
}

/// The error without its URL, whose query may be a signature.
fn http_error(error: reqwest::Error, time_limit: Duration) -> HttpError {
    match (error.is_connect(), error.is_timeout()) {
        (false, true) => HttpError::TimedOut(time_limit),
        (true, _) => HttpError::NotConnected(error.without_url().into()),
        (false, false) => HttpError::broken(error.without_url()),
    }
}
