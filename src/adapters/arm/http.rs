//! The wire in production: HTTP/1.1 over rustls, with the system's trust store and proxy settings.
//!
//! Why its limits: the crate's own client waits for ever and opens a connection for every request. Here connections are
//! kept, every exchange ends in its time, and no body is longer than was asked for.

use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use reqwest::header::HeaderValue;

use super::environment;
use super::wire::{Method, Wire, WireAnswer, WireError, WireRequest};

/// Time to reach a server: name resolution, TCP, TLS.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Idle connections that are kept, and for how long: a little more than the longest pause between two looks.
const IDLE_CONNECTIONS: usize = 4;
const IDLE_LIMIT: Duration = Duration::from_mins(1);

/// [`Wire`] over HTTP.
#[derive(Debug, Clone)]
pub struct HttpWire {
    usual: reqwest::Client,
    /// For this very machine, which no proxy can reach. Plain http is taken there, and a proxy would read the token.
    direct: reqwest::Client,
}

impl HttpWire {
    /// A client that trusts what the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) and uses the proxies
    /// of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. Fails if the system's certificates cannot be read at all.
    pub fn new() -> Result<Self, WireError> {
        let builder = || {
            reqwest::Client::builder()
                .use_rustls_tls()
                .connect_timeout(CONNECT_LIMIT)
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .pool_idle_timeout(IDLE_LIMIT)
                .redirect(reqwest::redirect::Policy::none())
        };
        let told = |error: reqwest::Error| WireError::broken(error);
        let (usual, direct) = (builder().build().map_err(told)?, builder().no_proxy().build().map_err(told)?);
        Ok(Self { usual, direct })
    }

    async fn send(&self, request: WireRequest) -> Result<WireAnswer, WireError> {
        let (limit, size_limit) = (request.time_limit, request.size_limit);
        let told = |error: reqwest::Error| told(error, limit);
        let client = if environment::is_local(&request.url) { &self.direct } else { &self.usual };
        let mut builder = client.request(method(request.method), request.url).timeout(limit).body(request.body);
        for (name, value) in request.headers {
            builder = builder.header(&name, header_value(&name, &value)?);
        }
        let mut response = builder.send().await.map_err(told)?;
        let status = response.status().as_u16();
        let header = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let headers = response.headers().iter().map(header).collect();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if body.len().saturating_add(chunk.len()) > size_limit {
                return Err(WireError::TooLong(size_limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(WireAnswer { status, headers, body: body.freeze() })
    }
}

#[async_trait]
impl Wire for HttpWire {
    async fn exchange(&self, request: WireRequest) -> Result<WireAnswer, WireError> {
        self.send(request).await
    }
}

/// A header's value; of the token one that no library shows in its logs.
fn header_value(name: &str, value: &str) -> Result<HeaderValue, WireError> {
    // The library's own complaint would be about the value.
    let odd = |_| WireError::broken(format!("the header {name} cannot be sent"));
    let mut sent = HeaderValue::from_str(value).map_err(odd)?;
    sent.set_sensitive(name == "authorization");
    Ok(sent)
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Post => reqwest::Method::POST,
        Method::Delete => reqwest::Method::DELETE,
    }
}

/// The error without its URL, whose query may be a signature.
fn told(error: reqwest::Error, limit: Duration) -> WireError {
    if error.is_timeout() && !error.is_connect() {
        return WireError::TimedOut(limit);
    }
    WireError::broken(error.without_url())
}
