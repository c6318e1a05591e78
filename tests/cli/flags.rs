//! Flags, commands and help text, in the spellings that manifests and people use.

use super::{run, settings};

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
fn unknown_flags_and_commands_are_reported_with_the_nearest_name() {
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
fn the_go_drivers_controller_arguments_mean_controller() {
    let ran =
        run(&["check-config", "-v=5", "--endpoint=unix:///csi/csi.sock", "--enable-azurelustre-mock-dyn-prov=false"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.starts_with("mode: \"controller\"  # default without a node id\n"), "{}", ran.stdout);
}

#[cfg(feature = "simulator")]
#[test]
fn mock_switches_select_the_simulator() {
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
