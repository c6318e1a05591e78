//! Which credentials are chosen from which file and variables, and what is told when none can be.

use super::*;
use crate::app::problem::Problems;
use crate::app::settings::cloud;

const TENANT: &str = "11111111-1111-1111-1111-111111111111";

/// The file that AKS writes for a cluster with a managed identity.
const AKS: &str = r#"{"cloud": "AzurePublicCloud", "tenantId": "11111111-1111-1111-1111-111111111111",
    "subscriptionId": "sub-1", "aadClientId": "msi", "aadClientSecret": "msi", "useManagedIdentityExtension": true,
    "userAssignedIdentityID": "kubelet-id", "resourceGroup": "MC_rg", "location": "eastus"}"#;

fn read(file: &str, variables: &[(&str, &str)], auth: &str) -> Result<AzureSettings, Problems> {
    let file = {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file).unwrap();
        path
    };
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let given = RawSettings { flags: Vec::new(), environment };
    let mut problems = Problems::default();
    let kind = if auth == "cli" { AuthKind::Cli } else { AuthKind::Auto };
    let file = cloud::CloudFile { path: file.path().to_owned(), named_by: "test".to_owned() };
    let settings = cloud::read(&file, true, Some((&given, kind)), &mut problems);
    for missing in settings.iter().flat_map(|settings| &settings.missing) {
        problems.push(missing.clone());
    }
    problems.into_result(settings.and_then(|settings| settings.azure))
}

fn auth(file: &str, variables: &[(&str, &str)]) -> Auth {
    read(file, variables, "auto").unwrap().auth
}

fn told(file: &str, variables: &[(&str, &str)]) -> String {
    let problems = read(file, variables, "auto").unwrap_err();
    problems.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
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
    assert_eq!(settings.auth, Auth::ManagedIdentity(Some("kubelet-id".to_owned())));
    assert_eq!((settings.subscription_id.as_str(), settings.cloud.as_deref()), ("sub-1", Some("AzurePublicCloud")));
    assert_eq!(auth(AKS, &[("AZURE_CLIENT_ID", "mine")]), Auth::ManagedIdentity(Some("mine".to_owned())));
    assert_eq!(auth(&with(&[("kubelet-id", "")]), &[]), Auth::ManagedIdentity(None));
    assert_eq!(auth(&with(&[("kubelet-id", "msi")]), &[]), Auth::ManagedIdentity(None));
    assert_eq!(auth(&with(&[("true", "\"True\"")]), &[]), Auth::ManagedIdentity(Some("kubelet-id".to_owned())));
}

#[test]
fn the_file_is_read_however_its_writer_spells() {
    let identity = |id: &str| Auth::ManagedIdentity(Some(id.to_owned()));
    assert_eq!(auth(&format!("\u{feff}{AKS}"), &[]), identity("kubelet-id"), "a byte order mark");
    assert_eq!(auth(&AKS.replace('\n', "\r\n"), &[]), identity("kubelet-id"));
    let resource = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";
    assert_eq!(auth(&with(&[("kubelet-id", &resource.replace('/', "\\/"))]), &[]), identity(resource));
    for number in ["12345678", "0123", "1e10", "0x10", "true", "null"] {
        let file = with(&[("\"sub-1\"", &format!("\"{number}\""))]);
        assert_eq!(read(&file, &[], "auto").unwrap().subscription_id, number, "text stays text");
    }
    let empty = ["AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"].map(|name| (name, ""));
    assert_eq!(auth(AKS, &empty), identity("kubelet-id"), "an empty variable is none");
}

#[test]
fn variables_win_over_the_file_and_workload_identity_over_all() {
    let workload =
        [("AZURE_FEDERATED_TOKEN_FILE", "/token"), ("AZURE_CLIENT_ID", "app"), ("AZURE_CLIENT_SECRET", "geheim")];
    let expected = |client: &str, tenant: &str| Auth::WorkloadIdentity {
        tenant_id: tenant.to_owned(),
        client_id: client.to_owned(),
        token_file: "/token".into(),
    };
    assert_eq!(auth(AKS, &workload), expected("app", TENANT));
    let tenant = [("AZURE_TENANT_ID", "other"), workload[0], workload[1]];
    assert_eq!(auth(AKS, &tenant), expected("app", "other"));
    let from_file = with(&[
        (
            "\"useManagedIdentityExtension\": true",
            "\"useFederatedWorkloadIdentityExtension\": true, \"aadFederatedTokenFile\": \"/token\"",
        ),
        ("\"aadClientId\": \"msi\"", "\"aadClientId\": \"file-app\""),
    ]);
    assert_eq!(auth(&from_file, &[]), expected("file-app", TENANT));
    let secret = [("AZURE_CLIENT_SECRET", "geheim"), ("AZURE_CLIENT_ID", "app")];
    assert!(matches!(auth(AKS, &secret), Auth::ClientSecret { client_id, secret, .. }
        if client_id == "app" && secret.reveal() == "geheim"));
    let certificate = [("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem"), ("AZURE_CLIENT_ID", "app")];
    assert!(
        matches!(auth(AKS, &certificate), Auth::ClientCertificate { path, password: None, .. } if path.as_os_str() == "/c.pem")
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
        matches!(auth(&secret, &[]), Auth::ClientSecret { client_id, secret, .. } if client_id == "app" && secret.reveal() == "geheim")
    );
    let certificate = with(&[
        ("true", "false"),
        ("\"aadClientSecret\": \"msi\"", "\"aadClientCertPath\": \"/c.pem\", \"aadClientCertPassword\": \"geheim\""),
        ("\"msi\"", "\"app\""),
    ]);
    assert!(
        matches!(auth(&certificate, &[]), Auth::ClientCertificate { password: Some(password), .. } if password.reveal() == "geheim")
    );
}

#[test]
fn a_client_secret_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clientSecret");
    let variables = [("AZURE_CLIENT_SECRET_FILE", file.to_str().unwrap()), ("AZURE_CLIENT_ID", "app")];
    let problem = told(AKS, &variables);
    assert!(problem.contains("AZURE_CLIENT_SECRET_FILE") && problem.contains("clientSecret"), "{problem}");
    std::fs::write(&file, "\n").unwrap();
    assert!(told(AKS, &variables).contains("is empty"));
    std::fs::write(&file, "geheim \n").unwrap();
    let Auth::ClientSecret { secret, client_id, .. } = auth(AKS, &variables) else { panic!("another kind") };
    assert_eq!((secret.0.as_str(), client_id.as_str()), ("geheim ", "app"));
}

/// The placeholder is never taken for an id or a secret.
#[test]
fn placeholders_are_no_credentials() {
    let told = told(&with(&[("true", "false")]), &[("AZURE_CLIENT_SECRET", "msi")]);
    assert!(told.contains("credentials for Azure: none") && told.contains("AZURE_FEDERATED_TOKEN_FILE"), "{told}");
}

#[test]
fn the_azure_cli_is_used_only_when_asked() {
    assert_eq!(read(AKS, &[], "cli").unwrap().auth, Auth::AzureCli(Some(TENANT.to_owned())));
    let variables = [("AZURE_SUBSCRIPTION_ID", "sub-2")];
    let settings = read("{}", &variables, "cli").unwrap();
    assert_eq!((settings.subscription_id.as_str(), settings.auth), ("sub-2", Auth::AzureCli(None)));
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let told = told(
        r#"{"useFederatedWorkloadIdentityExtension": "maybe", "networkResourceSubscriptionID": "a/b"}"#,
        &[("AZURE_ENVIRONMENT_FILEPATH", "/nowhere/stack.json")],
    );
    for expected in [
        "AZURE_ENVIRONMENT_FILEPATH: ",
        "`subscriptionId`: missing",
        "`networkResourceSubscriptionID`",
        "`a/b` is no subscription id",
        "`useFederatedWorkloadIdentityExtension`",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    let workload = super::tests::told("{\"subscriptionId\": \"s\"}", &[("AZURE_FEDERATED_TOKEN_FILE", "/token")]);
    assert!(workload.contains("tenantId") && workload.contains("aadClientId"), "{workload}");
}

/// Every value in effect with its source, as `check-config` and the log show it.
#[test]
fn what_is_in_effect_is_listed_with_its_source() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), AKS).unwrap();
    let listed = |variables: &[(&str, &str)], kind| {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let given = RawSettings { flags: Vec::new(), environment };
        let named = cloud::CloudFile { path: file.path().to_owned(), named_by: "AZURE_CONFIG_FILE".to_owned() };
        let settings = cloud::read(&named, false, Some((&given, kind)), &mut Problems::default()).unwrap();
        let line = |origin: &crate::app::settings::Origin| format!("{}={} {}", origin.key, origin.value, origin.source);
        settings
            .origins
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
            .replace(&file.path().display().to_string(), "F")
    };
    let usual = listed(&[], AuthKind::Auto);
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
    let by_variables = listed(&secret, AuthKind::Auto);
    for expected in [
        "subscriptionId=sub-2 AZURE_SUBSCRIPTION_ID",
        "credentials=client secret AZURE_CLIENT_SECRET",
        "client-id=app AZURE_CLIENT_ID",
        "authority-host=https://login.test/ AZURE_AUTHORITY_HOST",
    ] {
        assert!(by_variables.lines().any(|line| line == expected), "{expected} is not in\n{by_variables}");
    }
    assert!(!by_variables.contains("geheim"));
    let cli = listed(&[], AuthKind::Cli);
    assert!(cli.contains("credentials=Azure CLI --auth\ntenant-id=11111111-"), "{cli}");
}

#[test]
fn secrets_are_not_shown() {
    let settings = read(AKS, &[("AZURE_CLIENT_SECRET", "geheim"), ("AZURE_CLIENT_ID", "app")], "auto").unwrap();
    assert!(!format!("{settings:?}").contains("geheim"));
    let given =
        RawSettings { flags: Vec::new(), environment: vec![("AZURE_CLIENT_SECRET".to_owned(), "geheim".to_owned())] };
    assert!(!format!("{given:?}").contains("geheim"));
}
