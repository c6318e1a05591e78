//! Which credentials are chosen from which file and variables, and what is reported when none can be.

use super::*;
use crate::adapters::cloud_settings::{self, CloudFile};
use crate::domain::problem::Problems;

const TENANT: &str = "11111111-1111-1111-1111-111111111111";

/// The file that AKS writes for a cluster with a managed identity.
const AKS: &str = r#"{"cloud": "AzurePublicCloud", "tenantId": "11111111-1111-1111-1111-111111111111",
    "subscriptionId": "sub-1", "aadClientId": "msi", "aadClientSecret": "msi", "useManagedIdentityExtension": true,
    "userAssignedIdentityID": "kubelet-id", "resourceGroup": "MC_rg", "location": "eastus"}"#;

fn read(file: &str, variables: &[(&str, &str)], selection: &str) -> Result<AzureSettings, Vec<Problem>> {
    let file = {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file).unwrap();
        path
    };
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let selection = if selection == "cli" { CredentialSelection::AzureCli } else { CredentialSelection::Auto };
    let file = CloudFile { path: file.path().to_owned(), named_by: "test".to_owned() };
    CloudSource::new(file, Variables::new(environment), selection).read()
}

fn credential(file: &str, variables: &[(&str, &str)]) -> CredentialKind {
    read(file, variables, "auto").unwrap().credential
}

fn user_assigned(client_id: &str) -> CredentialKind {
    CredentialKind::ManagedIdentity(ManagedIdentity::ClientId(client_id.to_owned()))
}

fn cli(tenant: Option<&str>) -> CredentialKind {
    CredentialKind::AzureCli { tenant_id: tenant.map(str::to_owned), program: "az".into() }
}

fn reported(file: &str, variables: &[(&str, &str)]) -> String {
    let problems = read(file, variables, "auto").unwrap_err();
    problems.iter().map(|problem| format!("{problem:#}")).collect::<Vec<_>>().join("\n")
}

fn with(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(AKS.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

#[test]
fn a_cluster_of_aks_uses_its_managed_identity() {
    let settings = read(AKS, &[], "auto").unwrap();
    assert_eq!(settings.credential, user_assigned("kubelet-id"));
    assert_eq!(
        (settings.subscription_id.as_str(), settings.cloud.name.as_deref()),
        ("sub-1", Some("AzurePublicCloud"))
    );
    assert_eq!(credential(AKS, &[("AZURE_CLIENT_ID", "mine")]), user_assigned("mine"));
    assert_eq!(credential(&with(&[("kubelet-id", "")]), &[]), CredentialKind::ManagedIdentity(ManagedIdentity::System));
    assert_eq!(
        credential(&with(&[("kubelet-id", "msi")]), &[]),
        CredentialKind::ManagedIdentity(ManagedIdentity::System)
    );
    assert_eq!(credential(&with(&[("true", "\"True\"")]), &[]), user_assigned("kubelet-id"));
}

#[test]
fn the_file_is_read_however_its_writer_spells() {
    let identity = user_assigned;
    assert_eq!(credential(&format!("\u{feff}{AKS}"), &[]), identity("kubelet-id"), "a byte order mark");
    assert_eq!(credential(&AKS.replace('\n', "\r\n"), &[]), identity("kubelet-id"));
    let resource = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";
    assert_eq!(
        credential(&with(&[("kubelet-id", &resource.replace('/', "\\/"))]), &[]),
        CredentialKind::ManagedIdentity(ManagedIdentity::ResourceId(resource.to_owned()))
    );
    for number in ["12345678", "0123", "1e10", "0x10", "true", "null"] {
        let file = with(&[("\"sub-1\"", &format!("\"{number}\""))]);
        assert_eq!(read(&file, &[], "auto").unwrap().subscription_id, number, "text stays text");
    }
    let empty = ["AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"].map(|name| (name, ""));
    assert_eq!(credential(AKS, &empty), identity("kubelet-id"), "an empty variable is none");
}

#[test]
fn variables_win_over_the_file_and_workload_identity_over_all() {
    let workload =
        [("AZURE_FEDERATED_TOKEN_FILE", "/token"), ("AZURE_CLIENT_ID", "app"), ("AZURE_CLIENT_SECRET", "geheim")];
    let expected = |client: &str, tenant: &str| CredentialKind::WorkloadIdentity {
        tenant_id: tenant.to_owned(),
        client_id: client.to_owned(),
        token_file: "/token".into(),
    };
    assert_eq!(credential(AKS, &workload), expected("app", TENANT));
    let tenant = [("AZURE_TENANT_ID", "other"), workload[0], workload[1]];
    assert_eq!(credential(AKS, &tenant), expected("app", "other"));
    let from_file = with(&[
        (
            "\"useManagedIdentityExtension\": true",
            "\"useFederatedWorkloadIdentityExtension\": true, \"aadFederatedTokenFile\": \"/token\"",
        ),
        ("\"aadClientId\": \"msi\"", "\"aadClientId\": \"file-app\""),
    ]);
    assert_eq!(credential(&from_file, &[]), expected("file-app", TENANT));
    let secret = [("AZURE_CLIENT_SECRET", "geheim"), ("AZURE_CLIENT_ID", "app")];
    assert!(matches!(credential(AKS, &secret), CredentialKind::ClientSecret { client_id, secret, .. }
        if client_id == "app" && secret.reveal() == "geheim"));
    let certificate = [("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem"), ("AZURE_CLIENT_ID", "app")];
    assert!(
        matches!(credential(AKS, &certificate), CredentialKind::ClientCertificate { path, password: None, .. } if path.as_os_str() == "/c.pem")
    );
}

#[test]
fn a_service_principal_of_the_file_is_used_where_no_identity_is() {
    let secret = with(&[
        ("true", "false"),
        ("\"aadClientSecret\": \"msi\"", "\"aadClientSecret\": \"geheim\""),
        ("\"msi\"", "\"app\""),
    ]);
    assert!(
        matches!(credential(&secret, &[]), CredentialKind::ClientSecret { client_id, secret, .. } if client_id == "app" && secret.reveal() == "geheim")
    );
    let certificate = with(&[
        ("true", "false"),
        ("\"aadClientSecret\": \"msi\"", "\"aadClientCertPath\": \"/c.pem\", \"aadClientCertPassword\": \"geheim\""),
        ("\"msi\"", "\"app\""),
    ]);
    assert!(
        matches!(credential(&certificate, &[]), CredentialKind::ClientCertificate { password: Some(password), .. } if password.reveal() == "geheim")
    );
}

#[test]
fn a_client_secret_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clientSecret");
    let variables = [("AZURE_CLIENT_SECRET_FILE", file.to_str().unwrap()), ("AZURE_CLIENT_ID", "app")];
    let problem = reported(AKS, &variables);
    assert!(problem.contains("AZURE_CLIENT_SECRET_FILE") && problem.contains("clientSecret"), "{problem}");
    std::fs::write(&file, "\n").unwrap();
    assert!(reported(AKS, &variables).contains("is empty"));
    std::fs::write(&file, "geheim \n").unwrap();
    let CredentialKind::ClientSecret { secret, client_id, .. } = credential(AKS, &variables) else {
        panic!("another kind")
    };
    assert_eq!((secret.reveal(), client_id.as_str()), ("geheim ", "app"));
}

/// The placeholder is never taken for an id or a secret.
#[test]
fn placeholders_are_no_credentials() {
    let reported = reported(&with(&[("true", "false")]), &[("AZURE_CLIENT_SECRET", "msi")]);
    assert!(
        reported.contains("credentials for Azure: none") && reported.contains("AZURE_FEDERATED_TOKEN_FILE"),
        "{reported}"
    );
}

#[test]
fn the_azure_cli_is_used_only_when_asked() {
    assert_eq!(read(AKS, &[], "cli").unwrap().credential, cli(Some(TENANT)));
    let variables = [("AZURE_SUBSCRIPTION_ID", "sub-2")];
    let settings = read("{}", &variables, "cli").unwrap();
    assert_eq!((settings.subscription_id.as_str(), settings.credential), ("sub-2", cli(None)));
}

#[test]
fn everything_that_is_missing_is_reported_at_once() {
    let reported = reported(
        r#"{"useFederatedWorkloadIdentityExtension": "maybe", "networkResourceSubscriptionID": "a/b"}"#,
        &[("AZURE_ENVIRONMENT_FILEPATH", "/nowhere/stack.json")],
    );
    for expected in [
        "AZURE_ENVIRONMENT_FILEPATH: ",
        "`subscriptionId`: missing",
        "`networkResourceSubscriptionID`",
        "`a/b` is not a valid subscription id",
        "`useFederatedWorkloadIdentityExtension`",
    ] {
        assert!(reported.contains(expected), "{expected} in {reported}");
    }
    let workload = super::tests::reported("{\"subscriptionId\": \"s\"}", &[("AZURE_FEDERATED_TOKEN_FILE", "/token")]);
    assert!(workload.contains("tenantId") && workload.contains("aadClientId"), "{workload}");
}

/// Every value in effect with its source, as `check-config` and the log show it.
#[test]
fn what_is_in_effect_is_listed_with_its_source() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), AKS).unwrap();
    let listed = |variables: &[(&str, &str)], selection| {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let named = CloudFile { path: file.path().to_owned(), named_by: "AZURE_CONFIG_FILE".to_owned() };
        let source = CloudSource::new(named.clone(), Variables::new(environment), selection);
        let azure = |reader: &mut Reader<'_>| source.read_from(reader);
        let settings = cloud_settings::read(&named, false, azure, &mut Problems::default()).unwrap();
        let line =
            |origin: &cloud_settings::EffectiveValue| format!("{}={} {}", origin.key, origin.value, origin.source);
        settings
            .effective_values
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
            .replace(&file.path().display().to_string(), "F")
    };
    let usual = listed(&[], CredentialSelection::Auto);
    for expected in [
        "file=F AZURE_CONFIG_FILE",
        "cloud=AzurePublicCloud `cloud` in F",
        "subscriptionId=sub-1 `subscriptionId` in F",
        "credentials=managed identity `useManagedIdentityExtension` in F",
        "client-id=kubelet-id `userAssignedIdentityID` in F",
        "location=eastus `location` in F",
        "resourceGroup=MC_rg `resourceGroup` in F",
    ] {
        assert!(usual.lines().any(|line| line == expected), "{expected} is not in\n{usual}");
    }
    let secret = [
        ("AZURE_SUBSCRIPTION_ID", "sub-2"),
        ("AZURE_CLIENT_SECRET", "geheim"),
        ("AZURE_CLIENT_ID", "app"),
        ("AZURE_AUTHORITY_HOST", "https://login.test/"),
    ];
    let by_variables = listed(&secret, CredentialSelection::Auto);
    for expected in [
        "subscriptionId=sub-2 AZURE_SUBSCRIPTION_ID",
        "credentials=client secret AZURE_CLIENT_SECRET",
        "client-id=app AZURE_CLIENT_ID",
        "authority-host=https://login.test/ AZURE_AUTHORITY_HOST",
    ] {
        assert!(by_variables.lines().any(|line| line == expected), "{expected} is not in\n{by_variables}");
    }
    assert!(!by_variables.contains("geheim"));
    let cli = listed(&[], CredentialSelection::AzureCli);
    assert!(cli.contains("credentials=Azure CLI --auth\ntenant-id=11111111-"), "{cli}");
}

#[test]
fn secrets_are_not_shown() {
    let settings = read(AKS, &[("AZURE_CLIENT_SECRET", "geheim"), ("AZURE_CLIENT_ID", "app")], "auto").unwrap();
    assert!(!format!("{settings:?}").contains("geheim"));
    let given = Variables::new(vec![("AZURE_CLIENT_SECRET".to_owned(), "geheim".to_owned())]);
    assert!(!format!("{given:?}").contains("geheim"));
}
