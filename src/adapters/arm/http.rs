//! [`HttpWire`]: the wire in production, HTTP/1.1 over rustls, with the system's trust store and proxy settings.
//!
//! Connections are kept, every exchange ends within its time limit, and no body is longer than its size limit.

use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;

use super::environment;
use super::wire::{Request, Response, Route, Wire, WireError};

/// Time to reach a server: name resolution, TCP, TLS.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Idle connections that are kept, and for how long: a little more than the longest pause between two polls.
const IDLE_CONNECTIONS: usize = 4;
const IDLE_LIMIT: Duration = Duration::from_mins(1);

/// [`Wire`] over HTTP.
#[derive(Debug, Clone)]
pub struct HttpWire {
    usual: reqwest::Client,
    /// Without proxies. No proxy can reach this very machine; plain http is taken there, and a proxy would read the token.
    direct: reqwest::Client,
}

impl HttpWire {
    /// A client that trusts what the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) and uses the proxies
    /// of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. It follows no redirect: a secret goes to the host that the settings
    /// name, or nowhere. Fails if the system's certificates cannot be read at all.
    pub fn new() -> Result<Self, WireError> {
        let builder = || {
            reqwest::Client::builder()
                .use_rustls_tls()
                .connect_timeout(CONNECT_LIMIT)
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .pool_idle_timeout(IDLE_LIMIT)
                .redirect(reqwest::redirect::Policy::none())
        };
        let (usual, direct) = (builder().build(), builder().no_proxy().build());
        Ok(Self { usual: usual.map_err(WireError::broken)?, direct: direct.map_err(WireError::broken)? })
    }

    async fn send(&self, request: Request) -> Result<Response, WireError> {
        let (time_limit, size_limit) = (request.time_limit, request.size_limit);
        let failed = |error: reqwest::Error| failed(error, time_limit);
        let is_direct = request.route == Route::Direct || environment::is_loopback(&request.url);
        let client = if is_direct { &self.direct } else { &self.usual };
        let builder = client.request(request.method, request.url).headers(request.headers);
        let mut response = builder.timeout(time_limit).body(request.body).send().await.map_err(failed)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > size_limit {
                return Err(WireError::TooLong(size_limit));
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Response { status: response.status(), headers, body: body.freeze() })
    }
}

#[async_trait]
impl Wire for HttpWire {
    async fn exchange(&self, request: Request) -> Result<Response, WireError> {
        self.send(request).await
    }
}

/// The error without its URL, whose query may be a signature.
fn failed(error: reqwest::Error, time_limit: Duration) -> WireError {
    match (error.is_connect(), error.is_timeout()) {
        (false, true) => WireError::TimedOut(time_limit),
        (true, _) => WireError::NotConnected(error.without_url().into()),
        (false, false) => WireError::broken(error.without_url()),
    }
}
