//! One exchange of a credential for a token, whatever its kind.

use std::path::PathBuf;
use std::sync::Arc;

use super::answer::Issued;
use super::authority::{Authority, Proof};
use super::error::TokenError;
use super::imds::Imds;
use super::kind::{CredentialKind, Endpoints};
use super::secret::Secret;
use super::{certificate, cli, file};
use crate::ports::clock::Clock;

/// A credential, ready to be exchanged.
pub(super) enum Exchange {
    Federated { authority: Authority, token_file: PathBuf },
    Managed(Imds),
    Secret { authority: Authority, secret: Secret },
    Certificate { authority: Authority, path: PathBuf },
    Cli { program: PathBuf, tenant_id: Option<String>, scope: String },
}

impl Exchange {
    /// Checks everything that can be checked without asking anybody. Files are read when they are needed.
    pub(super) fn new(
        kind: &CredentialKind,
        endpoints: &Endpoints,
        scope: String,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TokenError> {
        kind.check()?;
        endpoints.check()?;
        if !scope.ends_with("/.default") {
            return Err(TokenError::refused(format!("the scope `{scope}` does not end with `/.default`")));
        }
        let authority = |tenant_id, client_id| Authority::new(&endpoints.authority, tenant_id, client_id, &scope);
        Ok(match kind {
            CredentialKind::WorkloadIdentity { tenant_id, client_id, token_file } => {
                Self::Federated { authority: authority(tenant_id, client_id)?, token_file: token_file.clone() }
            }
            CredentialKind::ManagedIdentity(identity) => {
                Self::Managed(Imds::new(&endpoints.imds, identity, &scope, clock)?)
            }
            CredentialKind::ClientSecret { tenant_id, client_id, secret } => {
                Self::Secret { authority: authority(tenant_id, client_id)?, secret: secret.clone() }
            }
            CredentialKind::ClientCertificate { tenant_id, client_id, path, password: _ } => {
                Self::Certificate { authority: authority(tenant_id, client_id)?, path: path.clone() }
            }
            CredentialKind::AzureCli { tenant_id, program } => {
                Self::Cli { program: program.clone(), tenant_id: tenant_id.clone(), scope }
            }
        })
    }

    /// Gets a new token.
    pub(super) async fn run(&self) -> Result<Issued, TokenError> {
        match self {
            Self::Federated { authority, token_file } => {
                let assertion = file::read_token(token_file).await?;
                authority.exchange(Proof::Assertion(&assertion)).await
            }
            Self::Managed(imds) => imds.exchange().await,
            Self::Secret { authority, secret } => authority.exchange(Proof::Secret(secret)).await,
            Self::Certificate { authority, path } => {
                let assertion = certificate::assertion(path, authority.client_id(), authority.token_url()).await?;
                authority.exchange(Proof::Assertion(&assertion)).await
            }
            Self::Cli { program, tenant_id, scope } => cli::exchange(program, tenant_id.as_deref(), scope).await,
        }
    }
}
