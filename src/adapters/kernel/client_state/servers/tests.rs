//! The table of states, and which imports belong to which mount.

use super::ServerState::{Answering, Dead, Unknown};
use super::*;
use crate::adapters::kernel::client_state::imports::DeviceType;

const A: &str = "10.0.0.4@tcp:/lustrefs";
const B: &str = "10.0.0.5@tcp:/lustrefs";

fn source(text: &str) -> MountSource {
    MountSource::parse(text).unwrap()
}

/// `mgc MGC10.0.0.4@tcp FULL [nid]`
fn imports(lines: &[&str]) -> Vec<Import> {
    let import = |line: &&str| {
        let mut words = line.split(' ');
        let kind = words.next().unwrap();
        let device_type = DeviceType::ALL.into_iter().find(|device_type| device_type.name() == kind).unwrap();
        let name = words.next().unwrap().to_owned();
        let state = match words.next().unwrap() {
            "FULL" => ImportState::Full,
            "IDLE" => ImportState::Idle,
            "?" => ImportState::Unknown("unreadable".to_owned()),
            state @ ("REPLAY" | "EVICTED") => ImportState::Recovering(state.to_owned()),
            state => ImportState::Lost(state.to_owned()),
        };
        Import { device: Device { device_type, name }, state, nids: words.map(str::to_owned).collect() }
    };
    lines.iter().map(import).collect()
}

fn state_of(text: &str, mounted: &[&str], lines: &[&str]) -> ServerState {
    let mounted: Vec<MountSource> = mounted.iter().map(|text| source(text)).collect();
    state(&source(text), &mounted, &imports(lines))
}

/// MGS, MDT0000, OST0000 and OST0001 in these states; `-` is not there.
fn in_states(states: [&str; 4]) -> ServerState {
    let names = [
        "mgc MGC10.0.0.4@tcp",
        "mdc lustrefs-MDT0000-mdc-1",
        "osc lustrefs-OST0000-osc-1",
        "osc lustrefs-OST0001-osc-1",
    ];
    let there = names.into_iter().zip(states).filter(|(_, state)| *state != "-");
    let lines: Vec<String> = there.map(|(name, state)| format!("{name} {state}")).collect();
    state_of(A, &[A], &lines.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn servers_are_dead_only_if_no_import_is_usable() {
    for (mgs, mdt, osts, expected) in [
        // All in use, or idle for lack of requests.
        ("FULL", "FULL", ["FULL", "FULL"], Answering),
        ("FULL", "FULL", ["IDLE", "FULL"], Answering),
        ("FULL", "FULL", ["IDLE", "IDLE"], Answering),
        // The MGS alone decides nothing.
        ("DISCONN", "FULL", ["FULL", "FULL"], Answering),
        ("?", "FULL", ["FULL", "FULL"], Answering),
        ("-", "FULL", ["FULL", "FULL"], Answering),
        // A failover of an MDT, of an OST, of all OSTs: unwritten pages go out to those that answer.
        ("FULL", "DISCONN", ["FULL", "FULL"], Answering),
        ("DISCONN", "CONNECTING", ["FULL", "FULL"], Answering),
        ("DISCONN", "DISCONN", ["FULL", "DISCONN"], Answering),
        ("DISCONN", "DISCONN", ["FULL", "IDLE"], Answering),
        ("FULL", "FULL", ["DISCONN", "DISCONN"], Answering),
        ("FULL", "FULL", ["FULL", "FULL(deactive)"], Answering),
        ("FULL", "FULL", ["?", "FULL"], Answering),
        // A server in recovery, or one that has evicted the client, answers.
        ("DISCONN", "REPLAY", ["DISCONN", "DISCONN"], Answering),
        ("FULL", "EVICTED", ["EVICTED", "EVICTED"], Answering),
        // An import that cannot be read is no evidence of death.
        ("DISCONN", "DISCONN", ["?", "DISCONN"], Unknown),
        ("DISCONN", "?", ["DISCONN", "DISCONN"], Unknown),
        ("?", "DISCONN", ["DISCONN", "DISCONN"], Unknown),
        ("FULL", "-", ["IDLE", "IDLE"], Unknown),
        ("FULL", "-", ["-", "-"], Unknown),
        ("DISCONN", "-", ["-", "-"], Unknown),
        // The OSTs are idle and show nothing, or all targets are lost: the MGS decides.
        ("FULL", "DISCONN", ["IDLE", "IDLE"], Unknown),
        ("FULL", "DISCONN", ["DISCONN", "-"], Unknown),
        ("EVICTED", "DISCONN", ["DISCONN", "-"], Unknown),
        ("DISCONN", "DISCONN", ["IDLE", "IDLE"], Dead),
        ("-", "DISCONN", ["IDLE", "DISCONN"], Dead),
        ("DISCONN", "CONNECTING", ["NEW", "CLOSED"], Dead),
        ("DISCONN", "FULL(deactive)", ["FULL(deactive)", "-"], Dead),
    ] {
        assert_eq!(in_states([mgs, mdt, osts[0], osts[1]]), expected, "{mgs} {mdt} {osts:?}");
    }
}

#[test]
fn the_sub_directory_and_the_spelling_of_the_network_do_not_matter() {
    let lines = ["mgc MGC10.0.0.4@tcp FULL", "mdc lustrefs-MDT0000-mdc-1 FULL", "osc lustrefs-OST0000-osc-1 IDLE"];
    assert_eq!(state_of("10.0.0.4@tcp0:/lustrefs/sub", &[A], &lines), Answering);
    assert_eq!(state_of(A, &[A], &[]), Unknown);
}

#[test]
fn imports_of_other_file_systems_are_ignored() {
    let lines = [
        "mgc MGC10.0.0.4@tcp DISCONN",
        "mgc MGC10.0.0.9@tcp EVICTED",
        "mdc lustrefs-MDT0000-mdc-1 CONNECTING",
        "osc lustrefs-OST0000-osc-1 FULL",
        "osc lustrefs-OST0001-osc-1 ?",
        "osc otherfs-OST0002-osc-2 DISCONN",
        "osc malformed DISCONN",
    ];
    assert_eq!(state_of(A, &[A], &lines), Answering);
}

#[test]
fn a_server_that_answers_any_mount_answers() {
    let lines = ["mdc lustrefs-MDT0000-mdc-1 DISCONN", "mdc lustrefs-MDT0000-mdc-2 FULL"];
    assert_eq!(state_of(A, &[A, A], &lines), Answering);
    let unknown = ["mdc lustrefs-MDT0000-mdc-1 ?", "mdc lustrefs-MDT0000-mdc-2 DISCONN"];
    assert_eq!(state_of(A, &[A, A], &unknown), Unknown);
    let idle = [
        "mdc lustrefs-MDT0000-mdc-1 DISCONN",
        "osc lustrefs-OST0000-osc-1 DISCONN",
        "osc lustrefs-OST0000-osc-2 EVICTED",
    ];
    assert_eq!(state_of(A, &[A, A], &idle), Answering);
}

#[test]
fn file_systems_of_one_name_are_distinguished_by_nids_or_not_at_all() {
    let lines = [
        "mgc MGC10.0.0.4@tcp FULL",
        "mdc lustrefs-MDT0000-mdc-1 FULL 10.0.0.4@tcp",
        "osc lustrefs-OST0000-osc-1 FULL 10.0.0.6@tcp",
        "mdc lustrefs-MDT0000-mdc-2 DISCONN 10.0.0.5@tcp0",
        "osc lustrefs-OST0000-osc-2 DISCONN 10.0.0.7@tcp",
    ];
    assert_eq!(state_of(A, &[A, B], &lines), Answering);
    assert_eq!(state_of(B, &[A, B], &lines), Dead);
    let elsewhere = lines.map(|line| line.replace("10.0.0.5", "10.0.1.5"));
    let elsewhere: Vec<&str> = elsewhere.iter().map(String::as_str).collect();
    assert_eq!(state_of(B, &[A, B], &elsewhere), Unknown);
}
