//! What every request to ARM has in common, under the generated clients and our own pipeline alike.
//!
//! Why it exists: the generated clients have no time limits, send the token to whatever host a link names, and lose what
//! ARM said. So this stands where their HTTP client would be: it limits time, size and number, keeps the token at home,
//! tells each request in the log without secrets, and turns every answer that is no success into an [`ArmFailure`] that
//! travels through them untouched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::headers::Headers;
use azure_core::{Body, BytesStream, HttpClient, Request, Response, StatusCode};
use tokio::sync::Semaphore;
use url::Url;

use super::credentials::{Credential, Secret};
use super::failure::{ArmAnswer, ArmFailure};
use super::limiter::Limiter;
use super::metrics::RequestCounts;
use super::random;
use super::wire::{Method, Wire, WireAnswer, WireError, WireRequest};
use crate::ports::clock::Clock;

/// Longest answer that is read: a page of the SKU list of all regions is a few hundred kilobytes.
const SIZE_LIMIT: usize = 16 << 20;
/// Requests that are under way at the same time, so that a thousand waiting claims do not open a thousand connections.
const CONCURRENCY: usize = 32;
/// How long a 429 without `Retry-After` holds everybody back.
const UNNAMED_PENALTY: Duration = Duration::from_secs(5);

/// Who are we, as servers see it.
const USER_AGENT: &str = concat!("azurelustre-csi/", env!("CARGO_PKG_VERSION"));

/// Time limits of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// Of reads.
    pub read: Duration,
    /// Of requests that change something.
    pub write: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self { read: Duration::from_secs(30), write: Duration::from_mins(1) }
    }
}

/// Tokens for ARM.
#[async_trait]
pub trait Tokens: azure_core::auth::TokenCredential {
    /// ARM did not accept this token: it is not to be used again.
    fn reject(&self, token: &str);
}

impl Tokens for Credential {
    fn reject(&self, token: &str) {
        Self::reject(self, &Secret::new(token));
    }
}

/// The adapter's way to ARM, in the place of the crates' HTTP client.
#[derive(Debug)]
pub struct Transport {
    wire: Arc<dyn Wire>,
    endpoint: Url,
    tokens: Arc<dyn Tokens>,
    clock: Arc<dyn Clock>,
    limits: TimeLimits,
    limiter: Limiter,
    places: Semaphore,
    counts: RequestCounts,
}

impl Transport {
    /// A transport that talks to `endpoint` and to nobody else.
    pub fn new(
        wire: Arc<dyn Wire>,
        endpoint: Url,
        tokens: Arc<dyn Tokens>,
        clock: Arc<dyn Clock>,
        limits: TimeLimits,
    ) -> Self {
        Self {
            wire,
            endpoint,
            tokens,
            clock,
            limits,
            limiter: Limiter::default(),
            places: Semaphore::new(CONCURRENCY),
            counts: RequestCounts::default(),
        }
    }

    /// Requests so far.
    pub fn counts(&self) -> &RequestCounts {
        &self.counts
    }

    async fn exchange(&self, request: &Request) -> Result<WireAnswer, ArmFailure> {
        let url = request.url();
        let [to, home] = [url, &self.endpoint].map(|url| url.origin().ascii_serialization());
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ArmFailure::ForeignHost(format!("somebody's account at {to}"), home));
        }
        if url.origin() != self.endpoint.origin() {
            return Err(ArmFailure::ForeignHost(to, home));
        }
        let Some(wire_request) = self.translate(request) else {
            return Err(ArmFailure::Unreadable(format!("{:?} is no method of ARM", request.method())));
        };
        let (method, path) = (wire_request.method, url.path().to_owned());
        let token = wire_request.headers.get("authorization").cloned();
        self.limiter.admit(method, &*self.clock).await;
        // Never closed, so there is always a place in the end.
        let _place = self.places.acquire().await;
        let begun = self.clock.now();
        let counted = self.counts.begin(method, &path);
        let answer = self.wire.exchange(wire_request).await;
        let took = self.clock.now().saturating_sub(begun);
        counted.end(answer.as_ref().ok().map(|answer| answer.status), took);
        log(method, &path, &answer, took);
        let token = token.as_deref().and_then(|token| token.strip_prefix("Bearer ")).unwrap_or_default();
        let answer = without(token, answer?);
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let failure = ArmAnswer::read(&answer);
        // A proxy that wants to know who we are has not looked at the token.
        if failure.is_token_refused() || challenges(&answer) {
            self.tokens.reject(token);
        }
        if failure.status == 429 {
            self.limiter.penalise(method, failure.retry_after.unwrap_or(UNNAMED_PENALTY), &*self.clock);
        }
        Err(ArmFailure::Answer(failure))
    }

    fn translate(&self, request: &Request) -> Option<WireRequest> {
        let method = match request.method() {
            azure_core::Method::Get => Method::Get,
            azure_core::Method::Put => Method::Put,
            azure_core::Method::Patch => Method::Patch,
            azure_core::Method::Post => Method::Post,
            azure_core::Method::Delete => Method::Delete,
            _ => return None,
        };
        let body = match request.body() {
            Body::Bytes(bytes) => bytes.clone(),
            Body::SeekableStream(_) => return None,
        };
        let header = |(name, value): (&azure_core::headers::HeaderName, &azure_core::headers::HeaderValue)| {
            (name.as_str().to_ascii_lowercase(), value.as_str().to_owned())
        };
        let mut headers: BTreeMap<String, String> = request.headers().iter().map(header).collect();
        headers.insert("user-agent".to_owned(), USER_AGENT.to_owned());
        headers.insert("x-ms-client-request-id".to_owned(), random::uuid());
        // The length is the wire's to say.
        headers.remove("content-length");
        let time_limit = if method == Method::Get { self.limits.read } else { self.limits.write };
        Some(WireRequest { method, url: request.url().clone(), headers, body, time_limit, size_limit: SIZE_LIMIT })
    }
}

/// Whether an answer without ARM's envelope asks for another bearer token.
fn challenges(answer: &WireAnswer) -> bool {
    let asked = answer.headers.get("www-authenticate").map_or("", String::as_str);
    answer.status == 401 && asked.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
}

/// The answer without our token: some proxies answer with the request that they refused, and the beginning of an answer
/// that makes no sense is told.
fn without(token: &str, answer: WireAnswer) -> WireAnswer {
    let text = String::from_utf8_lossy(&answer.body);
    if token.is_empty() || !text.contains(token) {
        return answer;
    }
    let body = text.replace(token, "…").into_bytes().into();
    WireAnswer { body, ..answer }
}

/// One line a request. The query stays out: an operation's URL carries a signature there.
fn log(method: Method, path: &str, answer: &Result<WireAnswer, WireError>, took: Duration) {
    let duration_seconds = took.as_secs_f64();
    match answer {
        Ok(WireAnswer { status, headers, .. }) => {
            let header = |name: &str| headers.get(name).map_or("", String::as_str);
            let (request_id, correlation_id) = (header("x-ms-request-id"), header("x-ms-correlation-request-id"));
            tracing::debug!(%method, path, status, request_id, correlation_id, duration_seconds, "asked ARM");
        }
        Err(error) => tracing::debug!(%method, path, %error, duration_seconds, "asked ARM"),
    }
}

#[async_trait]
impl HttpClient for Transport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        let answer = self.exchange(request).await.map_err(|failure| Error::new(ErrorKind::Other, failure))?;
        let status = StatusCode::try_from(answer.status).map_err(|_| {
            let failure = ArmFailure::Unreadable(format!("HTTP {} is no status of ARM", answer.status));
            Error::new(ErrorKind::Other, failure)
        })?;
        let mut headers = Headers::new();
        for (name, value) in answer.headers {
            headers.insert(name, value);
        }
        Ok(Response::new(status, headers, Box::pin(BytesStream::new(answer.body))))
    }
}
