//! [`Transport`]: requests to ARM with their token, limits and throttling.
//!
//! It limits time, size and number, obeys ARM's throttling, sends the token to ARM's own host and nowhere else, and turns
//! every response that is no success into an [`ArmFailure`]. It is the only place that sets the Authorization header.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::answer::ArmAnswer;
use super::credentials::{Secret, TokenError};
use super::failure::ArmFailure;
use super::http_stack::HttpStack;
use super::limiter::{Class, Limiter};
use super::metrics::RequestCounts;
use super::throttle::{Entry, Throttle};
use super::wire::{Method, Request, Response, StatusCode, WireError};

/// Requests without an answer at the same time, so that a thousand waiting claims do not open a thousand connections.
const CONCURRENCY: usize = 32;

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
pub trait Tokens: Send + Sync + std::fmt::Debug {
    /// A token that is valid now.
    async fn token(&self) -> Result<Secret, TokenError>;

    /// ARM did not accept this token: it is not to be used again.
    fn reject(&self, token: &Secret);
}

/// Requests to ARM.
#[derive(Debug)]
pub struct Transport {
    http: Arc<HttpStack>,
    endpoint: Url,
    tokens: Arc<dyn Tokens>,
    limits: TimeLimits,
    limiter: Limiter,
    throttle: Throttle,
    places: Arc<Semaphore>,
}

/// A request that may be sent now: it has its token, its turn and its place. Dropping it sends nothing.
#[derive(Debug)]
pub struct Admitted {
    transport: Arc<Transport>,
    request: Request,
    token: Secret,
    _place: Option<OwnedSemaphorePermit>,
}

impl Transport {
    /// A transport that talks to `endpoint` and to nobody else.
    pub fn new(http: Arc<HttpStack>, endpoint: Url, tokens: Arc<dyn Tokens>, limits: TimeLimits) -> Self {
        let (limiter, throttle, places) =
            (Limiter::default(), Throttle::default(), Arc::new(Semaphore::new(CONCURRENCY)));
        Self { http, endpoint, tokens, limits, limiter, throttle, places }
    }

    /// Where ARM is.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Requests so far, those for tokens included.
    pub fn counts(&self) -> &RequestCounts {
        self.http.counts()
    }

    /// Waits for a token, a turn and a place. Fails at once while ARM throttles requests of this kind, and on an address
    /// that is not ARM's.
    pub async fn admit(
        self: &Arc<Self>,
        method: Method,
        url: &Url,
        body: Option<&Value>,
    ) -> Result<Admitted, ArmFailure> {
        self.check_origin(url)?;
        let class = Class::of(&method);
        self.check_pause(class)?;
        let token = self.tokens.token().await.map_err(ArmFailure::Token)?;
        self.limiter.admit(class, self.http.clock()).await;
        // Never closed, so there is always a place in the end.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let request = self.request(method, url, body);
        Ok(Admitted { transport: Arc::clone(self), request, token, _place: place })
    }

    fn check_origin(&self, url: &Url) -> Result<(), ArmFailure> {
        let [to, home] = [url, &self.endpoint].map(|url| url.origin().ascii_serialization());
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ArmFailure::ForeignHost(format!("an account at {to}"), home));
        }
        if url.origin() != self.endpoint.origin() {
            return Err(ArmFailure::ForeignHost(to, home));
        }
        Ok(())
    }

    fn check_pause(&self, class: Class) -> Result<(), ArmFailure> {
        let left = self.throttle.left(class, self.http.clock().now());
        left.map_or(Ok(()), |left| Err(ArmFailure::HeldBack { class, left }))
    }

    /// The request without its token.
    fn request(&self, method: Method, url: &Url, body: Option<&Value>) -> Request {
        let time_limit = if method == Method::GET { self.limits.read } else { self.limits.write };
        let mut request = Request { time_limit, ..Request::new(method, url.clone()) };
        if let Some(body) = body {
            request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.body = body.to_string().into();
        }
        request
    }

    fn failed(&self, response: &Response, token: &Secret, entry: Entry<'_>, class: Class) -> ArmFailure {
        let failure = Box::new(ArmAnswer::read(response));
        if failure.status == 429 {
            let left = entry.throttled(failure.retry_after, self.http.clock().now());
            self.limiter.penalise(class, left, self.http.clock());
            return ArmFailure::Throttled { class, left, answer: failure };
        }
        entry.answered();
        // A proxy that asks for credentials of its own has not checked the token.
        if failure.is_token_refused() || challenges(response) {
            self.tokens.reject(token);
        }
        ArmFailure::Answer(failure)
    }
}

impl Admitted {
    /// The request's body, by which two requests for the same resource are distinguished.
    pub fn body(&self) -> &Bytes {
        &self.request.body
    }

    /// Sends the request, once, and reads the response within the request's own time limit.
    pub async fn exchange(self) -> Result<Response, ArmFailure> {
        let Self { transport, mut request, token, _place } = self;
        let class = Class::of(&request.method);
        // ARM may have begun to throttle while this request waited for its turn.
        let entry = transport.throttle.enter(class, transport.http.clock().now());
        let entry = entry.map_err(|left| ArmFailure::HeldBack { class, left })?;
        request.headers.insert(AUTHORIZATION, bearer(&token)?);
        let response = without(token.reveal(), transport.http.send(request).await?);
        if !response.status.is_success() {
            return Err(transport.failed(&response, &token, entry, class));
        }
        entry.answered();
        Ok(response)
    }
}

/// The header's value, which no library shows in its logs.
fn bearer(token: &Secret) -> Result<HeaderValue, WireError> {
    // The library's own error would be about the value.
    let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
    let mut value = value.map_err(|_| WireError::broken("the token cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether an answer without ARM's request id asks for another bearer token.
fn challenges(response: &Response) -> bool {
    let asked = response.header(WWW_AUTHENTICATE.as_str()).unwrap_or_default();
    response.status == StatusCode::UNAUTHORIZED
        && asked.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
}

/// The response without the token: some proxies answer with the request that they refused, and the beginning of a response
/// that cannot be read is shown.
fn without(token: &str, response: Response) -> Response {
    let text = String::from_utf8_lossy(&response.body);
    if token.is_empty() || !text.contains(token) {
        return response;
    }
    let body = text.replace(token, "…").into_bytes().into();
    Response { body, ..response }
}
