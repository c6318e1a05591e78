//! Network of the host for LNet: its interfaces, and the steps from what LNet has to what it should have.

mod steps;

#[cfg(feature = "simulator")]
use std::net::Ipv4Addr;

pub use self::steps::{LnetStep, apply, local_nis, steps};
use super::layout::HostRoot;
pub use crate::adapters::host_network::{HostNetwork, INTERFACES, Interface};

/// The first address of an interface, for simulated LNet: it holds NIs as asked, so where the address is not known one of
/// those that are for documentation (RFC 5737) stands for it. None if the interface is known to have none.
#[cfg(feature = "simulator")]
pub fn simulated_address(host: &HostRoot, name: &str) -> Option<Ipv4Addr> {
    const STAND_IN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    let known = collect(host).interface(name).and_then(|interface| interface.addresses.clone());
    known.map_or(Some(STAND_IN), |own| own.first().copied())
}

/// Interfaces, addresses and default routes of the host.
pub fn collect(host: &HostRoot) -> HostNetwork {
    HostNetwork::read(&host.dir)
}

#[cfg(all(test, feature = "simulator"))]
mod tests {
    use super::*;
    use crate::adapters::lnet::{Lnet, TCP, simulated};
    use crate::adapters::node_setup::interfaces::{InterfaceRule, choose};

    /// Routes alone, as a stub root may have.
    #[test]
    fn simulated_lnet_serves_a_host_whose_addresses_are_not_known() {
        let directory = tempfile::tempdir().unwrap();
        let host = HostRoot::directory(directory.path());
        std::fs::create_dir_all(host.at("/proc/net")).unwrap();
        let route = "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        std::fs::write(host.at("/proc/net/route"), route).unwrap();
        let chosen = choose(&collect(&host), &InterfaceRule::Auto).unwrap().chosen;
        let state = directory.path().join("lnet");
        let lnet = simulated::device(&state, move |name| simulated_address(&host, name));
        assert_eq!(apply(&lnet, &chosen, false), Ok(Vec::new()));
        assert_eq!(apply(&lnet, &chosen, true), Ok(Vec::new()), "a second run has nothing to do");
        assert!(matches!(lnet.add_local_ni(TCP, "eth0"), Err(crate::adapters::lnet::LnetError::Exists { .. })));
    }
}
