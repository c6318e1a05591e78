//! Interfaces as nodes of AKS, of kind and of tests have them.

use super::*;
use crate::adapters::lnet::Nid;
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

fn facts(interfaces: &[Interface], default_routes: &[&str]) -> HostNetwork {
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

fn names(choice: &Choice) -> Vec<&str> {
    choice.chosen.iter().map(|chosen| chosen.interface.as_str()).collect()
}

fn chosen(facts: &HostNetwork, rule: &str) -> Choice {
    choose(facts, &InterfaceRule::parse(rule).unwrap()).unwrap_or_else(|error| panic!("{rule}: {error}"))
}

fn refused(facts: &HostNetwork, rule: &str) -> SetupError {
    let choice = choose(facts, &InterfaceRule::parse(rule).unwrap());
    choice.map_or_else(|error| error, |choice| panic!("{rule}: {choice:?}"))
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
    let facts = facts(&[azure("eth0"), second, pair("azv1")], &["eth0"]);
    let choice = chosen(&facts, "auto");
    let eth0 = Chosen { interface: "eth0".to_owned(), addresses: Some(vec![ADDRESS]) };
    assert_eq!(choice, Choice { chosen: vec![eth0], notes: Vec::new() });
}

#[test]
fn the_lowest_metric_wins() {
    let facts = facts(&[azure("eth0"), azure("eth1")], &["eth1", "eth0"]);
    assert_eq!(names(&chosen(&facts, "auto")), ["eth1"]);
}

#[test]
fn a_virtual_function_is_never_used() {
    let by_flag = Interface { flags: Some(0x1803), ..azure("enP1s1") };
    let by_master =
        Interface { master: Some("eth0".to_owned()), driver: Some("mlx5_core".to_owned()), ..azure("enP2s2") };
    for function in [by_flag, by_master] {
        let name = function.name.clone();
        let facts = facts(&[function, azure("eth0")], &[&name, "eth0"]);
        assert_eq!(names(&chosen(&facts, "auto")), ["eth0"]);
        assert_eq!(names(&chosen(&facts, "all")), ["eth0"]);
        let error = refused(&facts, &name);
        assert_eq!(error.exit, SetupExit::WrongSetting);
        assert!(error.why.contains("used below"), "{error}");
    }
}

#[test]
fn a_second_interface_is_used_only_if_it_is_listed() {
    let facts = facts(&[azure("eth0"), azure("eth1")], &["eth0"]);
    assert_eq!(names(&chosen(&facts, "auto")), ["eth0"]);
    assert_eq!(names(&chosen(&facts, "eth1")), ["eth1"]);
    // The one of the default route is loaded first, whatever the order of the list.
    assert_eq!(names(&chosen(&facts, "eth1,eth0")), ["eth0", "eth1"]);
}

#[test]
fn infiniband_is_never_used() {
    let ib0 = Interface { kind: Some(32), driver: Some("ib_ipoib".to_owned()), ..azure("ib0") };
    let both = facts(&[azure("eth0"), ib0.clone()], &["ib0", "eth0"]);
    assert_eq!((names(&chosen(&both, "auto")), names(&chosen(&both, "all"))), (vec!["eth0"], vec!["eth0"]));
    assert!(refused(&both, "eth0,ib0").why.contains("InfiniBand"));
    let error = refused(&facts(&[ib0], &["ib0"]), "auto");
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
    let facts = facts(&[&[azure("eth0")][..], &others].concat(), &["eth0"]);
    assert_eq!((names(&chosen(&facts, "auto")), names(&chosen(&facts, "all"))), (vec!["eth0"], vec!["eth0"]));
    for interface in &others {
        let error = refused(&facts, &format!("eth0,{}", interface.name));
        assert_eq!(error.exit, SetupExit::WrongSetting, "{error}");
        assert!(error.why.contains(&interface.name) && error.hint.contains("--lnet-interfaces"), "{error}");
    }
}

#[test]
fn a_bridge_with_the_default_route_is_used_and_its_port_is_not() {
    let port = Interface { master: Some("azure0".to_owned()), addresses: Some(Vec::new()), ..azure("eth0") };
    let facts = facts(&[bridge("azure0"), port], &["azure0"]);
    assert_eq!((names(&chosen(&facts, "auto")), names(&chosen(&facts, "all"))), (vec!["azure0"], vec!["azure0"]));
    assert_eq!(names(&chosen(&facts, "azure0")), ["azure0"]);
}

#[test]
fn a_default_route_over_another_kind_of_interface_is_used_and_noted() {
    let e1000 = Interface { driver: Some("e1000".to_owned()), ..azure("eth0") };
    for interface in [e1000, pair("eth0")] {
        let choice = chosen(&facts(&[interface], &["eth0"]), "auto");
        assert_eq!(names(&choice), ["eth0"]);
        assert!(choice.notes[0].contains("which is not Azure's"), "{:?}", choice.notes);
    }
    // A real interface goes before one of a container runtime, whatever the metric.
    let routed = facts(&[pair("cilium_host"), azure("eth0")], &["cilium_host", "eth0"]);
    assert_eq!(names(&chosen(&routed, "auto")), ["eth0"]);
}

#[test]
fn the_default_routes_interface_is_waited_for_and_another_is_passed_over() {
    for state in ["down", "unknown", "dormant", "lowerlayerdown"] {
        let down = |name| Interface { operstate: Some(state.to_owned()), ..azure(name) };
        for rule in ["auto", "eth0"] {
            let error = refused(&facts(&[down("eth0")], &["eth0"]), rule);
            assert!(
                error.transient && error.exit == SetupExit::TryAgain && error.why.contains("eth0 is not up"),
                "{error}"
            );
        }
        for rule in ["all", "eth0,eth1"] {
            let choice = chosen(&facts(&[azure("eth0"), down("eth1")], &["eth0"]), rule);
            assert_eq!(names(&choice), ["eth0"]);
            assert!(choice.notes.concat().contains("eth1 is not up"), "{:?}", choice.notes);
        }
        let error = refused(&facts(&[azure("eth0"), down("eth1")], &["eth0"]), "eth1");
        assert!(error.transient && error.why.contains("eth1 is not up"), "{error}");
    }
}

#[test]
fn an_interface_without_ipv4_is_not_used() {
    let bare = |name| Interface { addresses: Some(Vec::new()), ..azure(name) };
    let error = refused(&facts(&[bare("eth0")], &["eth0"]), "auto");
    assert!(error.transient && error.why.contains("eth0 has no IPv4 address"), "{error}");
    let choice = chosen(&facts(&[azure("eth0"), bare("eth1")], &["eth0"]), "all");
    assert_eq!((names(&choice), choice.notes.len()), (vec!["eth0"], 1));
}

#[test]
fn a_missing_default_route_may_come() {
    let error = refused(&facts(&[azure("eth0")], &[]), "auto");
    assert!(error.transient && error.why.contains("no IPv4 default route"), "{error}");
    let error = refused(&facts(&[azure("eth0")], &["wg0"]), "auto");
    assert!(error.why.contains("wg0: /sys/class/net of the host does not have it"), "{error}");
    // A list does not need one.
    assert_eq!(names(&chosen(&facts(&[azure("eth0")], &[]), "eth0")), ["eth0"]);
}

#[test]
fn a_name_that_no_interface_has_is_a_wrong_setting() {
    let error = refused(&facts(&[azure("eth0"), azure("eth1")], &["eth0"]), "eth0,eth9");
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
    let nothing = chosen(&unknown(&[]), "auto");
    assert!(nothing.chosen.is_empty() && nothing.notes.len() == 2, "{nothing:?}");
    assert_eq!(names(&chosen(&unknown(&[azure("eth0"), pair("azv1")]), "auto")), ["eth0"]);
    let several = refused(&unknown(&[azure("eth0"), azure("eth1")]), "auto");
    assert_eq!(several.exit, SetupExit::WrongSetting);
    assert_eq!(names(&chosen(&unknown(&[]), "eth0")), ["eth0"]);
    // Routes alone.
    let choice = chosen(&facts(&[], &["eth0"]), "auto");
    assert_eq!(choice.chosen, [Chosen { interface: "eth0".to_owned(), addresses: None }]);
    assert!(choice.notes.concat().contains("the address of eth0 is not known"), "{:?}", choice.notes);
}

fn ni(address: [u8; 4], interface: Option<&str>) -> LocalNi {
    LocalNi { nid: Nid::tcp(address.into()), interface: interface.map(str::to_owned), up: Some(true) }
}

#[test]
fn an_ni_belongs_to_the_interface_whose_address_it_has() {
    let chosen = |name: &str, addresses: Option<&[[u8; 4]]>| Chosen {
        interface: name.to_owned(),
        addresses: addresses.map(|own| own.iter().map(|address| Ipv4Addr::from(*address)).collect()),
    };
    let (a, b) = ([10, 0, 0, 4], [10, 0, 0, 5]);
    let all = [chosen("eth0", Some(&[a, b])), chosen("eth1", Some(&[a, b]))];
    let has = |ni: &LocalNi| all.iter().map(|chosen| chosen.has(ni, &all)).collect::<Vec<_>>();
    assert_eq!(has(&ni(a, Some("eth0"))), [true, false]);
    assert_eq!(has(&ni(b, Some("eth1"))), [false, true]);
    assert_eq!(has(&ni([10, 0, 0, 9], Some("eth0"))), [false, false]);
    // The interface was renamed, and the NI goes on under the old name.
    assert_eq!(has(&ni(a, Some("old0"))), [true, true]);
    let unknown = [chosen("eth0", None)];
    assert!(unknown[0].has(&ni(b, Some("eth0")), &unknown) && unknown[0].has(&ni(b, None), &unknown));
    assert!(!unknown[0].has(&ni(b, Some("eth1")), &unknown) && !unknown[0].is_stale(&ni(b, Some("eth0"))));
    assert!(all[0].is_stale(&ni([10, 0, 0, 9], Some("eth0"))) && !all[0].is_stale(&ni(a, Some("eth0"))));
    let other_net = LocalNi { nid: Nid::new(TCP | 1, a.into()), ..ni(a, Some("eth0")) };
    assert!(!all[0].has(&other_net, &all) && !all[0].is_stale(&other_net));
}
