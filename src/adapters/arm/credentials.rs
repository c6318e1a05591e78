//! Who we are to Azure: tokens for Resource Manager, from each kind of credential that a cluster can give a pod.
//!
//! Why our own: the credentials of the SDK's line read a federated token once, know no user-assigned identities, set no
//! time limits and hold a lock while they wait.
//!
//! ```text
//!   Credential ──> cache ──one at a time──> exchange ─┬─ file, certificate ──> authority   (Entra)
//!   token, reject                                     ├─ imds                              (the machine)
//!        ▲                                            └─ cli                               (people)
//!        └── reloading: another credential when the settings change
//! ```
//!
//! No token, secret, assertion or password is in any log, error, `Debug` or `Display` output.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

mod answer;
mod authority;
mod cache;
mod certificate;
mod cli;
mod error;
mod exchange;
mod file;
mod http;
mod imds;
mod kind;
mod refusal;
mod reloading;
mod secret;

pub use error::{TokenError, TokenErrorKind};
pub use kind::{CredentialKind, Endpoints, IMDS, ManagedIdentity};
pub use reloading::{CredentialSource, ReloadingCredential};
pub use secret::Secret;

use self::cache::Cache;
use self::exchange::Exchange;
use super::transport::Tokens;
use crate::ports::clock::Clock;

/// A credential and the tokens that it was exchanged for. Shared by reference or in an `Arc`.
pub struct Credential {
    kind: CredentialKind,
    endpoints: Endpoints,
    cache: Arc<Cache>,
}

impl Credential {
    /// A credential for one scope, such as `https://management.azure.com/.default`. `clock` times refreshes and pauses.
    /// Asks nobody and reads no file; fails with [`TokenErrorKind::Refused`] on settings that cannot work: placeholders
    /// such as `msi`, ids that are none, endpoints over plain http other than on this machine.
    pub fn new(
        kind: CredentialKind,
        endpoints: Endpoints,
        scope: String,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TokenError> {
        let exchange = Exchange::new(&kind, &endpoints, scope, Arc::clone(&clock))?;
        Ok(Self { kind, endpoints, cache: Arc::new(Cache::new(exchange, clock)) })
    }

    /// What proves who we are.
    pub fn kind(&self) -> &CredentialKind {
        &self.kind
    }

    /// A token that is valid now. Usually at once; waits for an exchange when there is none, and fails only if that fails
    /// too. One attempt at an exchange takes at most 10 s (the Azure CLI: 30 s), and of a managed identity up to five
    /// attempts are made. Needs a tokio runtime, in which an exchange runs to its end even if its callers go away.
    pub async fn token(&self) -> Result<Secret, TokenError> {
        self.cache.token().await.map(|held| held.token)
    }

    /// Says that Resource Manager answered 401 to this very token: it is not served again, unless its issuer still gives it
    /// out a minute later.
    pub fn reject(&self, token: &Secret) {
        tracing::debug!(credential = self.kind.name(), "a token was rejected");
        self.cache.reject(token);
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("kind", &self.kind)
            .field("authority", &self.endpoints.authority.as_str())
            .field("imds", &self.endpoints.imds.as_str())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Tokens for Credential {
    async fn token(&self) -> Result<Secret, TokenError> {
        Self::token(self).await
    }

    fn reject(&self, token: &Secret) {
        Self::reject(self, token);
    }
}
