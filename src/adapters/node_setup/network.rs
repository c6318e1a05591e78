//! Network of the host for LNet: its interfaces, and the steps from what LNet has to what it should have.

mod steps;

pub use self::steps::{LnetStep, apply, local_nis, steps};
use super::layout::HostRoot;
use crate::adapters::host_network;
pub use crate::adapters::host_network::{INTERFACES, Interface, NetworkFacts};

/// Interfaces, addresses and default routes of the host.
pub fn collect(host: &HostRoot) -> NetworkFacts {
    host_network::collect(&host.dir)
}
