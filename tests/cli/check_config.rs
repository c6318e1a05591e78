//! `check-config`, and the start of a driver with settings that cannot work.

#[cfg(any(feature = "simulator", not(all(feature = "arm", feature = "kernel"))))]
use super::run;
use super::{AZURE_JSON, run_with, settings, write};

#[test]
fn check_config_reports_all_problems_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let config = write(directory.path(), "settings.toml", "log-format = 'jsn'\nmoed = 'node'\n");
    let cloud = write(directory.path(), "azure.json", r#"{"location": "a/b", "aadClientSecret": "geheim"}"#);
    let environment = [("AZURELUSTRE_CSI_ENDPOINT", "tmp/csi.sock"), ("AZURELUSTRE_CSI_SERVICE_HOST", "10.0.0.1")];
    let ran = run_with(
        &environment,
        &["check-config", "--config", &config, "--cloud-config", &cloud, "--mode=nod", "--simulator-speed=-1"],
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    for expected in [
        "--mode: `nod` is not one of".to_owned(),
        "--simulator-speed: `-1` is not a valid speed".to_owned(),
        "AZURELUSTRE_CSI_ENDPOINT: `tmp/csi.sock` is not an endpoint".to_owned(),
        format!("`moed` in {config}: no setting has this name"),
        format!("`log-format` in {config}: `jsn` is not one of text, json"),
        format!("`location` in {cloud}: `a/b` is not an Azure region"),
    ] {
        assert!(ran.stderr.contains(&format!("error: {expected}")), "{expected}\n-- in --\n{}", ran.stderr);
    }
    assert_eq!(ran.stderr.matches("error: ").count(), 6, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("hint: ").count(), 6, "{}", ran.stderr);
    assert!(!ran.stderr.contains("geheim"));
}

#[cfg(not(all(feature = "arm", feature = "kernel")))]
#[test]
fn adapters_that_are_not_there_end_the_start_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = format!("--endpoint=unix://{}/csi.sock", directory.path().display());
    let mut cases = Vec::new();
    if !cfg!(feature = "kernel") {
        cases.extend([("all", "--mounter=kernel"), ("node", "--mounter=kernel")]);
    }
    if !cfg!(feature = "arm") {
        cases.extend([("all", "--cloud=arm"), ("controller", "--cloud=arm")]);
    }
    for (mode, setting) in cases {
        let ran = run(&[&endpoint, "--nodeid=n", "--mode", mode]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{}", ran.stderr);
        assert!(
            ran.stderr.contains(&format!("error: {setting}: this build cannot")) && ran.stderr.contains("\nhint: say "),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "no socket was made");
}

/// Without cloud settings the driver serves static volumes; `check-config` warns of everything that is missing, and what
/// asks Azure fails with it.
#[test]
fn incomplete_cloud_settings_are_a_warning_of_check_config() {
    let directory = tempfile::tempdir().unwrap();
    let empty = write(directory.path(), "azure.json", "{\"cloud\": \"AzurePublicCloud\"}");
    let missing = ["`subscriptionId`: missing", "credentials for Azure: none", "AZURE_CONFIG_FILE"];
    let ran = run_with(&[], &["check-config", "--mode=controller", "--cloud-config", &empty]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("warning: dynamic provisioning is off"), "{}", ran.stderr);
    for expected in missing {
        assert!(ran.stderr.contains(expected), "{expected} in {}", ran.stderr);
    }
    if cfg!(feature = "arm") {
        for asking in [&["check-config", "--online", "--mode=controller"] as &[_], &["skus", "-L", "eastus"]] {
            let ran = run_with(&[("AZURE_CONFIG_FILE", &empty)], asking);
            assert_eq!(ran.code, Some(2), "{asking:?}: {}", ran.stderr);
            assert!(missing.iter().all(|expected| ran.stderr.contains(expected)), "{}", ran.stderr);
        }
    }
    let ran = run_with(&[], &["check-config", "--mode=node", "--nodeid=n"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn check_config_shows_the_cloud_settings_in_effect_with_their_sources() {
    let path = AZURE_JSON.1;
    let printed = settings(&["--mode=controller"]);
    for expected in [
        format!("\ncloud-settings:\n  file: {path:?}  # AZURE_CONFIG_FILE\n"),
        format!("  cloud: \"AzurePublicCloud\"  # `cloud` in {path}\n"),
        format!("  subscriptionId: \"00000000-0000-0000-0000-000000000000\"  # `subscriptionId` in {path}\n"),
        format!("  credentials: \"managed identity\"  # `useManagedIdentityExtension` in {path}\n"),
        format!("  client-id: \"22222222-2222-2222-2222-222222222222\"  # `userAssignedIdentityID` in {path}\n"),
        format!("  vnetName: \"aks-vnet\"  # `vnetName` in {path}\n"),
        "  vnetResourceGroup: null  # not set".to_owned(),
    ] {
        assert!(printed.contains(&expected), "{expected}\n-- in --\n{printed}");
    }
    let ran = run_with(&[("AZURE_CLIENT_SECRET", "geheim"), ("AZURE_CLIENT_ID", "app"), AZURE_JSON], &["check-config"]);
    assert!(ran.stdout.contains("  credentials: \"client secret\"  # AZURE_CLIENT_SECRET\n"), "{}", ran.stdout);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("geheim"));
}

/// What only the adapter can check is reported at the start too.
#[cfg(feature = "arm")]
#[test]
fn a_controller_with_unusable_cloud_settings_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = format!("--endpoint=unix://{}/csi.sock", directory.path().display());
    let usual = std::fs::read_to_string(AZURE_JSON.1).unwrap();
    for (from, to, expected) in [
        ("AzurePublicCloud", "AzurePublicClout", "did you mean AzurePublicCloud?"),
        ("AzurePublicCloud", "AzureStackCloud", "needs resourceManagerEndpoint"),
        ("\"cloud\"", "\"resourceManagerEndpoint\": \"http://arm.test\", \"cloud\"", "is not https"),
        ("22222222-", "not an id ", "client id"),
    ] {
        let file = write(directory.path(), "azure.json", &usual.replace(from, to));
        let ran = run_with(&[], &[&endpoint, "--mode=controller", "--cloud-config", &file]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{to}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("\nhint: "), "{expected} in {}", ran.stderr);
    }
    let all = usual.replace("AzurePublicCloud", "AzurePublicClout").replace("22222222-", "not an id ");
    let file = write(directory.path(), "azure.json", &all);
    let ran = run_with(&[], &["check-config", "--mode=controller", "--cloud-config", &file]);
    let both = ran.stderr.contains("did you mean AzurePublicCloud?") && ran.stderr.contains("client id");
    assert!(ran.code == Some(2) && both, "{}", ran.stderr);
}

#[cfg(feature = "simulator")]
#[test]
fn check_config_online_asks_the_cloud() {
    let directory = tempfile::tempdir().unwrap();
    let ran = run(&["check-config", "--online", "--mode=controller", "--cloud=simulator"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.contains("token: granted\nSKUs of eastus: AMLFS-Durable-Premium-125, "), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("addresses are needed for 4 TiB of AMLFS-Durable-Premium-500, 256 are free"),
        "{}",
        ran.stdout
    );
    let world = write(directory.path(), "world.yaml", "any-subnet-exists: false\n");
    let ran = run(&["check-config", "--online", "--mode=controller", "--cloud=simulator", "--simulator-world", &world]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("error: read subnet MC_hpc_aks_eastus/aks-vnet/aks-subnet"), "{}", ran.stderr);
    // Everything at once, the subnet also where no SKU is known.
    let world = write(directory.path(), "empty.yaml", "any-subnet-exists: false\nskus: []\n");
    let ran = run(&["check-config", "--online", "--mode=controller", "--cloud=simulator", "--simulator-world", &world]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no AMLFS SKU is offered in eastus"), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: read subnet MC_hpc_aks_eastus/aks-vnet/aks-subnet"), "{}", ran.stderr);
    let node = run(&["check-config", "--online", "--mode=node", "--nodeid=n"]);
    assert!(node.code == Some(0) && node.stdout.ends_with("a node asks nothing of the cloud\n"), "{}", node.stdout);
}
