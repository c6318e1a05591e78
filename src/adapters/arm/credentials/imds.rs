//! Managed identities: tokens from the instance metadata service (IMDS) of the machine.
//!
//! The service is a link-local address that no proxy can reach. It answers with 404, 410, 429 or 5xx for a while when the
//! machine or an identity is new, so that those requests are repeated. Source:
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#retry-guidance>.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};
use url::Url;

use super::entra::{Issued, oauth_error, token_response};
use super::{ManagedIdentity, TokenError};
use crate::adapters::arm::http_stack::HttpStack;
use crate::adapters::arm::wire::{Request, Response, Route};
use crate::domain::text::quote;

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
    http: Arc<HttpStack>,
    url: Url,
    who: String,
    /// What to do if the machine does not have the identity.
    not_assigned: &'static str,
}

impl Imds {
    /// The service below `imds`; `scope` ends with `/.default`.
    pub(super) fn new(
        http: &Arc<HttpStack>,
        imds: &Url,
        identity: &ManagedIdentity,
        scope: &str,
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
        Ok(Self { http: Arc::clone(http), url, who, not_assigned })
    }

    /// Requests a token, a few times if the service is not ready.
    pub(super) async fn exchange(&self) -> Result<Issued, TokenError> {
        for pause in PAUSES {
            let response = self.send().await?;
            let status = response.status.as_u16();
            if !matches!(status, 404 | 410 | 429 | 500..=599) {
                return self.read(&response);
            }
            tracing::debug!(status, ?pause, "the instance metadata service is not ready");
            self.http.clock().sleep(pause).await;
        }
        self.read(&self.send().await?)
    }

    async fn send(&self) -> Result<Response, TokenError> {
        let mut request = Request { route: Route::Direct, ..super::token_request(Method::GET, self.url.clone()) };
        request.headers.insert("metadata", HeaderValue::from_static("true"));
        super::send(&self.http, request, &self.who, UNREACHABLE).await
    }

    fn read(&self, response: &Response) -> Result<Issued, TokenError> {
        match response.status.as_u16() {
            200 => token_response(&response.body, &self.who),
            // It has these for a service that is being updated, however long that takes.
            status @ (404 | 410) => {
                let message = format!("{} still answers {status}", self.who);
                Err(TokenError::unavailable(message).with_hint(UNREACHABLE))
            }
            _ => Err(oauth_error(response, &self.who, &[], self.hint(response))),
        }
    }

    /// What to do about a refusal. The service has one code for all of them and says the rest in words.
    fn hint(&self, response: &Response) -> &'static str {
        let said = String::from_utf8_lossy(&response.body).to_ascii_lowercase();
        if said.contains("multiple user assigned identities") { MULTIPLE } else { self.not_assigned }
    }
}
