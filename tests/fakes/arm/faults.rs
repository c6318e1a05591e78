//! The stub as an HTTP client without a network, on a manual clock, with faults injected into requests.

use std::sync::Arc;

use async_trait::async_trait;
use azurelustre_csi::adapters::arm::cloud::ArmCloud;
use azurelustre_csi::adapters::arm::connection::Connector;
use azurelustre_csi::adapters::arm::credentials::{Secret, TokenError};
use azurelustre_csi::adapters::arm::environment::{CloudEndpoints, Environment};
use azurelustre_csi::adapters::arm::http::stack::HttpStack;
use azurelustre_csi::adapters::arm::http::{HttpClient, HttpError, Request, Response, StatusCode};
use azurelustre_csi::adapters::arm::token::TokenProvider;
use azurelustre_csi::adapters::arm::urls::Subscriptions;
use azurelustre_csi::ports::clock::Clock;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use url::Url;

use super::{ArmStub, Kind, SUBSCRIPTION, TOKEN, failed};
use crate::fakes::clock::ManualClock;
use crate::fakes::faulty::Killed;

/// What fails about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// A response with this status, in ARM's envelope.
    Status(u16),
    /// 429 with this `Retry-After` in seconds.
    Throttled(u64),
    /// 409 because another operation is running.
    Busy,
    /// The connection breaks.
    Reset,
    /// No response until the time limit.
    TimeOut,
    /// Half of the response's body.
    Truncated,
    /// A page of some proxy with this status.
    Html(u16),
    /// 401: the token is no longer good.
    ExpiredToken,
    /// ARM's 404 with `ResourceNotFound`, though the file system may exist.
    Absent,
    /// The process dies.
    Kill,
}

/// A fault, before the server acted on the request or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HttpFault {
    pub(crate) fault_kind: FaultKind,
    pub(crate) after: bool,
}

/// Chooses the fault of a request from its number (from 1) and kind.
pub(crate) type HttpPlan = Box<dyn Fn(usize, Kind) -> Option<HttpFault> + Send + Sync>;

/// The stub as an HTTP client.
pub(crate) struct StubClient {
    pub(crate) stub: Arc<ArmStub>,
    clock: Arc<ManualClock>,
    plan: HttpPlan,
    count: std::sync::atomic::AtomicUsize,
}

impl std::fmt::Debug for StubClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StubClient")
    }
}

impl StubClient {
    pub(crate) fn new(stub: Arc<ArmStub>, clock: Arc<ManualClock>, plan: HttpPlan) -> Self {
        Self { stub, clock, plan, count: std::sync::atomic::AtomicUsize::new(0) }
    }
}

#[async_trait]
impl HttpClient for StubClient {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        // Requests of other tasks come first, as on a network.
        futures_lite::future::yield_now().await;
        let number = self.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let kind = self.stub.note(&request);
        let Some(HttpFault { fault_kind, after }) = (self.plan)(number, kind) else {
            return Ok(self.stub.respond(&request));
        };
        let response = after.then(|| self.stub.respond(&request));
        match fault_kind {
            FaultKind::Status(status) => Ok(failed(status, "InternalServerError", "Something went wrong.")),
            FaultKind::Throttled(seconds) => {
                let mut response = failed(429, "TooManyRequests", "Slow down.");
                response.headers.insert("retry-after", seconds.into());
                Ok(response)
            }
            FaultKind::Busy => Ok(failed(409, "AnotherOperationInProgress", "Another operation is in progress.")),
            FaultKind::Absent => Ok(failed(404, "ResourceNotFound", "The resource was not found.")),
            FaultKind::Reset => Err(HttpError::broken("connection reset by peer")),
            FaultKind::TimeOut => {
                self.clock.sleep(request.time_limit).await;
                Err(HttpError::TimedOut(request.time_limit))
            }
            FaultKind::Truncated => {
                let whole = response.unwrap_or_else(|| failed(200, "Half", "An answer of which half is missing."));
                let half = whole.body.slice(..whole.body.len() / 2);
                Ok(Response { body: half, ..whole })
            }
            FaultKind::Html(status) => {
                let body =
                    Bytes::from_static(b"<!DOCTYPE html><html><body>Blocked by your administrator</body></html>");
                let headers = [(CONTENT_TYPE, HeaderValue::from_static("text/html"))].into_iter().collect();
                Ok(Response { status: StatusCode::from_u16(status).unwrap(), headers, body })
            }
            FaultKind::ExpiredToken => {
                Ok(failed(401, "ExpiredAuthenticationToken", "The access token expiry is in the past."))
            }
            FaultKind::Kill => std::panic::resume_unwind(Box::new(Killed)),
        }
    }
}

/// The one token, always good.
#[derive(Debug)]
pub(crate) struct OneToken;

#[async_trait]
impl TokenProvider for OneToken {
    async fn token(&self) -> Result<Secret, TokenError> {
        Ok(Secret::new(TOKEN))
    }

    fn reject(&self, _: &Secret) {}
}

/// The adapter over a client, with the one token.
pub(crate) fn adapter(client: Arc<dyn HttpClient>, endpoint: &str, clock: Arc<ManualClock>) -> ArmCloud {
    adapter_with(Arc::new(OneToken), client, endpoint, clock)
}

/// The adapter over a client. Its tasks run on the clock, or on the tokio runtime where there is one.
pub(crate) fn adapter_with(
    tokens: Arc<dyn TokenProvider>,
    client: Arc<dyn HttpClient>,
    endpoint: &str,
    clock: Arc<ManualClock>,
) -> ArmCloud {
    let endpoints = CloudEndpoints {
        arm: Url::parse(endpoint).unwrap(),
        authority: Url::parse("https://login.test/").unwrap(),
        audience: endpoint.to_owned(),
    };
    let tokens = Box::new(move |_: &CloudEndpoints| Ok(tokens.clone()));
    let http = Arc::new(HttpStack::new(client, clock.clone()));
    let subscriptions = Subscriptions::new(SUBSCRIPTION.to_owned(), None);
    let mut connector = Connector::new(Environment::Known(endpoints), http, tokens, subscriptions);
    connector.spawn = Arc::new(move |task| match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(task)),
        Err(_) => clock.spawn(task),
    });
    ArmCloud::new(connector)
}
