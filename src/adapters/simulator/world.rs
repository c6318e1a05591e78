//! [`World`]: regions, SKUs, subnets, quota, durations and planned failures of a simulated cloud, from code or from YAML.
//!
//! Tests and users change this data, not the code: a region without zones, a full subnet, a quota of one, creations that
//! fail. The default is a cluster in eastus whose subscription has quota and addresses to spare.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::names::{Location, NetworkName, ResourceGroup, SubnetId, Zone};
use crate::domain::placement::Placement;
use crate::domain::problem::Problem;
use crate::domain::sku::{CAPABILITY_BANDWIDTH, CAPABILITY_INCREMENT, CAPABILITY_MAXIMUM, Sku};

/// Why a world cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("simulator world: {0}")]
pub struct WorldError(String);

/// A world. Every field of a file is optional; what is left out is as in [`World::default`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct World {
    /// Regions by name.
    pub locations: BTreeMap<String, Region>,
    /// The SKU list as the cloud shows it, other products included.
    pub skus: Vec<SkuEntry>,
    /// Entries on one page of the SKU list; 0 counts as 1.
    pub sku_page_size: usize,
    /// Resource groups that exist; absent means that any name does.
    pub resource_groups: Option<Vec<String>>,
    /// Subnets with numbers of their own.
    pub subnets: Vec<Subnet>,
    /// Whether subnets that are not listed exist too.
    pub any_subnet_exists: bool,
    /// Free addresses of subnets that are not listed.
    pub free_addresses: i64,
    /// Most file systems in one region.
    pub quota: usize,
    /// What the cluster's cloud settings say.
    pub defaults: ClusterDefaults,
    /// Time that a creation takes, in simulated seconds.
    pub create_seconds: u64,
    /// Time that a deletion takes, in simulated seconds.
    pub delete_seconds: u64,
    /// Creations that will fail; the first that fits a creation is used up by it.
    pub failing_creations: Vec<FailingCreation>,
    /// Whether a size between two steps is rounded up instead of refused; the cloud's documents allow both.
    pub round_sizes_up: bool,
    /// Whether an MGS address that was never used answers as an existing file system (for static volumes).
    pub any_mgs_address_answers: bool,
}

/// A region.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Region {
    /// Its zones. Absent, null and empty mean that it has none: the cloud writes all three.
    pub zones: Option<Vec<String>>,
}

/// An entry of the SKU list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SkuEntry {
    /// Product; file systems are `amlFilesystems`.
    #[serde(default = "aml_filesystems")]
    pub resource_type: String,
    /// SKU name.
    pub name: String,
    /// Regions that offer it; absent means all.
    #[serde(default)]
    pub locations: Option<Vec<String>>,
    /// Capabilities, name and value as text, as the cloud writes them.
    pub capabilities: BTreeMap<String, String>,
}

/// Resource type of file systems in the SKU list.
pub const AML_FILESYSTEMS: &str = "amlFilesystems";

fn aml_filesystems() -> String {
    AML_FILESYSTEMS.to_owned()
}

/// A subnet with numbers of its own. Names compare without case, as in the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subnet {
    /// Resource group of its network.
    pub resource_group: String,
    /// Its network.
    pub vnet: String,
    /// Its name.
    pub subnet: String,
    /// Addresses that it has in all; -1 where the cloud does not count (a gateway's subnet).
    pub limit: i64,
    /// Addresses that others use.
    #[serde(default)]
    pub used: i64,
}

/// Defaults of a cluster, as in its `azure.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterDefaults {
    /// Region.
    pub location: Option<String>,
    /// Resource group.
    pub resource_group: Option<String>,
    /// Resource group of the network; the one above where absent.
    pub vnet_resource_group: Option<String>,
    /// Network.
    pub vnet: Option<String>,
    /// Subnet.
    pub subnet: Option<String>,
}

/// A creation that will fail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FailingCreation {
    /// How many creations it fails.
    #[serde(default = "one")]
    pub times: u32,
    /// After how many simulated seconds.
    #[serde(default)]
    pub after_seconds: u64,
    /// The operation's error code, such as `CreateTimeout`.
    pub code: String,
    /// The operation's error message.
    #[serde(default)]
    pub message: String,
}

fn one() -> u32 {
    1
}

impl World {
    /// Reads a world from YAML.
    pub fn from_yaml(text: &str) -> Result<Self, WorldError> {
        let world: Self = serde_saphyr::from_str(text).map_err(|error| WorldError(error.to_string()))?;
        world.check().map_err(|problem| WorldError(problem.to_string()))?;
        Ok(world)
    }

    fn check(&self) -> Result<(), Problem> {
        let problem = |field: &str, error: &dyn std::fmt::Display| Problem::of(field, error.to_string());
        for (name, region) in &self.locations {
            Location::parse(name).map_err(|error| problem("locations", &error))?;
            region.zones()?;
        }
        for subnet in &self.subnets {
            subnet.id().map_err(|error| problem("subnets", &error))?;
        }
        self.defaults.parse().map(drop).map_err(|error| problem("defaults", &error))
    }
}

/// What requests find in a world.
impl World {
    /// The file system SKUs that a region offers, readable or not; none where there is no such region.
    pub(super) fn filesystem_skus(&self, location: &Location) -> Vec<Result<Sku, Problem>> {
        let region = self.locations.iter().find(|(name, _)| Location::parse(name).as_ref() == Ok(location));
        let Some((_, region)) = region else { return Vec::new() };
        let zones = region.zones().unwrap_or_default();
        let offered = |entry: &&SkuEntry| entry.resource_type == AML_FILESYSTEMS && entry.offered_in(location);
        self.skus.iter().filter(offered).map(|entry| entry.to_domain(zones.clone())).collect()
    }

    pub(super) fn has_group(&self, group: &ResourceGroup) -> bool {
        let same = |name: &String| ResourceGroup::parse(name).is_ok_and(|known| known.is(group));
        self.resource_groups.as_ref().is_none_or(|names| names.iter().any(same))
    }

    /// Free addresses of a subnet before any simulated file system; `None` if it does not exist.
    pub(super) fn free_addresses(&self, subnet: &SubnetId) -> Option<u64> {
        let listed = self.subnets.iter().find(|known| known.id().is_ok_and(|id| id.is(subnet)));
        let unlisted = || self.any_subnet_exists.then(|| u64::try_from(self.free_addresses).unwrap_or(0));
        listed.map(Subnet::free).or_else(unlisted)
    }
}

impl Region {
    /// Its zones, as names.
    pub fn zones(&self) -> Result<Vec<Zone>, Problem> {
        let zones = self.zones.iter().flatten().map(|zone| Zone::parse(zone));
        zones.collect::<Result<_, _>>().map_err(|error| Problem::of("zones", error.to_string()))
    }
}

impl SkuEntry {
    /// Whether a region offers it.
    pub fn offered_in(&self, location: &Location) -> bool {
        let same = |name: &String| Location::parse(name).as_ref() == Ok(location);
        self.locations.as_ref().is_none_or(|names| names.iter().any(same))
    }

    /// The SKU as the domain knows it.
    pub fn to_domain(&self, zones: Vec<Zone>) -> Result<Sku, Problem> {
        let capabilities = self.capabilities.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Sku::from_capabilities(&self.name, zones, capabilities)
    }
}

impl Subnet {
    /// Its id.
    pub fn id(&self) -> Result<SubnetId, crate::domain::names::InvalidName> {
        Ok(SubnetId {
            resource_group: ResourceGroup::parse(&self.resource_group)?,
            vnet: NetworkName::parse(&self.vnet)?,
            subnet: NetworkName::parse(&self.subnet)?,
        })
    }

    /// Addresses that are free; none where the cloud does not count.
    pub fn free(&self) -> u64 {
        u64::try_from(self.limit.saturating_sub(self.used)).unwrap_or(0)
    }
}

impl ClusterDefaults {
    fn parse(&self) -> Result<Placement, crate::domain::names::InvalidName> {
        Ok(Placement {
            location: self.location.as_deref().map(Location::parse).transpose()?,
            resource_group: self.resource_group.as_deref().map(ResourceGroup::parse).transpose()?,
            vnet_resource_group: self.vnet_resource_group.as_deref().map(ResourceGroup::parse).transpose()?,
            vnet: self.vnet.as_deref().map(NetworkName::parse).transpose()?,
            subnet: self.subnet.as_deref().map(NetworkName::parse).transpose()?,
        })
    }

    /// The defaults as the use-cases take them; invalid names count as absent.
    pub fn to_domain(&self) -> Placement {
        self.parse().unwrap_or_default()
    }
}

impl Default for World {
    fn default() -> Self {
        let region = |zones: &[&str]| Region { zones: Some(zones.iter().map(|zone| (*zone).to_owned()).collect()) };
        let locations = [
            ("eastus", region(&["1", "2", "3"])),
            ("westus2", region(&["1", "2"])),
            ("westus", region(&[])),
            ("northcentralus", Region { zones: None }),
        ];
        Self {
            locations: locations.map(|(name, region)| (name.to_owned(), region)).into(),
            skus: default_skus(),
            sku_page_size: 3,
            resource_groups: None,
            subnets: Vec::new(),
            any_subnet_exists: true,
            free_addresses: 256,
            quota: 100,
            defaults: ClusterDefaults {
                location: Some("eastus".into()),
                resource_group: Some("MC_hpc_aks_eastus".into()),
                vnet_resource_group: None,
                vnet: Some("aks-vnet".into()),
                subnet: Some("aks-subnet".into()),
            },
            create_seconds: 12 * 60,
            delete_seconds: 5 * 60,
            failing_creations: Vec::new(),
            round_sizes_up: false,
            any_mgs_address_answers: true,
        }
    }
}

/// The four SKUs of AMLFS with their bandwidth, increment and maximum
/// (<https://learn.microsoft.com/azure/azure-managed-lustre/create-file-system-portal>), and one of HPC Cache, since
/// `Microsoft.StorageCache/skus` lists both.
fn default_skus() -> Vec<SkuEntry> {
    let entry = |(name, bandwidth, increment, maximum): (&str, &str, &str, &str)| SkuEntry {
        resource_type: aml_filesystems(),
        name: name.to_owned(),
        locations: None,
        capabilities: [
            (CAPABILITY_BANDWIDTH, bandwidth),
            (CAPABILITY_INCREMENT, increment),
            (CAPABILITY_MAXIMUM, maximum),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
    };
    let cache = SkuEntry {
        resource_type: "caches".to_owned(),
        name: "Standard_2G".to_owned(),
        locations: Some(vec!["eastus".to_owned()]),
        capabilities: [("throughput GB/s".to_owned(), "2".to_owned())].into(),
    };
    let filesystems = [
        ("AMLFS-Durable-Premium-40", "40", "48", "768"),
        ("AMLFS-Durable-Premium-125", "125", "16", "128"),
        ("AMLFS-Durable-Premium-250", "250", "8", "128"),
        ("AMLFS-Durable-Premium-500", "500", "4", "128"),
    ];
    std::iter::once(cache).chain(filesystems.map(entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_is_a_world() {
        let text = include_str!("../../../deploy/examples/simulator-world.yaml");
        let world = World::from_yaml(text).unwrap();
        assert_eq!(world.quota, 4);
        assert_eq!(world.subnets[0].free(), 11);
        assert_eq!(world.failing_creations[0].code, "CreateTimeout");
        assert_eq!(world.skus, World::default().skus);
    }

    #[test]
    fn an_empty_file_is_the_default_world() {
        assert_eq!(World::from_yaml("{}").unwrap(), World::default());
    }

    #[test]
    fn mistakes_name_the_key() {
        for (text, part) in [
            ("quoat: 1", "quoat"),
            ("quota: many", "quota"),
            ("locations: {'a/b': {}}", "locations"),
            ("locations: {eastus: {zones: ['']}}", "zones"),
            ("defaults: {vnet: '..'}", "defaults"),
            ("subnets: [{resource-group: a, vnet: b, subnet: '/', limit: 1}]", "subnets"),
        ] {
            let error = World::from_yaml(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text} gave {error}");
        }
    }

    #[test]
    fn absent_null_and_empty_zones_are_none() {
        for text in ["locations: {x: {}}", "locations: {x: {zones: }}", "locations: {x: {zones: []}}"] {
            assert_eq!(World::from_yaml(text).unwrap().locations["x"].zones(), Ok(vec![]), "{text}");
        }
    }
}
