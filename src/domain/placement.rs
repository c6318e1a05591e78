//! Placement of new file systems: region, resource group, virtual network and subnet.

use super::names::{Location, NetworkName, ResourceGroup};

/// Where a `StorageClass`, or the cluster's cloud settings, place new file systems; `None` where they are silent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// Region.
    pub location: Option<Location>,
    /// Resource group of new file systems.
    pub resource_group: Option<ResourceGroup>,
    /// Resource group of the virtual network.
    pub vnet_resource_group: Option<ResourceGroup>,
    /// Virtual network.
    pub vnet: Option<NetworkName>,
    /// Subnet.
    pub subnet: Option<NetworkName>,
}

impl Placement {
    /// The same, with `defaults` where it is silent.
    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        Self {
            location: self.location.or(defaults.location),
            resource_group: self.resource_group.or(defaults.resource_group),
            vnet_resource_group: self.vnet_resource_group.or(defaults.vnet_resource_group),
            vnet: self.vnet.or(defaults.vnet),
            subnet: self.subnet.or(defaults.subnet),
        }
    }
}
