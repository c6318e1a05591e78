//! Every row of what may be loaded already, and what then is done.

use super::*;
use crate::adapters::node_setup::modules::{LoadedModules, Module, REMOVAL_ORDER};
use crate::adapters::node_setup::os::{Machine, Os};

const OLD: &str = "2.15.8-39-g2d32b59";
const NEW: &str = "2.17.0-24-gf517bc4";
const NETWORKS: &str = "tcp(eth0)";

fn version(text: &str) -> ClientVersion {
    ClientVersion::parse(text).unwrap()
}

fn node() -> HostState {
    HostState {
        os: Ok(Os::Noble),
        machine: Ok(Machine::X86_64),
        kernel: "6.8.0-1046-azure".to_owned(),
        requires_signed_modules: false,
        modules: LoadedModules::default(),
        mounts: Some(Vec::new()),
        unpacked: Vec::new(),
        host_has_client: false,
        warnings: Vec::new(),
    }
}

/// These modules, idle, of this version.
fn modules(names: &[&'static str], client: &str, networks: Option<&str>) -> LoadedModules {
    let module = Module { refcnt: Some(0), holders: Vec::new(), version: ClientVersion::parse(client) };
    LoadedModules {
        loaded: names.iter().map(|name| (*name, module.clone())).collect(),
        networks: networks.map(str::to_owned),
    }
}

fn with(change: impl FnOnce(&mut HostState)) -> HostState {
    let mut facts = node();
    change(&mut facts);
    facts
}

fn loaded(client: &str, change: impl FnOnce(&mut HostState)) -> HostState {
    with(|facts| {
        facts.modules = modules(&REMOVAL_ORDER, client, Some(NETWORKS));
        change(facts);
    })
}

fn wanted() -> Wanted {
    Wanted { client: Some(version(NEW)), install: true, replace: Replace::Idle }
}

/// A plan in short words.
fn short(facts: &HostState, wanted: &Wanted) -> String {
    let source = |source: &Source| match source {
        Source::Private(version) => version.to_string(),
        Source::Host => "host".to_owned(),
    };
    let action = |action: &Action| match action {
        Action::Fetch { version, otherwise: Otherwise::Fail } => format!("fetch {version} or fail"),
        Action::Fetch { version, otherwise: Otherwise::KeepLoaded } => format!("fetch {version} or keep"),
        Action::Fetch { version, otherwise: Otherwise::UsePresent } => format!("fetch {version} or use what is there"),
        Action::Prefetch { version } => format!("prefetch {version}"),
        Action::Unload { .. } => "unload".to_owned(),
        Action::Load { source: from, modules } if *modules == LOAD_ORDER => format!("load {}", source(from)),
        Action::Load { source: from, modules } => format!("load {} of {}", modules.join(" "), source(from)),
    };
    match plan(facts, wanted, NETWORKS) {
        Ok(plan) => plan.actions.iter().map(action).chain(plan.notes).collect::<Vec<_>>().join("; "),
        Err(error) => format!("{}: {}", error.exit.code(), error.why),
    }
}

#[test]
fn nothing_loaded() {
    let no_install = Wanted { install: false, ..wanted() };
    for (facts, wanted, expected) in [
        (node(), wanted(), format!("fetch {NEW} or fail; load {NEW}")),
        (with(|facts| facts.unpacked = vec![version(NEW)]), wanted(), format!("load {NEW}")),
        (
            with(|facts| facts.unpacked = vec![version(OLD)]),
            wanted(),
            format!("fetch {NEW} or use what is there; load {NEW}"),
        ),
        (with(|facts| facts.unpacked = vec![version("2.14.0")]), wanted(), format!("fetch {NEW} or fail; load {NEW}")),
        (with(|facts| facts.host_has_client = true), wanted(), format!("fetch {NEW} or use what is there; load {NEW}")),
        (node(), Wanted { client: None, ..wanted() }, format!("fetch {NEW} or fail; load {NEW}")),
        (
            with(|facts| facts.os = Ok(Os::Jammy)),
            Wanted { client: None, ..wanted() },
            format!("fetch {OLD} or fail; load {OLD}"),
        ),
        (with(|facts| facts.host_has_client = true), no_install.clone(), "load host".to_owned()),
        (with(|facts| facts.unpacked = vec![version(OLD)]), no_install.clone(), format!("load {OLD}")),
        (
            node(),
            no_install,
            "no Lustre client is on this node; install-lustre-client is no: nothing is done".to_owned(),
        ),
    ] {
        assert_eq!(short(&facts, &wanted), expected);
    }
}

#[test]
fn a_node_without_packages_needs_a_human_unless_nothing_is_fetched() {
    let flatcar = || Os::parse("ID=flatcar\nVERSION_ID=4081\n");
    let unsupported = with(|facts| facts.os = flatcar());
    assert!(short(&unsupported, &wanted()).starts_with("3: its operating system is \"flatcar\""));
    let on_arm64 = |os| with(|facts| (facts.os, facts.machine) = (Ok(os), Ok(Machine::Aarch64)));
    for os in [Os::Jammy, Os::AzureLinux3] {
        assert!(short(&on_arm64(os), &wanted()).starts_with("3: no packages are published"));
    }
    assert_eq!(short(&on_arm64(Os::Noble), &wanted()), format!("fetch {NEW} or fail; load {NEW}"));
    let other = with(|facts| facts.machine = Machine::parse("riscv64"));
    assert!(short(&other, &wanted()).starts_with("3: its architecture is \"riscv64\""));
    for facts in [
        loaded(NEW, |facts| facts.os = flatcar()),
        loaded(OLD, |facts| (facts.os, facts.unpacked) = (flatcar(), vec![version(OLD)])),
    ] {
        assert_eq!(short(&facts, &Wanted { client: None, ..wanted() }), "");
    }
}

#[test]
fn the_wanted_version_is_loaded() {
    assert_eq!(short(&loaded(NEW, |_| {}), &wanted()), "");
    // The Go driver's LNet, configured by lnetctl: its NIDs count, not the parameter.
    assert_eq!(short(&loaded(NEW, |facts| facts.modules.networks = None), &wanted()), "");
    assert_eq!(short(&loaded(NEW, |facts| facts.mounts = None), &wanted()), "");
}

#[test]
fn a_load_that_was_interrupted_is_completed() {
    let without_mgc = |unpacked: &[&str], host| {
        loaded(NEW, |facts| {
            facts.modules.loaded.remove("mgc");
            facts.unpacked = unpacked.iter().map(|text| version(text)).collect();
            facts.host_has_client = host;
        })
    };
    assert_eq!(short(&without_mgc(&[NEW], true), &wanted()), format!("load mgc of {NEW}"));
    assert_eq!(short(&without_mgc(&[OLD], true), &wanted()), "load mgc of host");
    assert_eq!(short(&without_mgc(&[], false), &wanted()), format!("fetch {NEW} or fail; load mgc of {NEW}"));
    let no_install = Wanted { install: false, ..wanted() };
    assert!(short(&without_mgc(&[], false), &no_install).contains("without mgc"));
}

#[test]
fn another_version_is_replaced_only_while_idle() {
    let new = |facts: &mut HostState| facts.unpacked = vec![version(NEW)];
    let busy = |facts: &mut HostState, name| facts.modules.loaded.get_mut(name).unwrap().refcnt = Some(5);
    let never = Wanted { replace: Replace::Never, ..wanted() };
    let replaced = format!("unload; load {NEW}");
    for (facts, wanted, expected) in [
        (loaded(OLD, new), wanted(), replaced.clone()),
        (loaded(OLD, |_| {}), wanted(), format!("fetch {NEW} or keep; {replaced}")),
        (loaded("2.14.0", |_| {}), wanted(), format!("fetch {NEW} or fail; {replaced}")),
        (
            loaded(OLD, |facts| facts.mounts = Some(vec!["/a".to_owned()])),
            wanted(),
            format!("prefetch {NEW}; client {OLD} stays"),
        ),
        (loaded(OLD, |facts| facts.mounts = None), wanted(), format!("prefetch {NEW}; client {OLD} stays")),
        (loaded(OLD, |facts| busy(facts, "lustre")), wanted(), format!("prefetch {NEW}; client {OLD} stays")),
        (loaded(OLD, |facts| busy(facts, "lnet")), wanted(), format!("prefetch {NEW}; client {OLD} stays")),
        (
            loaded(OLD, |facts| {
                new(facts);
                busy(facts, "lustre");
            }),
            wanted(),
            format!("client {OLD} stays"),
        ),
        (loaded(OLD, new), never, format!("client {OLD} stays")),
        (loaded(OLD, |_| {}), Wanted { install: false, ..wanted() }, format!("client {OLD} stays")),
        (loaded(OLD, new), Wanted { install: false, ..wanted() }, replaced.clone()),
        (loaded("", new), wanted(), "the version of the loaded client cannot be read".to_owned()),
    ] {
        let found = short(&facts, &wanted);
        assert!(found.starts_with(&expected), "{found}\n{expected}");
        assert_eq!(expected.contains("unload"), found.contains("unload"), "{found}");
    }
}

#[test]
fn lnet_without_lustre_is_loaded_anew_unless_it_is_the_first_half() {
    let rest = "lustre mgc mdc lmv lov osc";
    for (names, client, networks, expected) in [
        (&["lnet", "ksocklnd", "libcfs"] as &[_], NEW, Some(NETWORKS), format!("load {rest} of {NEW}")),
        (&["libcfs"], NEW, None, format!("load {NEW}")),
        (&["lnet", "libcfs"], NEW, Some("tcp(eth9)"), format!("unload; load {NEW}")),
        (&["lnet", "libcfs", "ksocklnd", "obdclass"], NEW, None, format!("unload; load {NEW}")),
        (&["lnet", "libcfs"], OLD, Some(NETWORKS), format!("unload; load {NEW}")),
        (&["libcfs"], OLD, None, format!("unload; load {NEW}")),
    ] {
        let facts = with(|facts| {
            facts.modules = modules(names, client, networks);
            facts.unpacked = vec![version(NEW)];
        });
        assert_eq!(short(&facts, &wanted()), expected);
        let facts = HostState { unpacked: Vec::new(), ..facts };
        assert_eq!(short(&facts, &wanted()), format!("fetch {NEW} or fail; {expected}"));
        assert!(short(&facts, &Wanted { install: false, ..wanted() }).starts_with("LNet is loaded without Lustre"));
    }
}
