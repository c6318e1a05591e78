//! How Azure is reached: subscription, cloud and credentials, from the cloud settings file and the usual variables.
//!
//! The same file serves clusters of every kind, and AKS fills it in ways that must not be taken at their word
//! (`msi` where there is no secret). Variables win over the file, as with every Azure component; what is chosen is chosen
//! by what is there, never by trying.

use super::credentials::{CredentialKind, ManagedIdentity, Secret};
use crate::adapters::cloud_settings::{AuthKind, Reader, Variables, read_file};
use crate::domain::problem::Problem;
use crate::domain::text::quote;

mod source;

pub use source::CloudSource;

/// What the controller needs to reach Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureSettings {
    /// Subscription of the file systems.
    pub subscription_id: String,
    /// Subscription of the virtual networks, if it is another one.
    pub network_subscription_id: Option<String>,
    /// Name of the cloud; `None` is public Azure.
    pub cloud: Option<String>,
    /// `resourceManagerEndpoint`.
    pub resource_manager: Option<String>,
    /// `AZURE_AUTHORITY_HOST`.
    pub authority_host: Option<String>,
    /// Text of the file that `AZURE_ENVIRONMENT_FILEPATH` names.
    pub environment_file: Option<String>,
    /// Where managed identities are asked for, if not at the usual address (`AZURE_POD_IDENTITY_AUTHORITY_HOST`).
    pub identity_endpoint: Option<String>,
    /// Which credential is used.
    pub auth: CredentialKind,
}

/// Names a file that holds the client secret: a Secret that is mounted into the pod, so that it is in no environment.
const SECRET_FILE: &str = "AZURE_CLIENT_SECRET_FILE";

/// What AKS writes where a cluster has a managed identity and no service principal.
const PLACEHOLDER: &str = "msi";

/// Reads everything; all problems are noted, and everything that is missing.
pub(super) fn read(reader: &mut Reader<'_>, variables: &Variables, kind: AuthKind) -> Option<AzureSettings> {
    let environment_file = variables.get("AZURE_ENVIRONMENT_FILEPATH").map(|path| {
        let read = read_file(path.as_ref()).map_err(|problem| problem.at("AZURE_ENVIRONMENT_FILEPATH"));
        reader.show("environment-file", path, "AZURE_ENVIRONMENT_FILEPATH".to_owned());
        reader.problems.note(read)
    });
    let cloud = reader.shown_text("cloud");
    if cloud.is_none() {
        reader.show("cloud", "AzurePublicCloud", "default".to_owned());
    }
    let resource_manager = reader.shown_text("resourceManagerEndpoint");
    let subscription_id = subscription(reader, variables);
    let network_subscription_id = reader.shown("networkResourceSubscriptionID", id);
    let auth = choose(reader, variables, kind);
    Some(AzureSettings {
        subscription_id: subscription_id?,
        network_subscription_id,
        cloud,
        resource_manager,
        authority_host: address(reader, variables, "authority-host", "AZURE_AUTHORITY_HOST"),
        environment_file: environment_file.map_or(Some(None), |read| read.map(Some))?,
        identity_endpoint: address(reader, variables, "identity-endpoint", "AZURE_POD_IDENTITY_AUTHORITY_HOST"),
        auth: auth?,
    })
}

fn subscription(reader: &mut Reader<'_>, variables: &Variables) -> Option<String> {
    let variable = "AZURE_SUBSCRIPTION_ID";
    let Some(text) = variables.get(variable) else {
        return reader.shown("subscriptionId", id).or_else(|| reader.missing("subscriptionId", variable));
    };
    let id = reader.problems.note(checked(variable, text))?;
    reader.show("subscriptionId", &id, variable.to_owned());
    Some(id)
}

fn address(reader: &mut Reader<'_>, variables: &Variables, key: &'static str, variable: &str) -> Option<String> {
    let address = variables.get(variable)?;
    reader.show(key, address, variable.to_owned());
    Some(address.to_owned())
}

/// An id that can stand in a path.
fn id(text: &str) -> Result<String, String> {
    let valid = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if valid { Ok(text.to_owned()) } else { Err(format!("{} is no subscription id", quote(text))) }
}

fn checked(variable: &str, text: &str) -> Result<String, Problem> {
    id(text).map_err(|rule| Problem::new(rule).with_hint("give the subscription's UUID").at(variable))
}

/// A value and where it came from.
type Sourced = (String, String);

/// Tenant and application, as far as they are known.
struct Parties {
    tenant_id: Option<Sourced>,
    client_id: Option<Sourced>,
}

impl Parties {
    /// Both, or a note of what this kind of credentials, which `source` chose, lacks.
    fn both(&self, what: &str, source: &str, reader: &mut Reader<'_>) -> Option<(String, String)> {
        reader.show("credentials", what, source.to_owned());
        let tenant = self.tenant_id.clone().or_else(|| reader.needed(what, "tenantId", "AZURE_TENANT_ID"));
        let client = self.client_id.clone().or_else(|| reader.needed(what, "aadClientId", "AZURE_CLIENT_ID"));
        let ((tenant, from), (client, of)) = (tenant?, client?);
        reader.show("client-id", &client, of);
        reader.show("tenant-id", &tenant, from);
        Some((tenant, client))
    }

    fn token_file(&self, (path, source): Sourced, reader: &mut Reader<'_>) -> Option<CredentialKind> {
        let (tenant_id, client_id) = self.both("workload identity", &source, reader)?;
        reader.show("token-file", &path, source);
        Some(CredentialKind::WorkloadIdentity { tenant_id, client_id, token_file: path.into() })
    }

    fn secret(&self, (secret, source): Sourced, reader: &mut Reader<'_>) -> Option<CredentialKind> {
        let (tenant_id, client_id) = self.both("client secret", &source, reader)?;
        Some(CredentialKind::ClientSecret { tenant_id, client_id, secret: Secret::new(secret) })
    }

    fn certificate(
        &self,
        (path, source): Sourced,
        password: Option<String>,
        reader: &mut Reader<'_>,
    ) -> Option<CredentialKind> {
        let (tenant_id, client_id) = self.both("client certificate", &source, reader)?;
        reader.show("certificate", &path, source);
        let password = password.map(Secret::new);
        Some(CredentialKind::ClientCertificate { tenant_id, client_id, path: path.into(), password })
    }
}

fn is_real(text: &str) -> bool {
    !text.eq_ignore_ascii_case(PLACEHOLDER)
}

/// The first that is there: variables before the file; of each, workload identity, managed identity, service principal.
fn choose(reader: &mut Reader<'_>, variables: &Variables, kind: AuthKind) -> Option<CredentialKind> {
    let variable = |name: &str| variables.get(name).map(|value| (value.to_owned(), name.to_owned()));
    let tenant_id = variable("AZURE_TENANT_ID").or_else(|| from_key(reader, "tenantId"));
    if kind == AuthKind::Cli {
        reader.show("credentials", "Azure CLI", "--auth".to_owned());
        if let Some((tenant, source)) = &tenant_id {
            reader.show("tenant-id", tenant, source.clone());
        }
        return Some(CredentialKind::AzureCli { tenant_id: tenant_id.map(|(tenant, _)| tenant), program: "az".into() });
    }
    let asked_client = variable("AZURE_CLIENT_ID");
    let client_id = asked_client.clone().or_else(|| from_key(reader, "aadClientId").filter(|(text, _)| is_real(text)));
    let parties = Parties { tenant_id, client_id };
    if let Some(path) = variable("AZURE_FEDERATED_TOKEN_FILE") {
        return parties.token_file(path, reader);
    }
    if let Some(secret) = variable("AZURE_CLIENT_SECRET").filter(|(text, _)| is_real(text)) {
        return parties.secret(secret, reader);
    }
    if let Some(path) = variables.get(SECRET_FILE) {
        let secret = reader.problems.note(secret_of(path))?;
        return parties.secret((secret, SECRET_FILE.to_owned()), reader);
    }
    if let Some(path) = variable("AZURE_CLIENT_CERTIFICATE_PATH") {
        let password = variable("AZURE_CLIENT_CERTIFICATE_PASSWORD").map(|(password, _)| password);
        return parties.certificate(path, password, reader);
    }
    from_file(reader, &parties, asked_client)
}

/// The secret in a file, without the line break that editors put at its end.
fn secret_of(path: &str) -> Result<String, Problem> {
    let text = read_file(path.as_ref()).map_err(|problem| problem.at(SECRET_FILE))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        let problem = Problem::new(format!("{} is empty", quote(path))).at(SECRET_FILE);
        return Err(problem.with_hint("write the client secret into it"));
    }
    Ok(secret.to_owned())
}

fn from_key(reader: &mut Reader<'_>, key: &str) -> Option<Sourced> {
    let value = reader.text(key)?;
    Some((value, reader.source(key)))
}

fn from_file(reader: &mut Reader<'_>, parties: &Parties, asked_client: Option<Sourced>) -> Option<CredentialKind> {
    let federated = reader.flag("useFederatedWorkloadIdentityExtension");
    let managed = reader.flag("useManagedIdentityExtension");
    if federated? {
        let file = from_key(reader, "aadFederatedTokenFile");
        let needed = "AZURE_FEDERATED_TOKEN_FILE";
        let file = file.or_else(|| reader.needed("workload identity", "aadFederatedTokenFile", needed))?;
        return parties.token_file(file, reader);
    }
    if managed? {
        return Some(managed_identity(reader, asked_client));
    }
    if let Some(secret) = from_key(reader, "aadClientSecret").filter(|(text, _)| is_real(text)) {
        return parties.secret(secret, reader);
    }
    if let Some(path) = from_key(reader, "aadClientCertPath") {
        let password = reader.text("aadClientCertPassword");
        return parties.certificate(path, password, reader);
    }
    reader.no_credentials()
}

fn managed_identity(reader: &mut Reader<'_>, asked_client: Option<Sourced>) -> CredentialKind {
    let source = reader.source("useManagedIdentityExtension");
    reader.show("credentials", "managed identity", source);
    let key = "userAssignedIdentityID";
    let assigned = asked_client.or_else(|| from_key(reader, key).filter(|(text, _)| is_real(text)));
    match &assigned {
        Some((id, source)) => reader.show("client-id", id, source.clone()),
        None => reader.show("client-id", "the identity of the machine", "default".to_owned()),
    }
    CredentialKind::ManagedIdentity(match assigned {
        None => ManagedIdentity::System,
        Some((id, _)) if id.to_ascii_lowercase().contains("/subscriptions/") => ManagedIdentity::ResourceId(id),
        Some((id, _)) => ManagedIdentity::ClientId(id),
    })
}

#[cfg(test)]
mod tests;
