//! Tables of what is read, refused and reported.

use std::path::PathBuf;

use super::*;
use crate::app::telemetry::LogFormat;
use crate::domain::volume_attributes::UnknownAttributes;

/// Cloud settings as AKS writes them; what most cases do not care about.
const AZURE_JSON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/azure.json");

fn given(flags: &[(&'static str, &str)], environment: &[(&str, &str)]) -> RawSettings {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut environment: Vec<(String, String)> = environment.iter().map(owned).collect();
    if !environment.iter().any(|(name, _)| name == "AZURE_CONFIG_FILE") {
        environment.push(("AZURE_CONFIG_FILE".to_owned(), AZURE_JSON.to_owned()));
    }
    RawSettings { flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), environment }
}

fn settings(flags: &[(&'static str, &str)], environment: &[(&str, &str)]) -> Settings {
    load(&given(flags, environment)).unwrap()
}

fn reported(flags: &[(&'static str, &str)], environment: &[(&str, &str)]) -> Vec<String> {
    load(&given(flags, environment)).unwrap_err().as_slice().iter().map(|problem| format!("{problem:#}")).collect()
}

fn file(extension: &str, text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(extension).tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

#[test]
fn the_defaults_are_those_of_the_go_driver() {
    let settings = settings(&[("nodeid", "n1")], &[]);
    assert_eq!(settings.mode, Mode::All { node_id: "n1".to_owned() });
    assert_eq!((settings.values.cloud, settings.values.mounter), (CloudKind::Arm, MounterKind::Kernel));
    assert_eq!(settings.values.endpoint.to_string(), "unix:///tmp/csi.sock");
    assert_eq!(settings.values.driver_name, "azurelustre.csi.azure.com");
    assert_eq!(settings.values.working_mount_dir, PathBuf::from("/tmp"));
    assert!(settings.values.remove_not_ready_taint);
    assert_eq!((settings.log().format, settings.log().filter.as_str()), (LogFormat::Text, "info"));
    assert!((settings.values.simulator_speed - 600.0).abs() < f64::EPSILON);
}

#[test]
fn flags_beat_variables_beat_the_file_beats_defaults() {
    for (extension, text) in [
        (
            ".toml",
            "mode = 'node'\ndrivername = 'file'\nlog-level = 'warn'\nremove-not-ready-taint = false\nsimulator-speed = 5\n",
        ),
        (".yaml", "mode: node\ndrivername: file\nlog-level: warn\nremove-not-ready-taint: false\nsimulator-speed: 5\n"),
    ] {
        let file = file(extension, text);
        let environment = [
            ("AZURELUSTRE_CSI_LOG_LEVEL", "error"),
            ("AZURELUSTRE_CSI_DRIVERNAME", "env"),
            ("AZURELUSTRE_CSI_NODEID", "007"),
        ];
        let settings = settings(&[("config", path(&file)), ("drivername", "flag"), ("v", "9")], &environment);
        assert_eq!(settings.mode, Mode::Node { node_id: "007".to_owned() });
        assert_eq!((settings.values.driver_name.as_str(), settings.log().filter.as_str()), ("flag", "error"));
        assert!(!settings.values.remove_not_ready_taint);
        assert!((settings.values.simulator_speed - 5.0).abs() < f64::EPSILON);
    }
}

#[test]
fn every_value_is_reported_with_its_source() {
    let file = file(".yaml", "log-format: json\n");
    let environment = [("AZURELUSTRE_CSI_CONFIG", path(&file)), ("AZURELUSTRE_CSI_MODE", "controller")];
    let effective_values = load(&given(&[("v", "4")], &environment)).unwrap().effective_values;
    let of = |key: &str| {
        effective_values.iter().find(|origin| origin.key == key).map(|o| format!("{} {}", o.value, o.source)).unwrap()
    };
    assert_eq!(of("log-format"), format!("json `log-format` in {}", path(&file)));
    assert_eq!(of("mode"), "controller AZURELUSTRE_CSI_MODE");
    assert_eq!(of("log-level"), "debug -v");
    assert_eq!(of("endpoint"), "unix:///tmp/csi.sock default");
}

#[test]
fn all_problems_of_all_layers_are_reported_at_once() {
    let file = file(".toml", "mod = 'node'\nlog-format = 7\nendpoint = { unix = 1 }\n");
    let environment = [("AZURELUSTRE_CSI_SIMULATOR_SPEED", "fast"), ("AZURELUSTRE_CSI_NODID", "n1")];
    let flags = [
        ("config", path(&file)),
        ("mode", "nod"),
        ("drivername", "-x-"),
        ("working-mount-dir", "tmp"),
        ("log-level", "inof"),
    ];
    let reported = reported(&flags, &environment).join("\n");
    for expected in [
        "error: --mode: `nod` is not one of controller, node, all\nhint: did you mean `node`?".to_owned(),
        format!("error: `mod` in {}: no setting has this name\nhint: did you mean `mode`?", path(&file)),
        format!("error: `log-format` in {}: not text", path(&file)),
        format!("error: `endpoint` in {}: not text", path(&file)),
        "error: AZURELUSTRE_CSI_SIMULATOR_SPEED: `fast` is not a valid speed".to_owned(),
        "error: environment: `AZURELUSTRE_CSI_NODID` is not a setting\nhint: did you mean AZURELUSTRE_CSI_NODEID?"
            .to_owned(),
        "error: --drivername: `-x-` is not a valid CSI driver name".to_owned(),
        "error: --working-mount-dir: `tmp` is not an absolute path".to_owned(),
        "error: --log-level: `inof` is not a log level".to_owned(),
    ] {
        assert!(reported.contains(&expected), "{expected}\n-- in --\n{reported}");
    }
    assert_eq!(reported.matches("error: ").count(), reported.matches("hint: ").count(), "{reported}");
    assert_eq!(reported.matches("error: ").count(), 9, "{reported}");
}

#[test]
fn files_that_somebody_named_must_be_there() {
    let flags = [("mode", "controller"), ("config", "/nowhere/a.toml"), ("simulator-world", "/nowhere/c")];
    let reported = reported(&flags, &[]).join("\n");
    for expected in ["--config: `/nowhere/a.toml`", "--simulator-world: `/nowhere/c`"] {
        assert!(reported.contains(expected), "{reported}");
    }
}

/// Static volumes need no cloud, so nodes and controllers of clusters without azure.json start.
#[test]
fn cloud_settings_that_are_absent_or_incomplete_leave_static_volumes() {
    let (empty, half) = (file(".json", "{}"), file(".json", r#"{"subscriptionId": "s", "aadClientSecret": "geheim"}"#));
    for (cloud_config, expected) in [
        (
            "/nowhere/azure.json",
            &["`/nowhere/azure.json`: No such file", "`subscriptionId`: missing", "credentials"] as &[_],
        ),
        (path(&empty), &["`subscriptionId`: missing", "credentials for Azure: none"]),
        (path(&half), &["client secret needs `tenantId`", "`aadClientId`"]),
    ] {
        for mode in [&[("mode", "controller")] as &[_], &[("nodeid", "n")], &[("mode", "all"), ("nodeid", "n")], &[]] {
            let by_flag = settings(&[mode, &[("cloud-config", cloud_config)]].concat(), &[]);
            let by_variable = settings(mode, &[("AZURE_CONFIG_FILE", cloud_config)]);
            for settings in [by_flag, by_variable] {
                assert_eq!(settings.cloud_settings.azure, None);
                let reason = settings.cloud_settings.reason_for_static_only().unwrap();
                for part in expected.iter().chain([&cloud_config]) {
                    assert!(reason.contains(part), "{part} is not in {reason}");
                }
                assert!(!reason.contains("geheim"), "{reason}");
            }
        }
    }
    let variables = [
        ("AZURE_CONFIG_FILE", "/nowhere/azure.json"),
        ("AZURE_SUBSCRIPTION_ID", "s"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
    ];
    let complete = settings(&[("mode", "controller")], &variables).cloud_settings;
    assert!(complete.azure.is_some() && complete.missing.is_empty(), "variables are enough: {complete:?}");
}

#[test]
fn only_a_cloud_settings_file_that_cannot_be_parsed_ends_the_start() {
    for broken in ["{", "[]", "text", "eyJzdWJzY3JpcHRpb25JZCI6ICJzIn0K"] {
        let broken = file(".json", broken);
        let reported = reported(&[("nodeid", "n"), ("cloud-config", path(&broken))], &[]);
        assert_eq!(reported.len(), 1, "{reported:?}");
        assert!(reported[0].contains(path(&broken)), "{reported:?}");
    }
}

#[test]
fn without_mode_and_node_id_it_is_the_go_drivers_controller() {
    for nothing in [&[] as &[_], &[("nodeid", "")], &[("v", "5"), (MOCK_PROVISIONING.key, "false")]] {
        let loaded = load(&given(nothing, &[])).unwrap();
        let mode = &loaded.mode;
        assert_eq!(mode, &Mode::ControllerByDefault);
        assert_eq!((mode.has_controller(), mode.node_id()), (true, None));
        let shown = loaded.effective_values.iter().find(|origin| origin.key == "mode").unwrap();
        assert_eq!((shown.value.as_str(), shown.source.as_str()), ("controller", "default without a node id"));
    }
    assert_eq!(settings(&[], &[("AZURELUSTRE_CSI_NODEID", "n")]).mode, Mode::All { node_id: "n".to_owned() });
    assert!(reported(&[], &[("AZURELUSTRE_CSI_MODE", "all")])[0].starts_with("error: --nodeid: missing"));
}

#[test]
fn a_role_of_the_go_driver_is_a_mode_below_a_mode_that_is_given() {
    let mode = |environment: &[(&str, &str)]| {
        let loaded = load(&given(&[("nodeid", "n")], environment));
        loaded.map(|settings| settings.mode).map_err(|problems| problems.as_slice().len())
    };
    let node_id = || "n".to_owned();
    let role = |role: &'static str| ("AZURELUSTRE_CSI_ROLE", role);
    assert_eq!(mode(&[role("driver")]), Ok(Mode::Node { node_id: node_id() }));
    assert_eq!(mode(&[role("controller")]), Ok(Mode::Controller));
    assert_eq!(mode(&[("AZURELUSTRE_CSI_MODE", "all"), role("driver")]), Ok(Mode::All { node_id: node_id() }));
    let interval = ("AZURELUSTRE_CSI_LNET_RECONCILE_INTERVAL", "30");
    assert_eq!(mode(&[role("loader"), interval]), Ok(Mode::All { node_id: node_id() }));
    assert_eq!(mode(&[role("laoder")]), Err(1));
    assert!(is_loader(&given(&[], &[role("loader")])) && !is_loader(&RawSettings::default()));
}

#[test]
fn near_misses_of_attributes_are_refused_unless_a_setting_says_otherwise() {
    assert_eq!(settings(&[("nodeid", "n")], &[]).values.unknown_attributes, UnknownAttributes::Refuse);
    let warn = settings(&[("nodeid", "n"), ("unknown-volume-attributes", "warn")], &[]);
    assert_eq!(warn.values.unknown_attributes, UnknownAttributes::Warn);
    assert!(reported(&[("nodeid", "n"), ("unknown-volume-attributes", "ignore")], &[])[0].contains("refuse, warn"));
}

#[test]
fn a_settings_file_is_toml_or_yaml_by_name() {
    let (json, broken) = (file(".json", "{}"), file(".toml", "mode = "));
    assert!(reported(&[("mode", "controller"), ("config", path(&json))], &[])[0].contains("neither TOML nor YAML"));
    assert!(reported(&[("mode", "controller"), ("config", path(&broken))], &[])[0].starts_with("error: --config: "));
}

#[test]
fn a_node_needs_its_name_and_a_controller_does_not() {
    for nothing in [&[("mode", "node")] as &[_], &[("mode", "all"), ("nodeid", "")], &[("mode", "all")]] {
        let reported = reported(nothing, &[]);
        assert_eq!(reported.len(), 1, "{reported:?}");
        assert!(reported[0].starts_with("error: --nodeid: missing\nhint: "), "{reported:?}");
    }
    assert_eq!(settings(&[("mode", "controller"), ("nodeid", "")], &[]).mode, Mode::Controller);
    assert!(reported(&[("nodeid", "$(KUBE_NODE_NAME)")], &[])[0].contains("not replaced"));
    assert!(reported(&[("nodeid", "a b")], &[])[0].contains("not a valid node name"));
}

#[test]
fn variables_of_kubernetes_and_empty_ones_are_passed_over() {
    let environment = [
        ("AZURELUSTRE_CSI_SERVICE_HOST", "10.0.0.1"),
        ("AZURELUSTRE_CSI_PORT", "tcp://10.0.0.1:1"),
        ("AZURELUSTRE_CSI_MODE", ""),
    ];
    assert_eq!(settings(&[("nodeid", "n")], &environment).mode.node_id(), Some("n"));
}

#[test]
fn the_cloud_settings_file_is_found_by_flag_then_variable() {
    let usual = std::fs::read_to_string(AZURE_JSON).unwrap();
    let (first, second) = (file(".json", &usual), file(".json", &usual.replace("\"eastus\"", "\"westus\"")));
    let variable = [("AZURE_CONFIG_FILE", path(&second))];
    let location =
        |settings: Settings| settings.cloud_settings.defaults.location.map(|location| location.as_str().to_owned());
    let by_flag = settings(&[("mode", "controller"), ("cloud-config", path(&first))], &variable);
    assert_eq!(location(by_flag).as_deref(), Some("eastus"));
    assert_eq!(location(settings(&[("mode", "controller")], &variable)).as_deref(), Some("westus"));
    assert_eq!(location(settings(&[("mode", "node"), ("nodeid", "n")], &variable)), None);
}

#[test]
fn mock_switches_that_are_off_change_nothing() {
    let off = [("nodeid", "n"), (MOCK_MOUNT.key, "false"), (MOCK_PROVISIONING.key, "F")];
    assert_eq!(settings(&off, &[]), settings(&[("nodeid", "n")], &[]));
    assert!(reported(&[("nodeid", "n"), (MOCK_MOUNT.key, "maybe")], &[])[0].contains("neither true nor false"));
}

#[cfg(not(feature = "simulator"))]
#[test]
fn a_build_without_the_simulator_says_so() {
    for flag in
        [("cloud", "simulator"), ("mounter", "simulator"), (MOCK_MOUNT.key, "true"), (MOCK_PROVISIONING.key, "1")]
    {
        let reported = reported(&[("nodeid", "n"), flag], &[]);
        assert_eq!(reported.len(), 1, "{reported:?}");
        assert!(reported[0].contains("this build has no simulator\nhint: "), "{reported:?}");
    }
}

#[cfg(feature = "simulator")]
mod simulator {
    use super::*;

    #[test]
    fn mock_switches_choose_the_simulator() {
        let on = settings(&[("nodeid", "n"), (MOCK_MOUNT.key, "T")], &[]);
        assert_eq!((on.values.cloud, on.values.mounter), (CloudKind::Arm, MounterKind::Simulator));
        let on = settings(&[("nodeid", "n"), (MOCK_PROVISIONING.key, "true"), ("cloud", "simulator")], &[]);
        assert_eq!((on.values.cloud, on.values.mounter), (CloudKind::Simulator, MounterKind::Kernel));
        let both = reported(&[("nodeid", "n"), (MOCK_PROVISIONING.key, "true"), ("cloud", "arm")], &[]);
        assert!(both[0].contains("contradicts --cloud=arm"), "{both:?}");
    }

    #[test]
    fn the_simulated_cloud_reads_the_real_ones_file_only_when_a_flag_names_it() {
        let file = file(".json", r#"{"location": "eastus"}"#);
        let variable = [("AZURE_CONFIG_FILE", path(&file))];
        let flags = [("mode", "controller"), ("cloud", "simulator")];
        assert_eq!(settings(&flags, &variable).cloud_settings, CloudSettings::default());
        let read = settings(&[flags[0], flags[1], ("cloud-config", path(&file))], &[]);
        assert!(read.cloud_settings.defaults.location.is_some());
        let lost = reported(&[flags[0], flags[1], ("cloud-config", "/nowhere/azure.json")], &[]);
        assert!(lost[0].starts_with("error: --cloud-config: `/nowhere"), "{lost:?}");
    }
}

#[test]
fn tunables_of_the_client_are_off_unless_they_are_set_anywhere() {
    use crate::domain::client_tuning::Tunable::{
        MdcMaxModRpcsInFlight, MdcMaxRpcsInFlight, OscMaxDirtyMb, OscMaxRpcsInFlight,
    };
    let node = ("nodeid", "n1");
    assert!(settings(&[node], &[]).tuning.is_empty());
    let file = file(".yaml", "osc-max-rpcs-in-flight: 16\nmdc-max-rpcs-in-flight: '64'\n");
    let flags = [node, ("config", path(&file)), ("osc-max-rpcs-in-flight", "32"), ("osc-max-dirty-mb", "512")];
    let environment = [("AZURELUSTRE_CSI_MDC_MAX_MOD_RPCS_IN_FLIGHT", "50")];
    let tuning = settings(&flags, &environment).tuning;
    let expected =
        [(OscMaxRpcsInFlight, 32), (OscMaxDirtyMb, 512), (MdcMaxRpcsInFlight, 64), (MdcMaxModRpcsInFlight, 50)];
    assert_eq!(tuning.values().collect::<Vec<_>>(), expected);
}

#[test]
fn tunables_that_no_client_takes_are_refused_at_once() {
    let flags = [("nodeid", "n1"), ("osc-max-rpcs-in-flight", "257"), ("osc-max-dirty-mb", "many")];
    let problems = reported(&flags, &[("AZURELUSTRE_CSI_MDC_MAX_RPCS_IN_FLIGHT", "1")]);
    assert_eq!(problems.len(), 3, "{problems:?}");
    for said in [
        "--osc-max-rpcs-in-flight: `257` is not a value of osc.max_rpcs_in_flight: give a whole number from 1 to 256",
        "--osc-max-dirty-mb: `many` is not a value of osc.max_dirty_mb",
        "AZURELUSTRE_CSI_MDC_MAX_RPCS_IN_FLIGHT: `1` is not a value of mdc.max_rpcs_in_flight",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(said)), "{said}: {problems:?}");
    }
    let problems = reported(&[("nodeid", "n1"), ("mdc-max-mod-rpcs-in-flight", "8")], &[]);
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(
        problem.contains("--mdc-max-mod-rpcs-in-flight: mdc.max_mod_rpcs_in_flight of 8 must be less"),
        "{problem}"
    );
}
