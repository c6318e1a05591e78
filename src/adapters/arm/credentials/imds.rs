//! Managed identities: tokens from the instance metadata service of the machine.
//!
//! Why a module of its own: the service is a link-local address that no proxy can reach, and it answers with 404, 410, 429
//! or 5xx for a while when the machine or an identity is new, so those are asked again.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::answer::{self, Issued};
use super::error::TokenError;
use super::http::{self, Answer, Route};
use super::kind::ManagedIdentity;
use super::refusal;
use crate::domain::error::quote;
use crate::ports::clock::Clock;

const API_VERSION: &str = "2018-02-01";
const UNREACHABLE: &str = "managed identities need a machine in Azure, and a network policy that lets this pod reach the \
    instance metadata service";
const MULTIPLE: &str = "several user-assigned identities are assigned to this machine: name the one to use, by its client id or \
    resource id, as userAssignedIdentityID in the cloud settings or in the variable AZURE_CLIENT_ID";
const NOT_ASSIGNED: &str = "assign this identity to the machine or its scale set (`az vmss identity assign`), and check its id \
    (userAssignedIdentityID in the cloud settings, or AZURE_CLIENT_ID)";
const NO_OWN: &str = "give the machine or its scale set an identity of its own (`az vmss identity assign`), or name a \
    user-assigned one: userAssignedIdentityID in the cloud settings, or AZURE_CLIENT_ID";

/// Pauses between the attempts of one exchange.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// The instance metadata service, asked for one identity.
pub(super) struct Imds {
    client: reqwest::Client,
    url: Url,
    who: String,
    /// What to do if the machine does not have the identity.
    not_assigned: &'static str,
    clock: Arc<dyn Clock>,
}

impl Imds {
    /// The service below `imds`; `scope` ends with `/.default`.
    pub(super) fn new(
        imds: &Url,
        identity: &ManagedIdentity,
        scope: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TokenError> {
        let mut url = imds.clone();
        let host = imds.host_str().unwrap_or_default();
        url.path_segments_mut()
            .map_err(|()| {
                TokenError::refused(format!("the URL of the instance metadata service ({host}) takes no path"))
            })?
            .pop_if_empty()
            .extend(["metadata", "identity", "oauth2", "token"]);
        let audience = scope.strip_suffix("/.default").unwrap_or(scope);
        url.query_pairs_mut().append_pair("api-version", API_VERSION).append_pair("resource", audience);
        let who = match identity {
            ManagedIdentity::System => format!("{host} (the machine's own identity)"),
            ManagedIdentity::ClientId(id) => {
                url.query_pairs_mut().append_pair("client_id", id);
                format!("{host} (identity with client id {id})")
            }
            ManagedIdentity::ResourceId(id) => {
                url.query_pairs_mut().append_pair("msi_res_id", id);
                format!("{host} (identity {})", quote(id))
            }
        };
        let not_assigned = if *identity == ManagedIdentity::System { NO_OWN } else { NOT_ASSIGNED };
        Ok(Self { client: http::client(Route::Direct)?, url, who, not_assigned, clock })
    }

    /// Asks for a token, a few times if the service is not ready.
    pub(super) async fn exchange(&self) -> Result<Issued, TokenError> {
        for pause in PAUSES {
            let answer = self.ask().await?;
            if !matches!(answer.status, 404 | 410 | 429 | 500..=599) {
                return self.read(&answer);
            }
            tracing::debug!(status = answer.status, ?pause, "the instance metadata service is not ready");
            self.clock.sleep(pause).await;
        }
        self.read(&self.ask().await?)
    }

    async fn ask(&self) -> Result<Answer, TokenError> {
        let request = self.client.get(self.url.clone()).header("Metadata", "true");
        http::send(request, &self.who, UNREACHABLE).await
    }

    fn read(&self, answer: &Answer) -> Result<Issued, TokenError> {
        match answer.status {
            200 => answer::issued(&answer.body, &self.who),
            // It has these for a service that is being updated, however long that takes.
            404 | 410 => {
                let message = format!("{} still answers {}", self.who, answer.status);
                Err(TokenError::unavailable(message).with_hint(UNREACHABLE))
            }
            _ => Err(refusal::explain(answer, &self.who, &[], self.hint(answer))),
        }
    }

    /// What to do about a refusal. The service has one code for all of them and says the rest in words.
    fn hint(&self, answer: &Answer) -> &'static str {
        let said = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
        if said.contains("multiple user assigned identities") { MULTIPLE } else { self.not_assigned }
    }
}
