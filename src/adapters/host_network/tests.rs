//! Files of the host as the kernel writes them.

use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

/// A node of AKS with kubenet: eth0, its virtual function, a bridge of pods.
const ROUTE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100E00A\t0003\t0\t0\t100\t00000000\t0\t0\t0
cbr0\t0000F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth0\t0000E00A\t00000000\t0001\t0\t0\t100\t0000FFFF\t0\t0\t0
eth0\t10813FA8\t0100E00A\t0007\t0\t0\t100\tFFFFFFFF\t0\t0\t0
*\t000016AC\t00000000\t0200\t0\t0\t0\t0000FFFF\t0\t0\t0
";
const FIB_TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 10.224.0.0
        /16 link UNICAST
Local:
  +-- 0.0.0.0/0 2 0 2
     +-- 10.224.0.0/16 2 0 2
        |-- 10.224.0.4
           /32 host LOCAL
        |-- 10.224.255.255
           /32 link BROADCAST
     |-- 10.244.0.1
        /32 host LOCAL
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
";

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// A directory of sysfs below `devices` with a link in `class/net`, as the kernel has it.
    fn interface(&self, name: &str, files: &[(&str, &str)]) -> &Self {
        for (file, text) in files {
            self.write(&format!("sys/devices/{name}/net/{name}/{file}"), text);
        }
        fs::create_dir_all(self.0.path().join("sys/class/net")).unwrap();
        symlink(format!("../../devices/{name}/net/{name}"), self.0.path().join("sys/class/net").join(name)).unwrap();
        self
    }

    fn link(&self, path: &str, to: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    fn network(&self) -> HostNetwork {
        HostNetwork::read(self.0.path())
    }
}

fn aks() -> Tree {
    let tree = Tree::new();
    tree.write("proc/net/route", ROUTE).write("proc/net/fib_trie", FIB_TRIE);
    let common = |operstate| {
        [("type", "1\n"), ("flags", "0x1003\n"), ("operstate", operstate), ("ifindex", "2\n"), ("iflink", "2\n")]
    };
    tree.interface("eth0", &common("up\n"));
    tree.link("sys/devices/eth0/net/eth0/device", "../../../vmbus");
    tree.write("sys/devices/vmbus/modalias", "");
    tree.link("sys/devices/vmbus/driver", "../../bus/vmbus/drivers/hv_netvsc");
    tree.interface("enP1s1", &[("flags", "0x1803\n"), ("operstate", "up\n")]);
    tree.link("sys/devices/enP1s1/net/enP1s1/master", "../eth0");
    tree.interface("cbr0", &[("bridge/bridge_id", ""), ("operstate", "up\n")]);
    tree.write("sys/class/net/bonding_masters", "");
    tree
}

#[test]
fn a_node_is_read_from_sysfs_and_procfs() {
    let network = aks().network();
    let names: Vec<&str> = network.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    assert_eq!((names, network.missing.len()), (vec!["cbr0", "enP1s1", "eth0"], 0));
    assert_eq!(network.default_routes, Some(vec!["eth0".to_owned()]));
    let eth0 = Interface {
        name: "eth0".to_owned(),
        kind: Some(1),
        flags: Some(0x1003),
        operstate: Some("up".to_owned()),
        index: Some(2),
        link: Some(2),
        master: None,
        has_device: true,
        driver: Some("hv_netvsc".to_owned()),
        is_bridge: false,
        addresses: Some(vec![Ipv4Addr::new(10, 224, 0, 4)]),
    };
    assert_eq!(network.interface("eth0"), Some(&eth0));
    let function = network.interface("enP1s1").unwrap();
    assert_eq!((function.master.as_deref(), function.flags), (Some("eth0"), Some(0x1803)));
    assert_eq!((function.has_device, function.addresses.as_deref()), (false, Some(&[][..])));
    let bridge = network.interface("cbr0").unwrap();
    assert!(bridge.is_bridge && bridge.addresses == Some(vec![Ipv4Addr::new(10, 244, 0, 1)]), "{bridge:?}");
}

#[test]
fn every_file_that_is_absent_is_named() {
    let network = Tree::new().network();
    assert_eq!((network.interfaces.len(), network.default_routes), (0, None));
    for file in ["/sys/class/net", "/proc/net/route", "/proc/net/fib_trie"] {
        assert!(network.missing.iter().any(|why| why.starts_with(file)), "{file}: {:?}", network.missing);
    }
    let tree = aks();
    fs::remove_file(tree.0.path().join("proc/net/fib_trie")).unwrap();
    assert_eq!(tree.network().interface("eth0").unwrap().addresses, None, "unknown is not none");
}

#[test]
fn default_routes_are_sorted_by_metric_without_rejected_ones() {
    let row = |name: &str, flags: &str, metric: u32| {
        format!("{name}\t00000000\t0100000A\t{flags}\t0\t0\t{metric}\t00000000\t0\t0\t0\n")
    };
    let rows = [("eth2", "0003", 200), ("eth1", "0003", 300), ("eth0", "0003", 100), ("eth1", "0003", 50)];
    let unusable = [("*", "0200", 0), ("eth3", "0002", 1)];
    let text: Vec<String> =
        rows.iter().chain(&unusable).map(|(name, flags, metric)| row(name, flags, *metric)).collect();
    assert_eq!(default_routes(&parse_routes(&text.concat())), ["eth1", "eth0", "eth2"]);
    for malformed in ["", "Iface\n", "eth0 1 2\n", "eth0 0 0 0003 0 0 x 0\n", "eth0 zz 0 0003 0 0 0 0\n"] {
        assert!(parse_routes(malformed).is_empty(), "{malformed:?}");
    }
}

#[test]
fn an_address_of_32_bits_is_the_default_routes() {
    let tree = aks();
    let without_network: Vec<&str> = ROUTE.lines().filter(|line| !line.contains("0000FFFF")).collect();
    tree.write("proc/net/route", &without_network.join("\n"));
    assert_eq!(tree.network().interface("eth0").unwrap().addresses, Some(vec![Ipv4Addr::new(10, 224, 0, 4)]));
}

#[test]
fn an_address_in_the_networks_of_two_interfaces_is_listed_with_both() {
    let tree = aks();
    tree.interface("eth1", &[("operstate", "up\n")]);
    tree.write("proc/net/route", &format!("{ROUTE}eth1\t0000E00A\t00000000\t0001\t0\t0\t200\t0000FFFF\t0\t0\t0\n"));
    let own = |name: &str| tree.network().interface(name).unwrap().addresses.clone();
    assert_eq!((own("eth0"), own("eth1")), (own("eth1"), Some(vec![Ipv4Addr::new(10, 224, 0, 4)])));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_text_is_accepted(text in any::<String>()) {
        let _ = (parse_routes(&text), parse_local_addresses(&text));
        let row = format!("{text}\neth0\t00000000\t0100000A\t0003\t0\t0\t1\t00000000\t0\t0\t0\n");
        prop_assert!(default_routes(&parse_routes(&row)).contains(&"eth0".to_owned()));
    }

    #[test]
    fn routes_and_addresses_are_read_as_the_kernel_writes_them(
        address in any::<Ipv4Addr>().prop_filter("not of the loopback", |address| !address.is_loopback()),
        bits in 1_u32..=32,
        metric in any::<u32>(),
    ) {
        let mask = u32::MAX << (32 - bits);
        let network = address.to_bits() & mask;
        let printed = |number: u32| format!("{:08X}", number.swap_bytes());
        let row = format!("eth0\t{}\t00000000\t0001\t0\t0\t{metric}\t{}\t0\t0\t0\n", printed(network), printed(mask));
        let routes = parse_routes(&row);
        prop_assert_eq!(routes.len(), 1);
        prop_assert!(routes[0].contains(address) && routes[0].is_direct && routes[0].metric == metric);
        let outside = Ipv4Addr::from_bits(address.to_bits() ^ (1 << (32 - bits)));
        prop_assert!(!routes[0].contains(outside));
        let trie = format!("Local:\n  +-- 0.0.0.0/0 2 0 2\n     |-- {address}\n        /32 host LOCAL\n");
        prop_assert_eq!(parse_local_addresses(&trie), BTreeSet::from([address]));
    }
}
