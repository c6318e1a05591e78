//! [`Pipeline`]: requests to ARM with their bearer token, rate limits and throttling.
//!
//! It limits time, size and number of requests, obeys ARM's throttling, sends the token to ARM's own origin only, and turns
//! every response that is no success into an [`ArmError`]. It is the only place that sets the Authorization header.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::error::{ArmError, ErrorResponse};
use super::http::stack::HttpStack;
use super::http::{HttpError, Method, Request, Response, StatusCode};
use super::limiter::{Class, Limiter};
use super::throttle::{Permit, Throttle};
use super::token::{Secret, TokenProvider};

/// Requests in flight at the same time, so that a thousand waiting claims do not open a thousand connections.
const CONCURRENCY: usize = 32;

/// Time limit of a GET, from name resolution to the end of the body.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// Time limit of every other request.
const WRITE_LIMIT: Duration = Duration::from_mins(1);

/// Sends requests to one ARM endpoint.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) http: Arc<HttpStack>,
    endpoint: Url,
    tokens: Arc<dyn TokenProvider>,
    limiter: Limiter,
    throttle: Throttle,
    concurrency: Arc<Semaphore>,
}

/// A request that may be sent now: it has its token and has passed the limits. Dropping it sends nothing.
#[derive(Debug)]
pub(super) struct Admitted {
    pipeline: Arc<Pipeline>,
    pub(super) request: Request,
    token: Secret,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Pipeline {
    /// A pipeline that sends to `endpoint` only.
    pub(super) fn new(http: Arc<HttpStack>, endpoint: Url, tokens: Arc<dyn TokenProvider>) -> Self {
        let (limiter, throttle) = (Limiter::default(), Throttle::default());
        Self { http, endpoint, tokens, limiter, throttle, concurrency: Arc::new(Semaphore::new(CONCURRENCY)) }
    }

    /// Waits for a token and for the limits. Fails at once while ARM throttles requests of this class, and on a URL of
    /// another origin.
    pub(super) async fn admit(
        self: &Arc<Self>,
        method: Method,
        url: &Url,
        body: Option<&Value>,
    ) -> Result<Admitted, ArmError> {
        self.check_origin(url)?;
        let class = Class::of(&method);
        if let Some(pause) = self.throttle.remaining(class, self.http.now()) {
            return Err(ArmError::Throttled { class, pause, response: None });
        }
        let token = self.tokens.token().await.map_err(ArmError::Token)?;
        self.limiter.admit(class, &**self.http.clock()).await;
        // The semaphore is never closed, so this never fails.
        let permit = Arc::clone(&self.concurrency).acquire_owned().await.ok();
        let time_limit = if class == Class::Reads { READ_LIMIT } else { WRITE_LIMIT };
        let mut request = Request { time_limit, ..Request::new(method, url.clone()) };
        if let Some(body) = body {
            request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.body = body.to_string().into();
        }
        Ok(Admitted { pipeline: Arc::clone(self), request, token, _permit: permit })
    }

    fn check_origin(&self, url: &Url) -> Result<(), ArmError> {
        let [origin, arm] = [url, &self.endpoint].map(|url| url.origin().ascii_serialization());
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ArmError::OtherOrigin(format!("an account at {origin}"), arm));
        }
        if url.origin() != self.endpoint.origin() {
            return Err(ArmError::OtherOrigin(origin, arm));
        }
        Ok(())
    }

    fn error(&self, response: &Response, token: &Secret, permit: Permit<'_>, class: Class) -> ArmError {
        let error = Box::new(ErrorResponse::read(response));
        if response.status == StatusCode::TOO_MANY_REQUESTS {
            let pause = permit.throttled(error.retry_after, self.http.now());
            self.limiter.drain(class, pause, &**self.http.clock());
            return ArmError::Throttled { class, pause, response: Some(error) };
        }
        permit.accepted();
        // A proxy that asks for credentials of its own has not checked the token.
        if error.is_token_refused() || is_bearer_challenge(response) {
            self.tokens.reject(token);
        }
        ArmError::Response(error)
    }
}

impl Admitted {
    /// Sends the request, once, and reads the response within the request's own time limit.
    pub(super) async fn send(self) -> Result<Response, ArmError> {
        let Self { pipeline, mut request, token, _permit } = self;
        let class = Class::of(&request.method);
        // ARM may have begun to throttle while this request waited for the limits.
        let permit = pipeline.throttle.enter(class, pipeline.http.now());
        let permit = permit.map_err(|pause| ArmError::Throttled { class, pause, response: None })?;
        request.headers.insert(AUTHORIZATION, bearer(&token)?);
        let response = without(token.reveal(), pipeline.http.send(request).await?);
        if !response.status.is_success() {
            return Err(pipeline.error(&response, &token, permit, class));
        }
        permit.accepted();
        Ok(response)
    }
}

/// The header's value, marked so that no library logs it.
fn bearer(token: &Secret) -> Result<HeaderValue, HttpError> {
    // The library's own error would show the value.
    let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
    let mut value = value.map_err(|_| HttpError::broken("the token cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a response, though without ARM's request id, asks for another bearer token.
fn is_bearer_challenge(response: &Response) -> bool {
    let challenge = response.header(WWW_AUTHENTICATE.as_str()).unwrap_or_default();
    response.status == StatusCode::UNAUTHORIZED
        && challenge.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
}

/// The response without the token: some proxies echo the request that they refuse, and errors show the beginning of a
/// response that cannot be read.
fn without(token: &str, response: Response) -> Response {
    let text = String::from_utf8_lossy(&response.body);
    if token.is_empty() || !text.contains(token) {
        return response;
    }
    let body = text.replace(token, "…").into_bytes().into();
    Response { body, ..response }
}
