//! The table of states, and which imports belong to which mount.

use super::*;
use crate::adapters::kernel::client_state::imports::Service;

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
        let service = Service::ALL.into_iter().find(|service| service.device_type() == kind).unwrap();
        let name = words.next().unwrap().to_owned();
        let state = match words.next().unwrap() {
            "FULL" => ImportState::Full,
            "IDLE" => ImportState::Idle,
            "?" => ImportState::Unknown("odd".to_owned()),
            state @ ("REPLAY" | "EVICTED") => ImportState::Recovering(state.to_owned()),
            state => ImportState::Lost(state.to_owned()),
        };
        Import { device: Device { service, name }, state, nids: words.map(str::to_owned).collect() }
    };
    lines.iter().map(import).collect()
}

fn judged(text: &str, mounted: &[&str], lines: &[&str]) -> String {
    let mounted: Vec<MountSource> = mounted.iter().map(|text| source(text)).collect();
    match judge(&source(text), &mounted, &imports(lines)) {
        ServerState::Answering => "answering".to_owned(),
        ServerState::Partial { not_full } => format!("partial: {}", not_full.join(", ")),
        ServerState::Dead { lost } => format!("dead: {}", lost.join(", ")),
        ServerState::Unknown(why) => format!("unknown: {why}"),
    }
}

/// MGS, MDT0000, OST0000 and OST0001 in these states; `-` is not there.
fn in_states(states: [&str; 4]) -> String {
    let names = [
        "mgc MGC10.0.0.4@tcp",
        "mdc lustrefs-MDT0000-mdc-1",
        "osc lustrefs-OST0000-osc-1",
        "osc lustrefs-OST0001-osc-1",
    ];
    let there = names.into_iter().zip(states).filter(|(_, state)| *state != "-");
    let lines: Vec<String> = there.map(|(name, state)| format!("{name} {state}")).collect();
    judged(A, &[A], &lines.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn servers_are_dead_only_if_no_import_is_usable() {
    for (mgs, mdt, osts, expected) in [
        // All in use, or idle because nobody needs them.
        ("FULL", "FULL", ["FULL", "FULL"], "answering"),
        ("FULL", "FULL", ["IDLE", "FULL"], "answering"),
        ("FULL", "FULL", ["IDLE", "IDLE"], "answering"),
        // The MGS alone decides nothing.
        ("DISCONN", "FULL", ["FULL", "FULL"], "answering"),
        ("?", "FULL", ["FULL", "FULL"], "answering"),
        ("-", "FULL", ["FULL", "FULL"], "answering"),
        // A failover of an MDT, of an OST, of all OSTs: unwritten pages go out to those that answer.
        ("FULL", "DISCONN", ["FULL", "FULL"], "partial: MDT0000 is DISCONN"),
        ("DISCONN", "CONNECTING", ["FULL", "FULL"], "partial: MDT0000 is CONNECTING, MGS is DISCONN"),
        ("DISCONN", "DISCONN", ["FULL", "DISCONN"], "partial: MDT0000 is DISCONN, MGS is DISCONN, OST0001 is DISCONN"),
        ("DISCONN", "DISCONN", ["FULL", "IDLE"], "partial: MDT0000 is DISCONN, MGS is DISCONN"),
        ("FULL", "FULL", ["DISCONN", "DISCONN"], "partial: OST0000 is DISCONN, OST0001 is DISCONN"),
        ("FULL", "FULL", ["FULL", "FULL(deactive)"], "partial: OST0001 is FULL(deactive)"),
        ("FULL", "FULL", ["?", "FULL"], "partial: OST0000 is unknown"),
        // A server in recovery, or one that has evicted the client, answers.
        (
            "DISCONN",
            "REPLAY",
            ["DISCONN", "DISCONN"],
            "partial: MDT0000 is REPLAY, MGS is DISCONN, OST0000 is DISCONN, OST0001 is DISCONN",
        ),
        (
            "FULL",
            "EVICTED",
            ["EVICTED", "EVICTED"],
            "partial: MDT0000 is EVICTED, OST0000 is EVICTED, OST0001 is EVICTED",
        ),
        // Whatever cannot be read is not evidence of death.
        ("DISCONN", "DISCONN", ["?", "DISCONN"], "unknown: OST0000: odd"),
        ("DISCONN", "?", ["DISCONN", "DISCONN"], "unknown: MDT0000: odd"),
        ("?", "DISCONN", ["DISCONN", "DISCONN"], "unknown: MGS: odd"),
        ("FULL", "-", ["IDLE", "IDLE"], "unknown: all imports are idle"),
        ("FULL", "-", ["-", "-"], "unknown: no import of this node can be attributed to 10.0.0.4@tcp:/lustrefs"),
        ("DISCONN", "-", ["-", "-"], "unknown: no import of this node can be attributed to 10.0.0.4@tcp:/lustrefs"),
        // The OSTs are idle and say nothing, or all targets are lost: the MGS decides.
        ("FULL", "DISCONN", ["IDLE", "IDLE"], "unknown: MDT0000 is DISCONN, but the MGS answers"),
        ("FULL", "DISCONN", ["DISCONN", "-"], "unknown: MDT0000 is DISCONN, OST0000 is DISCONN, but the MGS answers"),
        (
            "EVICTED",
            "DISCONN",
            ["DISCONN", "-"],
            "unknown: MDT0000 is DISCONN, MGS is EVICTED, OST0000 is DISCONN, but the MGS answers",
        ),
        ("DISCONN", "DISCONN", ["IDLE", "IDLE"], "dead: MDT0000 is DISCONN, MGS is DISCONN"),
        ("-", "DISCONN", ["IDLE", "DISCONN"], "dead: MDT0000 is DISCONN, OST0001 is DISCONN"),
        (
            "DISCONN",
            "CONNECTING",
            ["NEW", "CLOSED"],
            "dead: MDT0000 is CONNECTING, MGS is DISCONN, OST0000 is NEW, OST0001 is CLOSED",
        ),
        (
            "DISCONN",
            "FULL(deactive)",
            ["FULL(deactive)", "-"],
            "dead: MDT0000 is FULL(deactive), MGS is DISCONN, OST0000 is FULL(deactive)",
        ),
    ] {
        let expected = expected.to_owned();
        assert_eq!(in_states([mgs, mdt, osts[0], osts[1]]), expected, "{mgs} {mdt} {osts:?}");
    }
}

#[test]
fn the_sub_directory_and_the_spelling_of_the_network_do_not_matter() {
    let lines = ["mgc MGC10.0.0.4@tcp FULL", "mdc lustrefs-MDT0000-mdc-1 FULL", "osc lustrefs-OST0000-osc-1 IDLE"];
    assert_eq!(judged("10.0.0.4@tcp0:/lustrefs/sub", &[A], &lines), "answering");
    assert!(judged(A, &[A], &[]).starts_with("unknown: no import"));
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
        "osc odd DISCONN",
    ];
    assert_eq!(judged(A, &[A], &lines), "partial: MDT0000 is CONNECTING, MGS is DISCONN, OST0001 is unknown");
}

#[test]
fn a_server_that_answers_any_mount_answers() {
    let lines = ["mdc lustrefs-MDT0000-mdc-1 DISCONN", "mdc lustrefs-MDT0000-mdc-2 FULL"];
    assert_eq!(judged(A, &[A, A], &lines), "answering");
    let doubtful = ["mdc lustrefs-MDT0000-mdc-1 ?", "mdc lustrefs-MDT0000-mdc-2 DISCONN"];
    assert_eq!(judged(A, &[A, A], &doubtful), "unknown: MDT0000: odd");
    let idle = [
        "mdc lustrefs-MDT0000-mdc-1 DISCONN",
        "osc lustrefs-OST0000-osc-1 DISCONN",
        "osc lustrefs-OST0000-osc-2 EVICTED",
    ];
    assert_eq!(judged(A, &[A, A], &idle), "partial: MDT0000 is DISCONN, OST0000 is EVICTED");
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
    assert_eq!(judged(A, &[A, B], &lines), "answering");
    assert_eq!(judged(B, &[A, B], &lines), "dead: MDT0000 is DISCONN, OST0000 is DISCONN");
    let elsewhere = lines.map(|line| line.replace("10.0.0.5", "10.0.1.5"));
    let elsewhere: Vec<&str> = elsewhere.iter().map(String::as_str).collect();
    assert!(judged(B, &[A, B], &elsewhere).starts_with("unknown: no import"));
}
