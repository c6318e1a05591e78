//! One request and its answer, within limits of time and size.

use std::fmt::Write;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use reqwest::redirect::Policy;
use ring::rand::{SecureRandom, SystemRandom};

use super::error::TokenError;

/// For one attempt, from the look-up of the name to the end of the body.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(10);

/// No token answer comes near it.
const LARGEST: usize = 64 * 1024;

const OURSELVES: &str = concat!("azurelustre-csi/", env!("CARGO_PKG_VERSION"));

/// Whether the proxies that the environment names (`HTTPS_PROXY`, `NO_PROXY`, …) are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// As the environment says.
    Usual,
    /// Never by a proxy.
    Direct,
}

/// What came back.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body. It may hold a token, so it is never shown as a whole.
    pub(super) body: Vec<u8>,
    /// What the body claims to be.
    pub(super) content_type: String,
}

impl Answer {
    /// The body's form for an error message, without its content.
    pub(super) fn form(&self) -> String {
        let claimed = self.content_type.split(';').next().unwrap_or_default().trim();
        let sound = claimed.len() < 60 && claimed.contains('/') && claimed.chars().all(|c| c.is_ascii_graphic());
        let claimed = if sound { claimed } else { "untyped" };
        format!("{} bytes of {claimed}", self.body.len())
    }
}

/// A client that follows no redirect: a secret goes to the host that the settings name, or nowhere. Trusts what the
/// system trusts (`SSL_CERT_FILE` is honoured).
pub(super) fn client(route: Route) -> Result<reqwest::Client, TokenError> {
    let builder = reqwest::Client::builder()
        .use_rustls_tls()
        .tls_built_in_native_certs(true)
        .redirect(Policy::none())
        .timeout(TIME_LIMIT);
    let builder = if route == Route::Direct { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| {
        TokenError::unavailable("the HTTP client cannot be set up")
            .with_hint("check the system's trusted certificates, SSL_CERT_FILE and the proxy settings")
            .with_source(error.without_url())
    })
}

/// Sends once and reads the answer. Fails if there is no whole answer, not by its status. `unreachable` says what to do
/// if the host does not answer.
pub(super) async fn send(
    request: reqwest::RequestBuilder,
    issuer: &str,
    unreachable: &str,
) -> Result<Answer, TokenError> {
    let id = random_id()?;
    let request = request.header(USER_AGENT, OURSELVES).header(ACCEPT, "application/json");
    let lost = |error: reqwest::Error| {
        let what = match () {
            () if error.is_timeout() => format!("did not answer within {} s", TIME_LIMIT.as_secs()),
            () if error.is_connect() => "cannot be reached".to_owned(),
            () => "broke off the exchange".to_owned(),
        };
        TokenError::unavailable(format!("{issuer} {what}")).with_hint(unreachable).with_source(error.without_url())
    };
    let mut response = request.header("client-request-id", &id).send().await.map_err(&lost)?;
    let status = response.status().as_u16();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    tracing::debug!(issuer, status, client_request_id = id, "token endpoint answered");
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(&lost)? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST {
            let message = format!("{issuer} answered {status} with more than {} KiB", LARGEST / 1024);
            return Err(TokenError::unreadable(message));
        }
    }
    Ok(Answer { status, body, content_type })
}

/// 128 random bits as 32 digits.
pub(super) fn random_id() -> Result<String, TokenError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| TokenError::unavailable("the system gives no random numbers"))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
