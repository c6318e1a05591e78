//! Managed identities: tokens from the instance metadata service (IMDS) of the machine.
//!
//! The service is a link-local address that no proxy can reach. It answers with 404, 410, 429 or 5xx for a while when the
//! machine or an identity is new, so that those requests are repeated. Source:
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#retry-guidance>.

use std::time::Duration;

use http::HeaderValue;
use url::Url;

use super::entra::{Issued, oauth_error, token_response};
use super::{ManagedIdentity, TokenError};
use crate::adapters::arm::http::stack::HttpStack;
use crate::adapters::arm::http::{Method, Request, Response};
use crate::domain::text::quote;

const API_VERSION: &str = "2018-02-01";
const UNREACHABLE: &str = "managed identities need a machine in Azure, and a network policy that lets this pod reach the \
    instance metadata service";
const MULTIPLE: &str = "several user-assigned identities are assigned to this machine: name the one to use, by its client id or \
    resource id, as userAssignedIdentityID in the cloud settings or in the variable AZURE_CLIENT_ID";
const NOT_ASSIGNED: &str = "assign this identity to the machine or its scale set (`az vmss identity assign`), and check its id \
    (userAssignedIdentityID in the cloud settings, or AZURE_CLIENT_ID)";
const NO_SYSTEM_ASSIGNED: &str = "give the machine or its scale set an identity of its own (`az vmss identity assign`), or name \
    a user-assigned one: userAssignedIdentityID in the cloud settings, or AZURE_CLIENT_ID";

/// Pauses between the attempts of one exchange.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// Requests a token from the service below `imds`, a few times if it is not ready; `scope` ends with `/.default`.
pub(super) async fn exchange(
    http: &HttpStack,
    imds: &Url,
    identity: &ManagedIdentity,
    scope: &str,
) -> Result<Issued, TokenError> {
    let mut url = super::url_below(imds, &["metadata", "identity", "oauth2", "token"]);
    let audience = scope.strip_suffix("/.default").unwrap_or(scope);
    url.query_pairs_mut().append_pair("api-version", API_VERSION).append_pair("resource", audience);
    let (name, hint) = match identity {
        ManagedIdentity::System => ("the machine's own identity".to_owned(), NO_SYSTEM_ASSIGNED),
        ManagedIdentity::ClientId(id) => {
            url.query_pairs_mut().append_pair("client_id", id);
            (format!("identity with client id {id}"), NOT_ASSIGNED)
        }
        ManagedIdentity::ResourceId(id) => {
            url.query_pairs_mut().append_pair("msi_res_id", id);
            (format!("identity {}", quote(id)), NOT_ASSIGNED)
        }
    };
    let issuer = format!("{} ({name})", imds.host_str().unwrap_or_default());
    let mut request = Request { proxied: false, ..super::token_request(Method::GET, url) };
    request.headers.insert("metadata", HeaderValue::from_static("true"));
    for pause in PAUSES {
        let response = super::send(http, request.clone(), &issuer, UNREACHABLE).await?;
        let status = response.status.as_u16();
        if !matches!(status, 404 | 410 | 429 | 500..=599) {
            return read(&response, &issuer, hint);
        }
        tracing::debug!(status, ?pause, "the instance metadata service is not ready");
        http.clock().sleep(pause).await;
    }
    read(&super::send(http, request, &issuer, UNREACHABLE).await?, &issuer, hint)
}

/// Reads a response; `not_assigned` is the hint if the machine does not have the identity.
fn read(response: &Response, issuer: &str, not_assigned: &str) -> Result<Issued, TokenError> {
    match response.status.as_u16() {
        200 => token_response(&response.body, issuer),
        // The status of a service that is being updated, however long that takes.
        status @ (404 | 410) => {
            Err(TokenError::unavailable(format!("{issuer} still answers {status}")).with_hint(UNREACHABLE))
        }
        _ => {
            // The service has one code for all refusals; only the description distinguishes them.
            let body = String::from_utf8_lossy(&response.body).to_ascii_lowercase();
            let multiple = body.contains("multiple user assigned identities");
            Err(oauth_error(response, issuer, &[], if multiple { MULTIPLE } else { not_assigned }))
        }
    }
}
