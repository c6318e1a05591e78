//! Credentials: tokens for ARM from workload identity, managed identity, client secret, client certificate and the Azure
//! CLI.
//!
//! The credentials of the SDK's version read a federated token once, know no user-assigned identities, set no time limits and
//! hold a lock while they wait; hence these.
//!
//! ```text
//!   ReloadingCredential ──> Credential ──> TokenCache ──one at a time──> Exchange ─┬─> entra (token file, certificate, secret)
//!   a new credential when                                                        ├─> imds (managed identities)
//!   the settings change                                                          └─> cli (for use at a terminal)
//! ```
//!
//! No token, secret, assertion or password is in any log, error, `Debug` or `Display` output.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use url::{Host, Url};

mod cache;
mod certificate;
mod cli;
mod entra;
mod imds;

pub use cache::{CredentialSource, ReloadingCredential};

use self::cache::TokenCache;
use self::entra::{Application, Issued, Proof};
use super::http::stack::HttpStack;
use super::http::{HttpError, Method, Request, Response, is_loopback};
pub use super::token::{Secret, TokenError, TokenErrorKind, TokenProvider};
use crate::domain::text::quote;

/// Address of the instance metadata service of an Azure machine.
pub const IMDS: &str = "http://169.254.169.254";

const IMDS_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Time limit of one request, from name resolution to the end of the body.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Longest response of a token endpoint that is read, in bytes.
const SIZE_LIMIT: usize = 64 * 1024;

/// A credential and its settings.
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
    /// The account that is signed in to the Azure CLI: for use at a terminal, only with `--auth cli`.
    AzureCli {
        /// The tenant, if not the CLI's own default.
        tenant_id: Option<String>,
        /// The CLI: a path, or a name that is searched in `PATH`.
        program: PathBuf,
    },
}

/// One of the identities of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagedIdentity {
    /// System-assigned.
    System,
    /// User-assigned, by its client id.
    ClientId(String),
    /// User-assigned, by its resource id (`/subscriptions/…`).
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
    /// Parses both; `None` is [`IMDS`]. Fails if one is not a URL.
    pub fn parse(authority: &str, imds: Option<&str>) -> Result<Self, TokenError> {
        let url = |text: &str| {
            Url::parse(text)
                .map_err(|error| TokenError::refused(format!("{} is not a URL", quote(text))).caused_by(error))
        };
        let hint = "unset AZURE_POD_IDENTITY_AUTHORITY_HOST, or set it to the URL of the instance metadata service";
        let imds = url(imds.unwrap_or(IMDS)).map_err(|error| error.with_hint(hint))?;
        Ok(Self { authority: url(authority)?, imds })
    }

    /// Refuses URLs that would send a secret in clear text or accept a token from any host.
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
        scheme => Err(TokenError::refused(format!("the {what} at {host} would be reached over {scheme}"))
            .with_hint("use an https URL; plain http is accepted only for this machine")),
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

/// A credential with the tokens that it was exchanged for.
pub struct Credential(Arc<TokenCache>);

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
        kind.check()?;
        endpoints.check()?;
        if !scope.ends_with("/.default") {
            return Err(TokenError::refused(format!("the scope `{scope}` does not end with `/.default`")));
        }
        Ok(Self(Arc::new(TokenCache::new(Exchange { kind, endpoints, scope, http }))))
    }

    /// Its kind and settings.
    pub fn kind(&self) -> &CredentialKind {
        &self.0.exchange.kind
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TokenEndpoints { authority, imds } = &self.0.exchange.endpoints;
        f.debug_struct("Credential")
            .field("kind", self.kind())
            .field("authority", &authority.as_str())
            .field("imds", &imds.as_str())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenProvider for Credential {
    /// A token that is valid now. Usually at once; waits for an exchange when there is none, and fails only if that fails
    /// too. One attempt at an exchange takes at most 10 s (the Azure CLI: 30 s), and of a managed identity up to five
    /// attempts are made. Needs a tokio runtime, in which an exchange runs to its end even if its callers leave.
    async fn token(&self) -> Result<Secret, TokenError> {
        self.0.token().await
    }

    /// Reports that ARM answered 401 to this token: it is not provided again, unless its issuer still issues it a minute
    /// later.
    fn reject(&self, token: &Secret) {
        tracing::debug!(credential = self.kind().name(), "a token was rejected");
        self.0.reject(token);
    }
}

/// The exchange of a checked credential for tokens.
struct Exchange {
    kind: CredentialKind,
    endpoints: TokenEndpoints,
    scope: String,
    http: Arc<HttpStack>,
}

impl Exchange {
    /// Gets a new token. Files are read now.
    async fn run(&self) -> Result<Issued, TokenError> {
        let Self { kind, endpoints: TokenEndpoints { authority, imds }, scope, http } = self;
        let application = |tenant_id, client_id| Application { http, authority, tenant_id, client_id, scope };
        match kind {
            CredentialKind::WorkloadIdentity { tenant_id, client_id, token_file } => {
                let assertion = certificate::read_token(token_file).await?;
                application(tenant_id, client_id).exchange(Proof::Assertion(&assertion)).await
            }
            CredentialKind::ManagedIdentity(identity) => imds::exchange(http, imds, identity, scope).await,
            CredentialKind::ClientSecret { tenant_id, client_id, secret } => {
                application(tenant_id, client_id).exchange(Proof::Secret(secret)).await
            }
            CredentialKind::ClientCertificate { tenant_id, client_id, path, password: _ } => {
                let application = application(tenant_id, client_id);
                let assertion = certificate::assertion(path, client_id, application.token_url().as_str()).await?;
                application.exchange(Proof::Assertion(&assertion)).await
            }
            CredentialKind::AzureCli { tenant_id, program } => {
                cli::exchange(program, tenant_id.as_deref(), scope).await
            }
        }
    }
}

/// A URL below a checked endpoint, which has a host and so takes a path.
fn url_below(endpoint: &Url, path: &[&str]) -> Url {
    let mut url = endpoint.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// A request to a token endpoint.
fn token_request(method: Method, url: Url) -> Request {
    Request { time_limit: TIME_LIMIT, size_limit: SIZE_LIMIT, ..Request::new(method, url) }
}

/// Sends a request to a token endpoint once. Fails if there is no whole response, not by its status. `issuer` names the
/// endpoint in errors; `unreachable` is the hint if there is no response.
async fn send(http: &HttpStack, request: Request, issuer: &str, unreachable: &str) -> Result<Response, TokenError> {
    http.send(request).await.map_err(|error| {
        let what = match &error {
            HttpError::TooLong(limit) => {
                return TokenError::unreadable(format!("{issuer} answered with more than {} KiB", limit / 1024));
            }
            HttpError::TimedOut(limit) => format!("did not answer within {} s", limit.as_secs()),
            HttpError::NotConnected(_) => "cannot be reached".to_owned(),
            HttpError::Broken(_) => "broke off the exchange".to_owned(),
        };
        TokenError::unavailable(format!("{issuer} {what}")).with_hint(unreachable).caused_by(error)
    })
}
