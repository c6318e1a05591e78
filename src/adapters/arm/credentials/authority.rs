//! Exchanges with the authority: the client credentials grant of OAuth 2.0, with a secret or with an assertion.

use url::Url;
use url::form_urlencoded::Serializer;

use super::answer::{self, Issued};
use super::error::TokenError;
use super::http::{self, Route};
use super::kind::is_loopback;
use super::refusal;
use super::secret::Secret;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const UNREACHABLE: &str = "check name resolution, network policies, the proxy settings (HTTPS_PROXY, NO_PROXY) and, for an \
    unknown certificate, SSL_CERT_FILE";

/// The token endpoint of one tenant, asked for one application.
pub(super) struct Authority {
    client: reqwest::Client,
    token_url: Url,
    host: String,
    tenant_id: String,
    client_id: String,
    scope: String,
}

/// What proves that we are the application.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// A secret of the application.
    Secret(&'a Secret),
    /// A signed assertion: a federated token, or one of our own making.
    Assertion(&'a Secret),
}

impl Proof<'_> {
    fn secret(&self) -> &Secret {
        match self {
            Self::Secret(secret) | Self::Assertion(secret) => secret,
        }
    }
}

impl Authority {
    /// The token endpoint below `authority`. Ids and URL were checked before.
    pub(super) fn new(authority: &Url, tenant_id: &str, client_id: &str, scope: &str) -> Result<Self, TokenError> {
        let mut token_url = authority.clone();
        let host = authority.host_str().unwrap_or_default().to_owned();
        token_url
            .path_segments_mut()
            .map_err(|()| TokenError::refused(format!("the authority's URL (host {host}) takes no path")))?
            .pop_if_empty()
            .extend([tenant_id, "oauth2", "v2.0", "token"]);
        // A proxy could only ever take this machine's address for its own.
        let local = authority.host().is_some_and(|host| is_loopback(&host));
        Ok(Self {
            client: http::client(if local { Route::Direct } else { Route::Usual })?,
            token_url,
            host,
            tenant_id: tenant_id.to_owned(),
            client_id: client_id.to_owned(),
            scope: scope.to_owned(),
        })
    }

    /// The endpoint's URL, which an assertion of our own names as its audience.
    pub(super) fn token_url(&self) -> &str {
        self.token_url.as_str()
    }

    /// The application.
    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Asks for a token once.
    pub(super) async fn exchange(&self, proof: Proof<'_>) -> Result<Issued, TokenError> {
        let body = self.form(proof);
        let request = self
            .client
            .post(self.token_url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        let who = format!("{} (client {} of tenant {})", self.host, self.client_id, self.tenant_id);
        let answer = http::send(request, &who, UNREACHABLE).await?;
        if answer.status == 200 {
            return answer::issued(&answer.body, &who);
        }
        Err(refusal::explain(
            &answer,
            &who,
            &[proof.secret()],
            "check tenant id, client id and credential of the settings",
        ))
    }

    fn form(&self, proof: Proof<'_>) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client_id)
            .append_pair("scope", &self.scope);
        match proof {
            Proof::Secret(secret) => form.append_pair("client_secret", secret.reveal()),
            Proof::Assertion(assertion) => form
                .append_pair("client_assertion_type", ASSERTION_TYPE)
                .append_pair("client_assertion", assertion.reveal()),
        };
        form.finish()
    }
}
