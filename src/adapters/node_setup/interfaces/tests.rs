//! Interfaces as nodes of AKS, of kind and of tests have them.

use std::net::Ipv4Addr;

use super::*;
use crate::adapters::node_setup::error::SetupExit;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 224, 0, 4);

/// A network interface of an Azure VM that is up and has an address.
fn azure(name: &str) -> Interface {
    Interface {
        name: name.to_owned(),
        kind: Some(1),
        flags: Some(0x1003),
        operstate: Some("up".to_owned()),
        index: Some(2),
        link: Some(2),
        has_device: true,
        driver: Some("hv_netvsc".to_owned()),
        addresses: Some(vec![ADDRESS]),
        ..Interface::default()
    }
}

fn network(interfaces: &[Interface], default_routes: &[&str]) -> HostNetwork {
    HostNetwork {
        interfaces: interfaces.to_vec(),
        default_routes: Some(default_routes.iter().map(|name| (*name).to_owned()).collect()),
        missing: Vec::new(),
    }
}

/// One end of a pair, without a device: pods, and the interfaces of Cilium.
fn pair(name: &str) -> Interface {
    Interface { index: Some(7), link: Some(6), has_device: false, driver: None, ..azure(name) }
}

fn bridge(name: &str) -> Interface {
    Interface { is_bridge: true, has_device: false, driver: None, ..azure(name) }
}

fn names(selection: &Selection) -> Vec<&str> {
    selection.interfaces.iter().map(|interface| interface.name.as_str()).collect()
}

fn selected(network: &HostNetwork, rule: &str) -> Selection {
    select(network, &InterfaceRule::parse(rule).unwrap()).unwrap_or_else(|error| panic!("{rule}: {error}"))
}

fn refused(network: &HostNetwork, rule: &str) -> SetupError {
    let selection = select(network, &InterfaceRule::parse(rule).unwrap());
    selection.map_or_else(|error| error, |selection| panic!("{rule}: {selection:?}"))
}

#[test]
fn the_setting_is_auto_all_or_a_list() {
    assert_eq!(InterfaceRule::parse(" auto "), Ok(InterfaceRule::Auto));
    assert_eq!(InterfaceRule::parse("all"), Ok(InterfaceRule::All));
    let listed = InterfaceRule::Listed(vec!["eth1".to_owned(), "eth0".to_owned()]);
    assert_eq!(InterfaceRule::parse("eth1, eth0,eth1"), Ok(listed));
    for bad in ["", "eth0,", "auto,eth0", "eth0,all", "eth0)", "eth 0", "a/b", "..", "sixteen-letters-", "tcp(eth0)"] {
        assert!(InterfaceRule::parse(bad).unwrap_err().contains("eth0,eth1"), "{bad:?}");
    }
}

#[test]
fn auto_is_the_interface_of_the_default_route() {
    let second = Interface { addresses: Some(vec![Ipv4Addr::new(10, 1, 0, 4)]), ..azure("eth1") };
    let network = network(&[azure("eth0"), second, pair("azv1")], &["eth0"]);
    let selection = selected(&network, "auto");
    assert_eq!(selection, Selection { interfaces: vec![azure("eth0")], notes: Vec::new() });
}

#[test]
fn the_lowest_metric_wins() {
    let network = network(&[azure("eth0"), azure("eth1")], &["eth1", "eth0"]);
    assert_eq!(names(&selected(&network, "auto")), ["eth1"]);
}

#[test]
fn a_virtual_function_is_never_used() {
    let by_flag = Interface { flags: Some(0x1803), ..azure("enP1s1") };
    let by_master =
        Interface { master: Some("eth0".to_owned()), driver: Some("mlx5_core".to_owned()), ..azure("enP2s2") };
    for function in [by_flag, by_master] {
        let name = function.name.clone();
        let network = network(&[function, azure("eth0")], &[&name, "eth0"]);
        assert_eq!(names(&selected(&network, "auto")), ["eth0"]);
        assert_eq!(names(&selected(&network, "all")), ["eth0"]);
        let error = refused(&network, &name);
        assert_eq!(error.exit, SetupExit::WrongSetting);
        assert!(error.why.contains("used below"), "{error}");
    }
}

#[test]
fn a_second_interface_is_used_only_if_it_is_listed() {
    let network = network(&[azure("eth0"), azure("eth1")], &["eth0"]);
    assert_eq!(names(&selected(&network, "auto")), ["eth0"]);
    assert_eq!(names(&selected(&network, "eth1")), ["eth1"]);
    // The one of the default route is loaded first, in any order of the list.
    assert_eq!(names(&selected(&network, "eth1,eth0")), ["eth0", "eth1"]);
}

#[test]
fn infiniband_is_never_used() {
    let ib0 = Interface { kind: Some(32), driver: Some("ib_ipoib".to_owned()), ..azure("ib0") };
    let both = network(&[azure("eth0"), ib0.clone()], &["ib0", "eth0"]);
    assert_eq!((names(&selected(&both, "auto")), names(&selected(&both, "all"))), (vec!["eth0"], vec!["eth0"]));
    assert!(refused(&both, "eth0,ib0").why.contains("InfiniBand"));
    let error = refused(&network(&[ib0], &["ib0"]), "auto");
    assert!(error.exit == SetupExit::WrongSetting && error.why.contains("ib0: it is InfiniBand"), "{error}");
}

#[test]
fn interfaces_of_pods_and_runtimes_are_never_used() {
    let lo = Interface { kind: Some(772), has_device: false, ..azure("lo") };
    let dummy = |name| Interface { has_device: false, driver: None, ..azure(name) };
    let others = [
        pair("azv1234"),
        pair("lxc1"),
        pair("cali1"),
        pair("cilium_host"),
        pair("cilium_net"),
        bridge("docker0"),
        bridge("cbr0"),
        dummy("kube-ipvs0"),
        dummy("nodelocaldns"),
        dummy("tunl0"),
        lo,
    ];
    let network = network(&[&[azure("eth0")][..], &others].concat(), &["eth0"]);
    assert_eq!((names(&selected(&network, "auto")), names(&selected(&network, "all"))), (vec!["eth0"], vec!["eth0"]));
    for interface in &others {
        let error = refused(&network, &format!("eth0,{}", interface.name));
        assert_eq!(error.exit, SetupExit::WrongSetting, "{error}");
        assert!(error.why.contains(&interface.name) && error.hint.contains("--lnet-interfaces"), "{error}");
    }
}

#[test]
fn a_bridge_with_the_default_route_is_used_and_its_port_is_not() {
    let port = Interface { master: Some("azure0".to_owned()), addresses: Some(Vec::new()), ..azure("eth0") };
    let network = network(&[bridge("azure0"), port], &["azure0"]);
    assert_eq!(
        (names(&selected(&network, "auto")), names(&selected(&network, "all"))),
        (vec!["azure0"], vec!["azure0"])
    );
    assert_eq!(names(&selected(&network, "azure0")), ["azure0"]);
}

#[test]
fn a_default_route_over_another_kind_of_interface_is_used_and_noted() {
    let e1000 = Interface { driver: Some("e1000".to_owned()), ..azure("eth0") };
    for interface in [e1000, pair("eth0")] {
        let selection = selected(&network(&[interface], &["eth0"]), "auto");
        assert_eq!(names(&selection), ["eth0"]);
        assert!(selection.notes[0].contains("which is not Azure's"), "{:?}", selection.notes);
    }
    // A physical interface comes before one of a container runtime with a lower metric.
    let routed = network(&[pair("cilium_host"), azure("eth0")], &["cilium_host", "eth0"]);
    assert_eq!(names(&selected(&routed, "auto")), ["eth0"]);
}

#[test]
fn the_default_routes_interface_is_waited_for_and_another_is_passed_over() {
    for state in ["down", "unknown", "dormant", "lowerlayerdown"] {
        let down = |name| Interface { operstate: Some(state.to_owned()), ..azure(name) };
        for rule in ["auto", "eth0"] {
            let error = refused(&network(&[down("eth0")], &["eth0"]), rule);
            assert!(
                error.transient && error.exit == SetupExit::TryAgain && error.why.contains("eth0 is not up"),
                "{error}"
            );
        }
        for rule in ["all", "eth0,eth1"] {
            let selection = selected(&network(&[azure("eth0"), down("eth1")], &["eth0"]), rule);
            assert_eq!(names(&selection), ["eth0"]);
            assert!(selection.notes.concat().contains("eth1 is not up"), "{:?}", selection.notes);
        }
        let error = refused(&network(&[azure("eth0"), down("eth1")], &["eth0"]), "eth1");
        assert!(error.transient && error.why.contains("eth1 is not up"), "{error}");
    }
}

#[test]
fn an_interface_without_ipv4_is_not_used() {
    let bare = |name| Interface { addresses: Some(Vec::new()), ..azure(name) };
    let error = refused(&network(&[bare("eth0")], &["eth0"]), "auto");
    assert!(error.transient && error.why.contains("eth0 has no IPv4 address"), "{error}");
    let selection = selected(&network(&[azure("eth0"), bare("eth1")], &["eth0"]), "all");
    assert_eq!((names(&selection), selection.notes.len()), (vec!["eth0"], 1));
}

#[test]
fn a_missing_default_route_may_come() {
    let error = refused(&network(&[azure("eth0")], &[]), "auto");
    assert!(error.transient && error.why.contains("no IPv4 default route"), "{error}");
    let error = refused(&network(&[azure("eth0")], &["wg0"]), "auto");
    assert!(error.why.contains("wg0: /sys/class/net of the host does not have it"), "{error}");
    // A list does not need one.
    assert_eq!(names(&selected(&network(&[azure("eth0")], &[]), "eth0")), ["eth0"]);
}

#[test]
fn a_name_that_no_interface_has_is_a_wrong_setting() {
    let error = refused(&network(&[azure("eth0"), azure("eth1")], &["eth0"]), "eth0,eth9");
    assert_eq!(error.exit, SetupExit::WrongSetting);
    assert!(error.why.contains("no interface `eth9`; it has eth0, eth1"), "{error}");
}

#[test]
fn what_is_not_known_is_noted_and_stops_nothing() {
    let missing = vec!["/proc/net/route of the host cannot be read: absent".to_owned()];
    let unknown = |interfaces: &[Interface]| HostNetwork {
        interfaces: interfaces.to_vec(),
        default_routes: None,
        missing: missing.clone(),
    };
    let nothing = selected(&unknown(&[]), "auto");
    assert!(nothing.interfaces.is_empty() && nothing.notes.len() == 2, "{nothing:?}");
    assert_eq!(names(&selected(&unknown(&[azure("eth0"), pair("azv1")]), "auto")), ["eth0"]);
    let several = refused(&unknown(&[azure("eth0"), azure("eth1")]), "auto");
    assert_eq!(several.exit, SetupExit::WrongSetting);
    assert_eq!(names(&selected(&unknown(&[]), "eth0")), ["eth0"]);
    // Routes alone.
    let selection = selected(&network(&[], &["eth0"]), "auto");
    assert_eq!(selection.interfaces, [Interface::named("eth0")]);
    assert!(selection.notes.concat().contains("the address of eth0 is not known"), "{:?}", selection.notes);
}
