//! A stub token endpoint, a clock turned by hand, and credentials that use both.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) use azurelustre_csi::adapters::arm::credentials::TokenProvider;
use azurelustre_csi::adapters::arm::credentials::{
    Credential, CredentialKind, ManagedIdentity, Secret, TokenEndpoints, TokenError,
};
use azurelustre_csi::adapters::arm::http::client::ReqwestClient;
use azurelustre_csi::adapters::arm::http::stack::HttpStack;
use azurelustre_csi::ports::clock::Clock;
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::fakes::clock::ManualClock;
use crate::fakes::log::LogBuffer;

pub(crate) const SCOPE: &str = "https://management.azure.com/.default";
pub(crate) const TENANT: &str = "0a5e1b9c-0000-4000-8000-00000000aaaa";
pub(crate) const CLIENT: &str = "1b2c3d4e-0000-4000-8000-00000000bbbb";

/// A token endpoint and time.
pub(crate) struct World {
    pub(crate) server: MockServer,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    /// A world whose endpoint responses every request with the response to its number, counted from 1.
    pub(crate) async fn new(response: impl Fn(usize) -> ResponseTemplate + Send + Sync + 'static) -> Self {
        Self::answering(Numbered { response, count: AtomicUsize::new(0) }).await
    }

    /// A world whose endpoint responses to what it is asked.
    pub(crate) async fn answering(response: impl Respond + 'static) -> Self {
        LogBuffer::of_process();
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(response).mount(&server).await;
        Self { server, clock: Arc::default() }
    }

    /// A world in which each request gets a new token, `token-1`, `token-2`, …, good for an hour.
    pub(crate) async fn hourly() -> Self {
        Self::new(|number| token(number, 3600)).await
    }

    /// A credential that asks this world's endpoint.
    pub(crate) fn credential(&self, kind: CredentialKind) -> Credential {
        self.try_credential(kind).unwrap()
    }

    pub(crate) fn try_credential(&self, kind: CredentialKind) -> Result<Credential, TokenError> {
        let uri = self.server.uri();
        let endpoints = TokenEndpoints::parse(&uri, Some(&uri))?;
        Credential::new(kind, endpoints, SCOPE.to_owned(), stack(Arc::clone(&self.clock)))
    }

    /// What the endpoint was asked so far.
    pub(crate) async fn requests(&self) -> Vec<Request> {
        self.server.received_requests().await.unwrap()
    }

    /// How often it was asked.
    pub(crate) async fn count(&self) -> usize {
        self.requests().await.len()
    }

    /// Waits, in real time, until it was asked so often; for what runs behind its callers.
    pub(crate) async fn asked(&self, times: usize) {
        let waiting = async {
            while self.count().await < times {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("the endpoint was not asked");
    }

    /// Waits, in real time, until this is the token that is served.
    pub(crate) async fn serves(&self, credential: &Credential, wanted: &str) {
        let waiting = async {
            while text(credential.token().await) != wanted {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("another token is served");
    }

    /// Runs a future while the clock jumps to each moment for which somebody sleeps.
    pub(crate) async fn jumping<T>(&self, future: impl Future<Output = T>) -> T {
        let turning = async {
            loop {
                tokio::time::sleep(Duration::from_millis(2)).await;
                if let Some(next) = self.clock.next_wake() {
                    self.clock.advance(next.saturating_sub(self.clock.now()));
                }
            }
        };
        tokio::select! {
            output = future => output,
            () = turning => unreachable!(),
        }
    }
}

struct Numbered<F> {
    response: F,
    count: AtomicUsize,
}

impl<F: Fn(usize) -> ResponseTemplate + Send + Sync> Respond for Numbered<F> {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        (self.response)(self.count.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

/// Entra's response with a token.
pub(crate) fn token(number: usize, seconds: u64) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "token_type": "Bearer",
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": format!("token-{number}"),
    }))
}

/// Entra's response without one.
pub(crate) fn refusal(status: u16, error: &str, description: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({
        "error": error,
        "error_description": format!("{description}\r\nTrace ID: 11\r\nCorrelation ID: 22\r\nTimestamp: 2026-01-01 00:00:00Z"),
        "error_codes": [1],
        "trace_id": "11",
        "correlation_id": "22",
    }))
}

/// The production client on a clock that a test turns.
pub(crate) fn stack(clock: Arc<ManualClock>) -> Arc<HttpStack> {
    Arc::new(HttpStack::new(Arc::new(ReqwestClient::new().unwrap()), clock))
}

/// The text of a token that must be there.
pub(crate) fn text(token: Result<Secret, TokenError>) -> String {
    token.unwrap().reveal().to_owned()
}

pub(crate) fn with_secret(secret: &str) -> CredentialKind {
    CredentialKind::ClientSecret {
        tenant_id: TENANT.to_owned(),
        client_id: CLIENT.to_owned(),
        secret: Secret::new(secret),
    }
}

pub(crate) fn managed(identity: ManagedIdentity) -> CredentialKind {
    CredentialKind::ManagedIdentity(identity)
}

/// The fields of a form, in the order sent.
pub(crate) fn form(request: &Request) -> Vec<(String, String)> {
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

pub(crate) fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

pub(crate) fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}
