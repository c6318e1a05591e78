//! [`AzureSettings`]: subscription, cloud and credential, from the cluster's cloud settings file (azure.json) and the `AZURE_*`
//! variables.
//!
//! Variables take precedence over the file, as with every Azure component. The credential is the first whose settings are
//! present; none is tried. AKS writes the placeholder `msi` where a cluster has no service principal. Keys of the file:
//! <https://cloud-provider-azure.sigs.k8s.io/install/configs/>.

use super::credentials::{CredentialKind, ManagedIdentity, Secret};
use super::environment::CloudSelection;
use crate::adapters::cloud_settings::{CredentialSelection, Reader, Variables, read_file};
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
    /// The cloud and its endpoints.
    pub cloud: CloudSelection,
    /// The instance metadata service, if not at its usual address (`AZURE_POD_IDENTITY_AUTHORITY_HOST`).
    pub identity_endpoint: Option<String>,
    /// The credential.
    pub credential: CredentialKind,
}

/// Names a file with the client secret: a Secret that is mounted into the pod, so that it is in no environment.
const SECRET_FILE: &str = "AZURE_CLIENT_SECRET_FILE";

/// What AKS writes where a cluster has a managed identity and no service principal.
const PLACEHOLDER: &str = "msi";

/// Reads the settings; all problems and all missing values are reported to `reader`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    variables: &Variables,
    selection: CredentialSelection,
) -> Option<AzureSettings> {
    let environment_file = variables.get("AZURE_ENVIRONMENT_FILEPATH").map(|path| {
        let read = read_file(path.as_ref()).map_err(|problem| problem.at("AZURE_ENVIRONMENT_FILEPATH"));
        reader.show("environment-file", path, "AZURE_ENVIRONMENT_FILEPATH".to_owned());
        reader.problems.note(read)
    });
    let name = reader.shown_text("cloud");
    if name.is_none() {
        reader.show("cloud", "AzurePublicCloud", "default".to_owned());
    }
    let resource_manager = reader.shown_text("resourceManagerEndpoint");
    let subscription_id = subscription(reader, variables);
    let network_subscription_id = reader.shown("networkResourceSubscriptionID", id);
    let credential = credential(reader, variables, selection);
    Some(AzureSettings {
        subscription_id: subscription_id?,
        network_subscription_id,
        cloud: CloudSelection {
            name,
            resource_manager,
            authority_host: variable(reader, variables, "authority-host", "AZURE_AUTHORITY_HOST"),
            environment_file: environment_file.map_or(Some(None), |read| read.map(Some))?,
        },
        identity_endpoint: variable(reader, variables, "identity-endpoint", "AZURE_POD_IDENTITY_AUTHORITY_HOST"),
        credential: credential?,
    })
}

fn subscription(reader: &mut Reader<'_>, variables: &Variables) -> Option<String> {
    let variable = "AZURE_SUBSCRIPTION_ID";
    let Some(text) = variables.get(variable) else {
        return reader.shown("subscriptionId", id).or_else(|| {
            let message = format!("`subscriptionId`: missing in {}", reader.path());
            let hint = format!(
                "mount the cluster's azure.json into the container (or name it by AZURE_CONFIG_FILE), or set {variable}"
            );
            reader.missing(message, hint)
        });
    };
    let hint = "give the subscription's UUID";
    let id = id(text).map_err(|rule| Problem::new(rule).with_hint(hint).at(variable));
    let id = reader.problems.note(id)?;
    reader.show("subscriptionId", &id, variable.to_owned());
    Some(id)
}

fn variable(reader: &mut Reader<'_>, variables: &Variables, key: &'static str, name: &str) -> Option<String> {
    let value = variables.get(name)?;
    reader.show(key, value, name.to_owned());
    Some(value.to_owned())
}

/// An id that can stand in a path.
fn id(text: &str) -> Result<String, String> {
    let valid = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if valid { Ok(text.to_owned()) } else { Err(format!("{} is not a valid subscription id", quote(text))) }
}

/// A value and its source: a variable, or a key of the file.
type Sourced = (String, String);

/// Tenant and client id, as far as they are set.
struct Application {
    tenant_id: Option<Sourced>,
    client_id: Option<Sourced>,
}

impl Application {
    /// Both ids for this credential, which `source` selected; a missing id is reported to `reader`.
    fn both(&self, what: &str, source: &str, reader: &mut Reader<'_>) -> Option<(String, String)> {
        reader.show("credentials", what, source.to_owned());
        let tenant = self.tenant_id.clone().or_else(|| lacks(reader, what, "tenantId", "AZURE_TENANT_ID"));
        let client = self.client_id.clone().or_else(|| lacks(reader, what, "aadClientId", "AZURE_CLIENT_ID"));
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

/// The first credential whose settings are present: variables before the file; of each, workload identity, managed identity,
/// service principal.
fn credential(
    reader: &mut Reader<'_>,
    variables: &Variables,
    selection: CredentialSelection,
) -> Option<CredentialKind> {
    let variable = |name: &str| variables.get(name).map(|value| (value.to_owned(), name.to_owned()));
    let tenant_id = variable("AZURE_TENANT_ID").or_else(|| from_key(reader, "tenantId"));
    if selection == CredentialSelection::AzureCli {
        reader.show("credentials", "Azure CLI", "--auth".to_owned());
        if let Some((tenant, source)) = &tenant_id {
            reader.show("tenant-id", tenant, source.clone());
        }
        return Some(CredentialKind::AzureCli { tenant_id: tenant_id.map(|(tenant, _)| tenant), program: "az".into() });
    }
    let client_variable = variable("AZURE_CLIENT_ID");
    let client_id =
        client_variable.clone().or_else(|| from_key(reader, "aadClientId").filter(|(text, _)| is_real(text)));
    let application = Application { tenant_id, client_id };
    if let Some(path) = variable("AZURE_FEDERATED_TOKEN_FILE") {
        return application.token_file(path, reader);
    }
    if let Some(secret) = variable("AZURE_CLIENT_SECRET").filter(|(text, _)| is_real(text)) {
        return application.secret(secret, reader);
    }
    if let Some(path) = variables.get(SECRET_FILE) {
        let secret = reader.problems.note(secret_of(path))?;
        return application.secret((secret, SECRET_FILE.to_owned()), reader);
    }
    if let Some(path) = variable("AZURE_CLIENT_CERTIFICATE_PATH") {
        let password = variable("AZURE_CLIENT_CERTIFICATE_PASSWORD").map(|(password, _)| password);
        return application.certificate(path, password, reader);
    }
    from_file(reader, &application, client_variable)
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

fn from_file(
    reader: &mut Reader<'_>,
    application: &Application,
    client_variable: Option<Sourced>,
) -> Option<CredentialKind> {
    let federated = reader.flag("useFederatedWorkloadIdentityExtension");
    let managed = reader.flag("useManagedIdentityExtension");
    if federated? {
        let file = from_key(reader, "aadFederatedTokenFile");
        let variable = "AZURE_FEDERATED_TOKEN_FILE";
        let file = file.or_else(|| lacks(reader, "workload identity", "aadFederatedTokenFile", variable))?;
        return application.token_file(file, reader);
    }
    if managed? {
        return Some(managed_identity(reader, client_variable));
    }
    if let Some(secret) = from_key(reader, "aadClientSecret").filter(|(text, _)| is_real(text)) {
        return application.secret(secret, reader);
    }
    if let Some(path) = from_key(reader, "aadClientCertPath") {
        let password = reader.text("aadClientCertPassword");
        return application.certificate(path, password, reader);
    }
    let message = format!(
        "credentials for Azure: none; neither the variables nor the cloud settings ({}) hold any",
        reader.path()
    );
    reader.missing(
        message,
        "use workload identity (its webhook sets AZURE_FEDERATED_TOKEN_FILE), or set useManagedIdentityExtension or \
         aadClientId and aadClientSecret in the cloud settings, or use `--auth cli` at a terminal",
    )
}

/// Reports that a credential lacks a value.
fn lacks<T>(reader: &mut Reader<'_>, credential: &str, key: &str, variable: &str) -> Option<T> {
    let message = format!("{credential} needs {} in {} or {variable}", quote(key), reader.path());
    reader.missing(message, "set it, or use other credentials")
}

fn managed_identity(reader: &mut Reader<'_>, client_variable: Option<Sourced>) -> CredentialKind {
    let source = reader.source("useManagedIdentityExtension");
    reader.show("credentials", "managed identity", source);
    let key = "userAssignedIdentityID";
    let assigned = client_variable.or_else(|| from_key(reader, key).filter(|(text, _)| is_real(text)));
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
