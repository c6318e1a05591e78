//! Credentials: tokens for Resource Manager from workload identity, managed identity, client secret, client certificate and
//! the Azure CLI.
//!
//! The credentials of the SDK's line read a federated token once, know no user-assigned identities, set no time limits and
//! hold a lock while they wait; hence these.
//!
//! ```text
//!   Credential ──> cache ──one at a time──> Exchange ─┬─ token file, certificate ──> entra
//!   token, reject                                     ├─ imds (managed identities)
//!        ▲                                            └─ cli (people at a terminal)
//!        └── ReloadingCredential: another credential when the settings change
//! ```
//!
//! No token, secret, assertion or password is in any log, error, `Debug` or `Display` output.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use url::{Host, Url};

mod cache;
mod certificate;
mod cli;
mod entra;
mod imds;

pub use cache::{CredentialSource, ReloadingCredential};

use self::cache::Cache;
use self::entra::{Authority, Issued, Proof};
use self::imds::Imds;
use super::environment::is_loopback;
pub use super::failure::{TokenError, TokenErrorKind};
use super::http_stack::HttpStack;
pub use super::secret::Secret;
use super::transport::Tokens;
use super::wire::{Request, Response, WireError};
use crate::domain::text::quote;

/// Address of the instance metadata service of an Azure machine.
pub const IMDS: &str = "http://169.254.169.254";

const IMDS_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Time limit of one request, from name resolution to the end of the body.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Longest response of a token endpoint that is read, in bytes.
const SIZE_LIMIT: usize = 64 * 1024;

/// Which credential is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// A federated token in a file that Kubernetes rotates.
    WorkloadIdentity {
        /// The tenant: its id or one of its domains.
        tenant_id: String,
        /// The application, or the user-assigned identity, that trusts the cluster's issuer.
        client_id: String,
        /// The file with the token; read again at every exchange.
        token_file: PathBuf,
    },
    /// An identity of the machine that the driver runs on.
    ManagedIdentity(ManagedIdentity),
    /// A service principal with a secret.
    ClientSecret {
        /// The tenant: its id or one of its domains.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// One of the application's secrets.
        secret: Secret,
    },
    /// A service principal with a certificate.
    ClientCertificate {
        /// The tenant: its id or one of its domains.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// A PEM file with the certificate and its RSA key, PKCS#8 or PKCS#1; read again at every exchange.
        path: PathBuf,
        /// The file's password, as the shared settings file may have one. Encrypted keys are refused, with or without.
        password: Option<Secret>,
    },
    /// Whoever is signed in to the Azure CLI: for people at a terminal, never chosen by itself.
    AzureCli {
        /// The tenant, if not the one that the CLI would take.
        tenant_id: Option<String>,
        /// The CLI: a path, or a name that is looked up in `PATH`.
        program: PathBuf,
    },
}

/// Which of the machine's identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagedIdentity {
    /// The machine's own.
    System,
    /// A user-assigned one, by its client id.
    ClientId(String),
    /// A user-assigned one, by its resource id (`/subscriptions/…`).
    ResourceId(String),
}

/// The token endpoints: where credentials are exchanged for tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEndpoints {
    /// The authority, such as `https://login.microsoftonline.com/`; the tenant is added to its path.
    pub authority: Url,
    /// The instance metadata service, usually [`IMDS`].
    pub imds: Url,
}

impl TokenEndpoints {
    /// Reads both; the instance metadata service is at its usual address unless another one is given. Fails if one is not a
    /// URL.
    pub fn parse(authority: &str, imds: Option<&str>) -> Result<Self, TokenError> {
        let read = |text: &str| {
            Url::parse(text)
                .map_err(|error| TokenError::refused(format!("{} is not a URL", quote(text))).caused_by(error))
        };
        Ok(Self { authority: read(authority)?, imds: read(imds.unwrap_or(IMDS))? })
    }

    /// Refuses what would send a secret in clear text or take a token from anybody.
    fn check(&self) -> Result<(), TokenError> {
        check_url(&self.authority, "authority", |_| false)?;
        let is_imds = |host: &Host<&str>| matches!(host, Host::Ipv4(address) if *address == IMDS_ADDRESS);
        check_url(&self.imds, "instance metadata service", is_imds)
    }
}

fn check_url(url: &Url, what: &str, may_be_plain: impl Fn(&Host<&str>) -> bool) -> Result<(), TokenError> {
    let host = url.host().ok_or_else(|| TokenError::refused(format!("the {what}'s URL has no host")))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        let message = format!("the {what}'s URL (host {host}) has more than scheme, host, port and path");
        return Err(TokenError::refused(message));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) || may_be_plain(&host) => Ok(()),
        scheme => Err(TokenError::refused(format!("the {what} at {host} would be asked over {scheme}"))
            .with_hint("use an https URL; plain http is taken only for this machine")),
    }
}

impl CredentialKind {
    /// How logs and errors name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::WorkloadIdentity { .. } => "workload identity",
            Self::ManagedIdentity(_) => "managed identity",
            Self::ClientSecret { .. } => "client secret",
            Self::ClientCertificate { .. } => "client certificate",
            Self::AzureCli { .. } => "Azure CLI",
        }
    }

    /// Refuses ids that are not valid, and the word `msi`, which AKS writes in place of ids and secrets.
    fn check(&self) -> Result<(), TokenError> {
        match self {
            Self::WorkloadIdentity { tenant_id, client_id, .. }
            | Self::ClientCertificate { tenant_id, client_id, .. } => check_ids(tenant_id, client_id),
            Self::ClientSecret { tenant_id, client_id, secret } => {
                check_ids(tenant_id, client_id)?;
                match secret.reveal() {
                    "" => Err(TokenError::refused("the client secret is empty")),
                    text if is_placeholder(text) => Err(placeholder("client secret")),
                    _ => Ok(()),
                }
            }
            Self::ManagedIdentity(ManagedIdentity::System) => Ok(()),
            Self::ManagedIdentity(ManagedIdentity::ClientId(id)) => check_id("client id", id),
            Self::ManagedIdentity(ManagedIdentity::ResourceId(id)) => {
                let begins = id.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("/subscriptions/"));
                let message = || {
                    format!("{} is not the resource id of an identity: it must begin with `/subscriptions/`", quote(id))
                };
                begins.then_some(()).ok_or_else(|| TokenError::refused(message()))
            }
            Self::AzureCli { tenant_id, .. } => tenant_id.as_ref().map_or(Ok(()), |id| check_id("tenant id", id)),
        }
    }
}

/// Both ids of an application; both errors if neither is valid.
fn check_ids(tenant_id: &str, client_id: &str) -> Result<(), TokenError> {
    match (check_id("tenant id", tenant_id), check_id("client id", client_id)) {
        (Err(tenant), Err(client)) => {
            let both = TokenError::refused(format!("{tenant}; {client}"));
            Err(tenant.hint.or(client.hint).into_iter().fold(both, TokenError::with_hint))
        }
        (tenant, client) => tenant.and(client),
    }
}

/// An id is a UUID; a tenant's may be a domain.
fn check_id(what: &str, id: &str) -> Result<(), TokenError> {
    if is_placeholder(id) {
        return Err(placeholder(what));
    }
    let sound = id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    sound.then_some(()).ok_or_else(|| TokenError::refused(format!("{} is not a valid {what}", quote(id))))
}

fn is_placeholder(text: &str) -> bool {
    text.eq_ignore_ascii_case("msi")
}

fn placeholder(what: &str) -> TokenError {
    TokenError::refused(format!(
        "the {what} is `msi`, which AKS writes where a cluster has a managed identity and no {what}"
    ))
    .with_hint("use workload identity, or a managed identity with its client id or resource id")
}

/// A credential and the tokens that it was exchanged for. Shared by reference or in an `Arc`.
pub struct Credential {
    kind: CredentialKind,
    endpoints: TokenEndpoints,
    cache: Arc<Cache>,
}

impl Credential {
    /// A credential for one scope, such as `https://management.azure.com/.default`; the clock of `http` times refreshes and
    /// pauses. Sends nothing and reads no file; fails with [`TokenErrorKind::Refused`] on settings that cannot work:
    /// placeholders such as `msi`, ids that are not valid, endpoints over plain http other than on this machine.
    pub fn new(
        kind: CredentialKind,
        endpoints: TokenEndpoints,
        scope: String,
        http: Arc<HttpStack>,
    ) -> Result<Self, TokenError> {
        let exchange = Exchange::new(&kind, &endpoints, scope, &http)?;
        Ok(Self { kind, endpoints, cache: Arc::new(Cache::new(exchange, http)) })
    }

    /// Which credential it is.
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

/// A credential, ready to be exchanged.
enum Exchange {
    Federated { authority: Authority, token_file: PathBuf },
    Managed(Imds),
    Secret { authority: Authority, secret: Secret },
    Certificate { authority: Authority, path: PathBuf },
    Cli { program: PathBuf, tenant_id: Option<String>, scope: String },
}

impl Exchange {
    /// Checks everything that can be checked without a request. Files are read when they are needed.
    fn new(
        kind: &CredentialKind,
        endpoints: &TokenEndpoints,
        scope: String,
        http: &Arc<HttpStack>,
    ) -> Result<Self, TokenError> {
        kind.check()?;
        endpoints.check()?;
        if !scope.ends_with("/.default") {
            return Err(TokenError::refused(format!("the scope `{scope}` does not end with `/.default`")));
        }
        let authority = |tenant_id, client_id| Authority::new(http, &endpoints.authority, tenant_id, client_id, &scope);
        Ok(match kind {
            CredentialKind::WorkloadIdentity { tenant_id, client_id, token_file } => {
                Self::Federated { authority: authority(tenant_id, client_id)?, token_file: token_file.clone() }
            }
            CredentialKind::ManagedIdentity(identity) => {
                Self::Managed(Imds::new(http, &endpoints.imds, identity, &scope)?)
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
    async fn run(&self) -> Result<Issued, TokenError> {
        match self {
            Self::Federated { authority, token_file } => {
                let assertion = certificate::read_token(token_file).await?;
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

/// A request to a token endpoint.
fn token_request(method: Method, url: Url) -> Request {
    Request { time_limit: TIME_LIMIT, size_limit: SIZE_LIMIT, ..Request::new(method, url) }
}

/// Sends a request to a token endpoint once. Fails if there is no whole response, not by its status. `issuer` names the
/// endpoint in errors; `unreachable` is the hint if it does not answer.
async fn send(http: &HttpStack, request: Request, issuer: &str, unreachable: &str) -> Result<Response, TokenError> {
    http.send(request).await.map_err(|error| {
        let what = match &error {
            WireError::TooLong(limit) => {
                return TokenError::unreadable(format!("{issuer} answered with more than {} KiB", limit / 1024));
            }
            WireError::TimedOut(limit) => format!("did not answer within {} s", limit.as_secs()),
            WireError::NotConnected(_) => "cannot be reached".to_owned(),
            WireError::Broken(_) => "broke off the exchange".to_owned(),
        };
        TokenError::unavailable(format!("{issuer} {what}")).with_hint(unreachable).caused_by(error)
    })
}
