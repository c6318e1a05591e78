//! The command line as a manifest or a person meets it: the built binary, its output, its exit codes.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a test that cannot go on fails by panicking

use std::path::Path;
use std::process::{Command, Output};

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run_with(environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_azurelustre-csi"));
    let Output { status, stdout, stderr } =
        command.env_clear().envs(environment.iter().copied()).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Cloud settings as AKS writes them.
const AZURE_JSON: (&str, &str) = ("AZURE_CONFIG_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/azure.json"));

fn run(arguments: &[&str]) -> Ran {
    run_with(&[AZURE_JSON], arguments)
}

/// The settings in effect, as `check-config` prints them.
fn settings(arguments: &[&str]) -> String {
    let ran = run(&[&["check-config", "--nodeid=n"], arguments].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    ran.stdout
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn flags_are_read_in_every_spelling() {
    for spelling in [
        &["-endpoint", "tcp://h:1"] as &[_],
        &["--endpoint", "tcp://h:1"],
        &["-endpoint=tcp://h:1"],
        &["--endpoint=tcp://h:1"],
    ] {
        assert!(settings(spelling).contains("endpoint: \"tcp://h:1\"  # --endpoint\n"), "{spelling:?}");
    }
    for spelling in [&["-v=5"] as &[_], &["--v=5"], &["-v", "5"], &["--v", "5"]] {
        assert!(settings(spelling).contains("log-level: \"debug\"  # -v\n"), "{spelling:?}");
    }
    for (spelling, expected) in
        [("-remove-not-ready-taint=F", "F"), ("--remove-not-ready-taint=0", "0"), ("-remove-not-ready-taint", "true")]
    {
        let line = format!("remove-not-ready-taint: \"{expected}\"  # --remove-not-ready-taint\n");
        assert!(settings(&[spelling]).contains(&line), "{spelling}");
    }
    assert!(settings(&["--mode=all", "--mode=node"]).contains("mode: \"node\""), "the last one counts");
    assert!(settings(&["--v=9", "--log-level=warn"]).contains("log-level: \"warn\"  # --log-level\n"));
}

#[test]
fn the_go_drivers_own_arguments_are_accepted() {
    let node = [
        "-v=5",
        "--endpoint=unix:///csi/csi.sock",
        "--nodeid=aks-1",
        "--enable-azurelustre-mock-mount=false",
        "--enable-azurelustre-mock-dyn-prov=false",
    ];
    let printed = settings(&node);
    assert!(
        printed.contains("mounter: \"kernel\"  # default") && printed.contains("cloud: \"arm\"  # default"),
        "{printed}"
    );
    assert!(printed.contains("nodeid: \"aks-1\""), "{printed}");
}

#[test]
fn the_command_may_stand_anywhere() {
    for arguments in [
        &["check-config", "--mode=controller"] as &[_],
        &["--mode", "controller", "check-config"],
        &["-mode=controller", "check-config", "-v=2"],
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stdout.starts_with("mode: \"controller\"  # --mode\n"), "{}", ran.stdout);
    }
}

#[test]
fn the_version_is_yaml_with_the_go_drivers_fields() {
    let ran = run(&["--version"]);
    let keys: Vec<&str> = ran.stdout.lines().filter_map(|line| line.split_once(": ")).map(|(key, _)| key).collect();
    let expected =
        ["Build Date", "Compiler", "Driver Name", "Driver Version", "Git Commit", "Platform", "Rust Version"];
    assert_eq!((ran.code, keys.as_slice()), (Some(0), &expected as &[_]), "{}", ran.stdout);
    assert!(ran.stdout.contains("Driver Name: azurelustre.csi.azure.com\n"));
    for other in [&["-version"] as &[_], &["version"], &["serve", "--version=true"], &["--version", "--endpoint", "x"]]
    {
        assert_eq!(run(other).stdout, ran.stdout, "{other:?}");
    }
    assert!(run(&["--version", "--drivername=other"]).stdout.contains("Driver Name: other\n"));
}

#[test]
fn help_shows_every_flag_and_the_exit_codes() {
    for arguments in [&["--help"] as &[_], &["-h"], &["-help"], &["serve", "--help"], &["check-config", "-h"]] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        for expected in [
            "--mode <controller|node|all>",
            "--cloud-config <FILE>",
            "--log-level",
            "--remove-not-ready-taint",
            "--enable-azurelustre-mock-mount",
            "Exit codes: 0",
        ] {
            assert!(ran.stdout.contains(expected), "{expected} in {}", ran.stdout);
        }
    }
}

#[test]
fn what_is_unknown_is_reported_with_the_nearest() {
    for (arguments, message, hint) in [
        (&["--nodeidd=x"] as &[_], "error: unknown flag `--nodeidd`", "hint: did you mean `--nodeid`?"),
        (&["-endpont=x"], "error: unknown flag `--endpont`", "hint: did you mean `--endpoint`?"),
        (&["check-confg"], "error: unknown command `check-confg`", "hint: did you mean `check-config`?"),
        (
            &["--remove-not-ready-taint", "false"],
            "error: unknown command `false`",
            "hint: write a boolean's value with `=`, such as `--remove-not-ready-taint=false`",
        ),
        (&["serve", "extra"], "error: unknown argument `extra`", "hint: see `azurelustre-csi --help`"),
        (&["--nodeid"], "error: a value is required for '--nodeid <NAME>'", "hint: "),
        (&["--version=maybe"], "error: --version: `maybe` is neither true nor false", "hint: "),
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ran.stderr.starts_with(message) && ran.stderr.contains(hint), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn check_config_tells_all_problems_at_once() {
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
        "--simulator-speed: `-1` is no speed".to_owned(),
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

#[test]
fn the_go_drivers_controller_arguments_mean_controller() {
    let ran =
        run(&["check-config", "-v=5", "--endpoint=unix:///csi/csi.sock", "--enable-azurelustre-mock-dyn-prov=false"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.starts_with("mode: \"controller\"  # default without a node id\n"), "{}", ran.stdout);
}

/// What only the adapter can judge is reported at the start too.
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
fn skus_are_printed_as_a_table_or_as_json() {
    let table = run(&["skus", "--cloud=simulator", "--location", "East US"]);
    assert_eq!((table.code, table.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert_eq!(lines[0], "NAME                       MB/S PER TIB  INCREMENT  MAXIMUM  ZONES");
    assert_eq!(lines[3], "AMLFS-Durable-Premium-40   40            48 TiB     768 TiB  1,2,3");
    let json = run(&["skus", "--cloud=simulator", "-L=westus", "-o", "json"]);
    let entries: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(entries.as_array().map(Vec::len), Some(4), "{}", json.stdout);
    assert_eq!(entries[3]["incrementTiB"], 4);
    assert_eq!(entries[3]["zones"], serde_json::json!([]));
    let nowhere = run(&["skus", "--cloud=simulator", "--location=eastsu"]);
    assert_eq!((nowhere.code, nowhere.stdout.as_str()), (Some(1), ""));
    assert!(nowhere.stderr.contains("no AMLFS SKU is offered in eastsu"), "{}", nowhere.stderr);
    for (arguments, expected) in [
        (&["skus", "--cloud=simulator", "--location=a/b"] as &[_], "--location: "),
        (&["skus", "--cloud=simulator", "--output=yaml"], "neither table nor json"),
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("hint: "), "{}", ran.stderr);
    }
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

#[cfg(feature = "simulator")]
#[test]
fn the_simulator_is_there_only_when_asked_for() {
    let printed = settings(&["--enable-azurelustre-mock-mount", "--enable-azurelustre-mock-dyn-prov=true"]);
    assert!(printed.contains("mounter: \"simulator\"  # --enable-azurelustre-mock-mount\n"), "{printed}");
    assert!(printed.contains("cloud: \"simulator\"  # --enable-azurelustre-mock-dyn-prov\n"), "{printed}");
}

#[cfg(not(feature = "simulator"))]
#[test]
fn a_build_without_the_simulator_refuses_its_switches() {
    for flag in ["--enable-azurelustre-mock-mount=true", "--enable-azurelustre-mock-dyn-prov", "--cloud=simulator"] {
        let ran = run(&["--nodeid=n", flag]);
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains("this build has no simulator\nhint: "), "{}", ran.stderr);
    }
}

#[test]
fn probe_tells_that_nobody_answers() {
    let directory = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}/csi.sock", directory.path().display());
    let ran = run(&["probe", "--endpoint", &socket]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.starts_with(&format!("error: {socket}: ")) && ran.stderr.contains("hint: "), "{}", ran.stderr);
    for (arguments, expected) in
        [(&["probe", "--endpoint=x"] as &[_], "--endpoint: "), (&["probe", "--timeout=0"], "--timeout: ")]
    {
        let ran = run(arguments);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("hint: "), "{}", ran.stderr);
    }
}

/// Works on any machine: for one without Lustre the report says what it lacks.
#[cfg(feature = "kernel")]
#[test]
fn doctor_tells_what_a_node_lacks() {
    let text = run(&["doctor", "node"]);
    let json = run(&["doctor", "node", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let healthy = report["healthy"].as_bool().unwrap();
    assert_eq!((text.code, json.code), if healthy { (Some(0), Some(0)) } else { (Some(1), Some(1)) });
    assert_eq!((text.stderr.as_str(), json.stderr.as_str()), ("", ""));
    let reasons = report["reasons"].as_array().unwrap();
    assert_eq!(reasons.is_empty(), healthy, "{}", json.stdout);
    for reason in reasons {
        assert!(text.stdout.contains(reason.as_str().unwrap()), "{reason} in {}", text.stdout);
    }
    for arguments in [
        &["doctor"] as &[_],
        &["doctor", "cluster"],
        &["doctor", "node", "-o", "yaml"],
        &["doctor", "node", "--mgs=a b"],
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
    }
}

/// `install-driver.sh` pipes what `kubectl get -o json` prints into it; people name files.
#[test]
fn check_objects_takes_files_and_standard_input() {
    let class = r#"{"kind": "List", "items": [{"kind": "StorageClass", "metadata": {"name": "c"},
        "provisioner": "azurelustre.csi.azure.com", "parameters": {"mgs-ip-address": "10.0.0.4"}}]}"#;
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "class.json", class);
    let ran = run(&["check-objects", &file]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "1 objects checked, none would be refused\n"),
        "{}",
        ran.stderr
    );
    let output = Command::new(env!("CARGO_BIN_EXE_azurelustre-csi"))
        .args(["check-objects", "-"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1 objects checked, none would be refused\n");
}
