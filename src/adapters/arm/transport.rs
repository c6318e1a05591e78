//! [`Transport`]: what every request to ARM has in common.
//!
//! It limits time, size and number, obeys ARM's throttling, sends the token to ARM's own host and nowhere else, writes each
//! request to the log without secrets, and turns every answer that is no success into an [`ArmFailure`]. It is the only
//! place that sets the Authorization header.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::answer::ArmAnswer;
use super::credentials::{Secret, TokenError};
use super::failure::ArmFailure;
use super::limiter::{Class, Limiter};
use super::metrics::RequestCounts;
use super::random;
use super::throttle::{Entry, Throttle};
use super::wire::{Method, Wire, WireAnswer, WireError, WireRequest};
use crate::ports::clock::Clock;

/// Longest answer that is read: a page of the SKU list of all regions is a few hundred kilobytes.
const SIZE_LIMIT: usize = 16 << 20;
/// Requests without an answer at the same time, so that a thousand waiting claims do not open a thousand connections.
const CONCURRENCY: usize = 32;

/// What servers see as our name.
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
pub trait Tokens: Send + Sync + std::fmt::Debug {
    /// A token that is valid now.
    async fn token(&self) -> Result<Secret, TokenError>;

    /// ARM did not accept this token: it is not to be used again.
    fn reject(&self, token: &Secret);
}

/// The adapter's way to ARM.
#[derive(Debug)]
pub struct Transport {
    wire: Arc<dyn Wire>,
    endpoint: Url,
    tokens: Arc<dyn Tokens>,
    clock: Arc<dyn Clock>,
    limits: TimeLimits,
    limiter: Limiter,
    throttle: Throttle,
    places: Arc<Semaphore>,
    counts: RequestCounts,
}

/// A request that may be sent now: it has its token, its turn and its place. Dropping it sends nothing.
#[derive(Debug)]
pub struct Admitted {
    transport: Arc<Transport>,
    request: WireRequest,
    token: Secret,
    _place: Option<OwnedSemaphorePermit>,
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
            throttle: Throttle::default(),
            places: Arc::new(Semaphore::new(CONCURRENCY)),
            counts: RequestCounts::default(),
        }
    }

    /// Where ARM is.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Requests so far.
    pub fn counts(&self) -> &RequestCounts {
        &self.counts
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
        let class = Class::of(method);
        self.check_pause(class)?;
        let token = self.tokens.token().await.map_err(ArmFailure::Token)?;
        self.limiter.admit(class, &*self.clock).await;
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
        let left = self.throttle.left(class, self.clock.now());
        left.map_or(Ok(()), |left| Err(ArmFailure::HeldBack { class, left }))
    }

    /// The request without its token.
    fn request(&self, method: Method, url: &Url, body: Option<&Value>) -> WireRequest {
        let mut headers = BTreeMap::from([
            ("accept".to_owned(), "application/json".to_owned()),
            ("user-agent".to_owned(), USER_AGENT.to_owned()),
            ("x-ms-client-request-id".to_owned(), random::uuid()),
        ]);
        if body.is_some() {
            headers.insert("content-type".to_owned(), "application/json".to_owned());
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let time_limit = if method == Method::Get { self.limits.read } else { self.limits.write };
        WireRequest { method, url: url.clone(), headers, body, time_limit, size_limit: SIZE_LIMIT }
    }

    fn failed(&self, answer: &WireAnswer, token: &Secret, entry: Entry<'_>, class: Class) -> ArmFailure {
        let failure = Box::new(ArmAnswer::read(answer));
        if failure.status == 429 {
            let left = entry.throttled(failure.retry_after, self.clock.now());
            self.limiter.penalise(class, left, &*self.clock);
            return ArmFailure::Throttled { class, left, answer: failure };
        }
        entry.answered();
        // A proxy that wants to know who we are has not looked at the token.
        if failure.is_token_refused() || challenges(answer) {
            self.tokens.reject(token);
        }
        ArmFailure::Answer(failure)
    }
}

impl Admitted {
    /// The request's body, by which two requests for the same resource are told apart.
    pub fn body(&self) -> &Bytes {
        &self.request.body
    }

    /// Sends the request, once, and reads the answer within the request's own time limit.
    pub async fn exchange(self) -> Result<WireAnswer, ArmFailure> {
        let Self { transport, mut request, token, _place } = self;
        let (method, path, class) = (request.method, request.url.path().to_owned(), Class::of(request.method));
        // ARM may have begun to throttle while this request waited for its turn.
        let entry = transport.throttle.enter(class, transport.clock.now());
        let entry = entry.map_err(|left| ArmFailure::HeldBack { class, left })?;
        request.headers.insert("authorization".to_owned(), format!("Bearer {}", token.reveal()));
        let begun = transport.clock.now();
        let counted = transport.counts.begin(method, &path);
        let answer = transport.wire.exchange(request).await;
        let took = transport.clock.now().saturating_sub(begun);
        counted.end(answer.as_ref().ok().map(|answer| answer.status), took);
        log(method, &path, &answer, took);
        let answer = without(token.reveal(), answer?);
        if !(200..300).contains(&answer.status) {
            return Err(transport.failed(&answer, &token, entry, class));
        }
        entry.answered();
        Ok(answer)
    }
}

/// Whether an answer without ARM's request id asks for another bearer token.
fn challenges(answer: &WireAnswer) -> bool {
    let asked = answer.headers.get("www-authenticate").map_or("", String::as_str);
    answer.status == 401 && asked.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
}

/// The answer without our token: some proxies answer with the request that they refused, and the beginning of an answer
/// that makes no sense is shown.
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
