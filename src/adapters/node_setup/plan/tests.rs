//! The plan for each state of the modules.

use super::*;
use crate::adapters::node_setup::modules::{LoadedModule, LoadedModules, REMOVAL_ORDER};
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
    let module = LoadedModule { refcnt: Some(0), holders: Vec::new(), version: ClientVersion::parse(client) };
    LoadedModules {
        loaded: names.iter().map(|name| (*name, module.clone())).collect(),
        networks: networks.map(str::to_owned),
    }
}

fn with(change: impl FnOnce(&mut HostState)) -> HostState {
    let mut host = node();
    change(&mut host);
    host
}

fn loaded(client: &str, change: impl FnOnce(&mut HostState)) -> HostState {
    with(|host| {
        host.modules = modules(&REMOVAL_ORDER, client, Some(NETWORKS));
        change(host);
    })
}

fn desired() -> DesiredClient {
    DesiredClient { version: Some(version(NEW)), install: true, replace: ReplaceClient::Idle }
}

/// A plan as one line.
fn short(host: &HostState, desired: &DesiredClient) -> String {
    let source = |source: &ModuleSource| match source {
        ModuleSource::Unpacked(version) => version.to_string(),
        ModuleSource::Host => "host".to_owned(),
    };
    let action = |action: &Action| match action {
        Action::Fetch(version, FetchFallback::Fail) => format!("fetch {version} or fail"),
        Action::Fetch(version, FetchFallback::KeepLoaded) => format!("fetch {version} or keep"),
        Action::Fetch(version, FetchFallback::UsePresent) => {
            format!("fetch {version} or use what is there")
        }
        Action::Prefetch(version) => format!("prefetch {version}"),
        Action::Unload(_) => "unload".to_owned(),
        Action::Load(from, modules) if *modules == LOAD_ORDER => format!("load {}", source(from)),
        Action::Load(from, modules) => format!("load {} of {}", modules.join(" "), source(from)),
    };
    match plan(host, desired, NETWORKS) {
        Ok(plan) => plan.actions.iter().map(action).chain(plan.notes).collect::<Vec<_>>().join("; "),
        Err(error) => format!("{}: {}", error.exit.code(), error.why),
    }
}

#[test]
fn without_modules_the_client_is_fetched_and_loaded() {
    let no_install = DesiredClient { install: false, ..desired() };
    for (host, desired, expected) in [
        (node(), desired(), format!("fetch {NEW} or fail; load {NEW}")),
        (with(|host| host.unpacked = vec![version(NEW)]), desired(), format!("load {NEW}")),
        (
            with(|host| host.unpacked = vec![version(OLD)]),
            desired(),
            format!("fetch {NEW} or use what is there; load {NEW}"),
        ),
        (with(|host| host.unpacked = vec![version("2.14.0")]), desired(), format!("fetch {NEW} or fail; load {NEW}")),
        (with(|host| host.host_has_client = true), desired(), format!("fetch {NEW} or use what is there; load {NEW}")),
        (node(), DesiredClient { version: None, ..desired() }, format!("fetch {NEW} or fail; load {NEW}")),
        (
            with(|host| host.os = Ok(Os::Jammy)),
            DesiredClient { version: None, ..desired() },
            format!("fetch {OLD} or fail; load {OLD}"),
        ),
        (with(|host| host.host_has_client = true), no_install.clone(), "load host".to_owned()),
        (with(|host| host.unpacked = vec![version(OLD)]), no_install.clone(), format!("load {OLD}")),
        (
            node(),
            no_install,
            "no Lustre client is on this node; install-lustre-client is no: nothing is done".to_owned(),
        ),
    ] {
        assert_eq!(short(&host, &desired), expected);
    }
}

#[test]
fn an_unsupported_node_is_an_error_only_if_a_package_must_be_fetched() {
    let flatcar = || Os::parse("ID=flatcar\nVERSION_ID=4081\n");
    let unsupported = with(|host| host.os = flatcar());
    assert!(short(&unsupported, &desired()).starts_with("3: its operating system is \"flatcar\""));
    let on_arm64 = |os| with(|host| (host.os, host.machine) = (Ok(os), Ok(Machine::Aarch64)));
    for os in [Os::Jammy, Os::AzureLinux3] {
        assert!(short(&on_arm64(os), &desired()).starts_with("3: no packages are published"));
    }
    assert_eq!(short(&on_arm64(Os::Noble), &desired()), format!("fetch {NEW} or fail; load {NEW}"));
    let other = with(|host| host.machine = Machine::parse("riscv64"));
    assert!(short(&other, &desired()).starts_with("3: its architecture is \"riscv64\""));
    for host in [
        loaded(NEW, |host| host.os = flatcar()),
        loaded(OLD, |host| (host.os, host.unpacked) = (flatcar(), vec![version(OLD)])),
    ] {
        assert_eq!(short(&host, &DesiredClient { version: None, ..desired() }), "");
    }
}

#[test]
fn with_the_desired_version_loaded_nothing_is_done() {
    assert_eq!(short(&loaded(NEW, |_| {}), &desired()), "");
    // The Go driver's LNet, configured by lnetctl: its NIDs count, not the parameter.
    assert_eq!(short(&loaded(NEW, |host| host.modules.networks = None), &desired()), "");
    assert_eq!(short(&loaded(NEW, |host| host.mounts = None), &desired()), "");
}

#[test]
fn missing_modules_of_the_loaded_client_are_loaded() {
    let without_mgc = |unpacked: &[&str], host_has_client| {
        loaded(NEW, |host| {
            host.modules.loaded.remove("mgc");
            host.unpacked = unpacked.iter().map(|text| version(text)).collect();
            host.host_has_client = host_has_client;
        })
    };
    assert_eq!(short(&without_mgc(&[NEW], true), &desired()), format!("load mgc of {NEW}"));
    assert_eq!(short(&without_mgc(&[OLD], true), &desired()), "load mgc of host");
    assert_eq!(short(&without_mgc(&[], false), &desired()), format!("fetch {NEW} or fail; load mgc of {NEW}"));
    let no_install = DesiredClient { install: false, ..desired() };
    assert!(short(&without_mgc(&[], false), &no_install).contains("without mgc"));
}

#[test]
fn another_version_is_replaced_only_while_idle() {
    let new = |host: &mut HostState| host.unpacked = vec![version(NEW)];
    let busy = |host: &mut HostState, name| host.modules.loaded.get_mut(name).unwrap().refcnt = Some(5);
    let never = DesiredClient { replace: ReplaceClient::Never, ..desired() };
    let replaced = format!("unload; load {NEW}");
    for (host, desired, expected) in [
        (loaded(OLD, new), desired(), replaced.clone()),
        (loaded(OLD, |_| {}), desired(), format!("fetch {NEW} or keep; {replaced}")),
        (loaded("2.14.0", |_| {}), desired(), format!("fetch {NEW} or fail; {replaced}")),
        (
            loaded(OLD, |host| host.mounts = Some(vec!["/a".to_owned()])),
            desired(),
            format!("prefetch {NEW}; client {OLD} stays"),
        ),
        (loaded(OLD, |host| host.mounts = None), desired(), format!("prefetch {NEW}; client {OLD} stays")),
        (loaded(OLD, |host| busy(host, "lustre")), desired(), format!("prefetch {NEW}; client {OLD} stays")),
        (loaded(OLD, |host| busy(host, "lnet")), desired(), format!("prefetch {NEW}; client {OLD} stays")),
        (
            loaded(OLD, |host| {
                new(host);
                busy(host, "lustre");
            }),
            desired(),
            format!("client {OLD} stays"),
        ),
        (loaded(OLD, new), never, format!("client {OLD} stays")),
        (loaded(OLD, |_| {}), DesiredClient { install: false, ..desired() }, format!("client {OLD} stays")),
        (loaded(OLD, new), DesiredClient { install: false, ..desired() }, replaced.clone()),
        (loaded("", new), desired(), "the version of the loaded client cannot be read".to_owned()),
    ] {
        let found = short(&host, &desired);
        assert!(found.starts_with(&expected), "{found}\n{expected}");
        assert_eq!(expected.contains("unload"), found.contains("unload"), "{found}");
    }
}

#[test]
fn lnet_without_lustre_is_reloaded_unless_it_matches() {
    let rest = "lustre mgc mdc lmv lov osc";
    for (names, client, networks, expected) in [
        (&["lnet", "ksocklnd", "libcfs"] as &[_], NEW, Some(NETWORKS), format!("load {rest} of {NEW}")),
        (&["libcfs"], NEW, None, format!("load {NEW}")),
        (&["lnet", "libcfs"], NEW, Some("tcp(eth9)"), format!("unload; load {NEW}")),
        (&["lnet", "libcfs", "ksocklnd", "obdclass"], NEW, None, format!("unload; load {NEW}")),
        (&["lnet", "libcfs"], OLD, Some(NETWORKS), format!("unload; load {NEW}")),
        (&["libcfs"], OLD, None, format!("unload; load {NEW}")),
    ] {
        let host = with(|host| {
            host.modules = modules(names, client, networks);
            host.unpacked = vec![version(NEW)];
        });
        assert_eq!(short(&host, &desired()), expected);
        let host = HostState { unpacked: Vec::new(), ..host };
        assert_eq!(short(&host, &desired()), format!("fetch {NEW} or fail; {expected}"));
        assert!(
            short(&host, &DesiredClient { install: false, ..desired() }).starts_with("LNet is loaded without Lustre")
        );
    }
}
