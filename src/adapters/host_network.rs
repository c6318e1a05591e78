//! Network interfaces, their IPv4 addresses and the default routes of the host, from sysfs and procfs.
//!
//! Only files are read, so that the root of a host that is mounted into a container, or a directory of a test, is read in
//! the same way. They do not show which of two interfaces in one network has which address.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// The interfaces of the network namespace.
pub const INTERFACES: &str = "/sys/class/net";
const ROUTES: &str = "/proc/net/route";
const LOCAL_ADDRESSES: &str = "/proc/net/fib_trie";

/// One network interface of the host, as `/sys/class/net/<name>` shows it (`Documentation/ABI/testing/sysfs-class-net`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `type`: a number of `linux/if_arp.h`, 1 for Ethernet.
    pub kind: Option<u32>,
    /// `flags`: bits of `linux/if.h`.
    pub flags: Option<u32>,
    /// `operstate`: `up`, `down`, `unknown` …
    pub operstate: Option<String>,
    /// `ifindex`.
    pub index: Option<u32>,
    /// `iflink`: the index of the interface that it is made of; its own for a physical one.
    pub link: Option<u32>,
    /// `master`: the interface that it is part of.
    pub master: Option<String>,
    /// Whether it has a `device`, as physical and paravirtual interfaces have.
    pub has_device: bool,
    /// Name of the device's driver, such as `hv_netvsc`.
    pub driver: Option<String>,
    /// Whether it is a bridge.
    pub is_bridge: bool,
    /// Local IPv4 addresses in a network that the interface is connected to; one in the networks of two interfaces is listed
    /// with both. None if they are not known.
    pub addresses: Option<Vec<Ipv4Addr>>,
}

impl Interface {
    /// An interface of which only the name is known.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// Network interfaces and default routes of the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostNetwork {
    /// The interfaces, sorted by name.
    pub interfaces: Vec<Interface>,
    /// Interfaces of the IPv4 default routes, the lowest metric first; none if the routes are not known.
    pub default_routes: Option<Vec<String>>,
    /// Files that are not there or cannot be read, with the reason.
    pub missing: Vec<String>,
}

impl HostNetwork {
    /// Reads `sys/class/net`, `proc/net/route` (routes of the main table) and `proc/net/fib_trie` (local addresses) below
    /// `root`: the root of the host, or a directory of a test. What is absent is unknown and named in
    /// [`HostNetwork::missing`].
    pub fn read(root: &Path) -> Self {
        let at = |path: &str| root.join(path.trim_start_matches('/'));
        let mut network = Self::default();
        let mut read = |path: &str| {
            let text = fs::read(at(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            text.map_err(|error| network.missing.push(format!("{path} of the host cannot be read: {error}"))).ok()
        };
        let routes = read(ROUTES).map(|text| parse_routes(&text));
        let local = read(LOCAL_ADDRESSES).map(|text| parse_local_addresses(&text));
        network.default_routes = routes.as_deref().map(default_routes);
        match fs::read_dir(at(INTERFACES)) {
            Ok(entries) => {
                let directories = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
                network.interfaces = directories.map(|directory| interface(&directory)).collect();
            }
            Err(error) => network.missing.push(format!("{INTERFACES} of the host cannot be read: {error}")),
        }
        network.interfaces.sort_by(|left, right| left.name.cmp(&right.name));
        if let Some((routes, local)) = routes.as_deref().zip(local) {
            network.assign_addresses(routes, &local);
        }
        network
    }

    /// The interface of this name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    /// Gives each interface the local addresses in its networks. Addresses in no network (a mask of 32 bits) are those of
    /// the default route's interface, if that has no other.
    fn assign_addresses(&mut self, routes: &[Route], local: &BTreeSet<Ipv4Addr>) {
        let networks = || routes.iter().filter(|route| route.is_direct && route.mask != 0);
        let default = self.default_routes.iter().flatten().next();
        for interface in &mut self.interfaces {
            let in_network_of = |address: &Ipv4Addr, name: Option<&String>| {
                networks().any(|route| name.is_none_or(|name| route.interface == *name) && route.contains(*address))
            };
            let addresses = local.iter().copied();
            let mut own: Vec<_> = addresses.clone().filter(|it| in_network_of(it, Some(&interface.name))).collect();
            if own.is_empty() && default == Some(&interface.name) {
                own = addresses.filter(|it| !in_network_of(it, None)).collect();
            }
            interface.addresses = Some(own);
        }
    }
}

/// The attributes of one directory of sysfs.
fn interface(directory: &Path) -> Interface {
    let line = |file: &str| {
        let text = fs::read_to_string(directory.join(file)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let number = |file: &str| line(file)?.parse().ok();
    let target_of = |file: &str| base_name(&fs::read_link(directory.join(file)).ok()?);
    let hex = |text: String| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    Interface {
        name: base_name(directory).unwrap_or_default(),
        kind: number("type"),
        flags: line("flags").and_then(hex),
        operstate: line("operstate"),
        index: number("ifindex"),
        link: number("iflink"),
        master: target_of("master"),
        has_device: fs::symlink_metadata(directory.join("device")).is_ok(),
        driver: target_of("device/driver"),
        is_bridge: directory.join("bridge").is_dir(),
        addresses: None,
    }
}

fn base_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

/// One row of `/proc/net/route` (`proc_pid_net(5)`, `net/ipv4/fib_trie.c`).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    interface: String,
    network: Ipv4Addr,
    mask: u32,
    is_direct: bool,
    metric: u32,
}

impl Route {
    fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.network.to_bits()
    }
}

/// The routes that are up and not rejected; rows that cannot be parsed are ignored.
fn parse_routes(text: &str) -> Vec<Route> {
    /// `RTF_UP` and `RTF_REJECT` of `linux/route.h`.
    const UP: u32 = 1;
    const REJECT: u32 = 0x200;
    // Addresses are printed as numbers of the machine, which is little-endian, from bytes in network order.
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    let route = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [interface, network, gateway, flags, _, _, metric, mask, ..] = columns.as_slice() else { return None };
        hex(flags).filter(|flags| flags & UP != 0 && flags & REJECT == 0)?;
        Some(Route {
            interface: (*interface).to_owned(),
            network: Ipv4Addr::from_bits(hex(network)?.swap_bytes()),
            mask: hex(mask)?.swap_bytes(),
            is_direct: hex(gateway)? == 0,
            metric: metric.parse().ok()?,
        })
    };
    text.lines().filter_map(route).collect()
}

fn default_routes(routes: &[Route]) -> Vec<String> {
    let mut defaults: Vec<&Route> = routes.iter().filter(|route| route.mask == 0).collect();
    defaults.sort_by_key(|route| route.metric);
    let mut names: Vec<String> = Vec::new();
    for route in defaults {
        if !names.contains(&route.interface) {
            names.push(route.interface.clone());
        }
    }
    names
}

/// The local addresses of `/proc/net/fib_trie` without those of the loopback.
fn parse_local_addresses(text: &str) -> BTreeSet<Ipv4Addr> {
    let (mut local, mut leaf) = (BTreeSet::new(), None);
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 ") && line.ends_with(" LOCAL") {
            local.extend(leaf.filter(|address| !address.is_loopback()));
        }
    }
    local
}

#[cfg(test)]
mod tests;
