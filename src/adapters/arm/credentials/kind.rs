//! Which credential is used and where it is turned into tokens, checked before anything is sent.
//!
//! Why checked here: on AKS the shared settings file holds the word `msi` in place of ids and secrets; and a secret over
//! plain http, or to a host that a wrong setting named, is a secret given away.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use url::{Host, Url};

use super::error::TokenError;
use super::secret::Secret;
use crate::domain::error::quote;

/// Where the instance metadata service of an Azure machine is.
pub const IMDS: &str = "http://169.254.169.254";

const IMDS_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// What proves who we are.
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
    /// An identity of the machine that we run on.
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

/// Where credentials are turned into tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The authority, such as `https://login.microsoftonline.com/`; the tenant is added to its path.
    pub authority: Url,
    /// The instance metadata service, usually [`IMDS`].
    pub imds: Url,
}

impl Endpoints {
    /// Reads both; the instance metadata service is at its usual address unless another one is given. Fails if one is no
    /// URL.
    pub fn parse(authority: &str, imds: Option<&str>) -> Result<Self, TokenError> {
        let read = |text: &str| {
            Url::parse(text)
                .map_err(|error| TokenError::refused(format!("{} is no URL", quote(text))).with_source(error))
        };
        Ok(Self { authority: read(authority)?, imds: read(imds.unwrap_or(IMDS))? })
    }

    /// Refuses what would send a secret in clear text or take a token from anybody.
    pub(super) fn check(&self) -> Result<(), TokenError> {
        check_url(&self.authority, "authority", is_loopback)?;
        check_url(&self.imds, "instance metadata service", |host| {
            is_loopback(host) || matches!(host, Host::Ipv4(address) if *address == IMDS_ADDRESS)
        })
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
        "http" if may_be_plain(&host) => Ok(()),
        scheme => Err(TokenError::refused(format!("the {what} at {host} would be asked over {scheme}"))
            .with_hint("use an https URL; plain http is taken only for this machine")),
    }
}

/// Whether a host is this very machine.
pub(super) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
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

    /// Refuses ids that cannot be ones, and the placeholders of AKS.
    pub(super) fn check(&self) -> Result<(), TokenError> {
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
                let message =
                    || format!("{} is no resource id of an identity: it must begin with `/subscriptions/`", quote(id));
                begins.then_some(()).ok_or_else(|| TokenError::refused(message()))
            }
            Self::AzureCli { tenant_id, .. } => tenant_id.as_ref().map_or(Ok(()), |id| check_id("tenant id", id)),
        }
    }
}

/// Both ids of an application; both complaints if both are none.
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
    sound.then_some(()).ok_or_else(|| TokenError::refused(format!("the {what} {} is none", quote(id))))
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
