//! What the simulated cloud accepts: the checks that ARM makes before it takes a request.
//!
//! A request that the real cloud refuses must be refused here, with the same meaning, or the driver would be
//! tested against a friendlier world than its own.

use super::record::Record;
use super::world::{AML_FILESYSTEMS, SkuEntry, World};
use crate::domain::capacity::Tib;
use crate::domain::filesystem::FilesystemSpec;
use crate::domain::names::{FilesystemId, Location, ResourceGroup, SubnetId, Zone};
use crate::domain::problem::Problem;
use crate::domain::sku::Sku;
use crate::ports::cloud::{CloudError, CloudErrorKind};

/// Builds an error as ARM words it: `Code: message`.
pub(super) fn refusal(
    kind: CloudErrorKind,
    operation: &'static str,
    resource: &str,
    code: &str,
    message: &str,
) -> CloudError {
    CloudError::new(kind, operation, resource, format!("{code}: {message}"))
}

/// Addresses that a file system takes: a base, and one for each further step of throughput. Reproduces the two sizes that
/// the cloud is known to answer (16 TiB of SKU 250: 8; 480 TiB of SKU 40: 21) and grows with the size.
pub(super) fn required_addresses(sku: &Sku, size: Tib) -> u64 {
    const BASE: u64 = 5;
    const MB_PER_SECOND_AN_ADDRESS: u64 = 1200;
    BASE + sku.throughput(size).saturating_sub(400).div_ceil(MB_PER_SECOND_AN_ADDRESS).max(1)
}

impl World {
    /// Zones of a region, if it exists.
    pub(super) fn zones_of(&self, location: &Location) -> Option<Vec<Zone>> {
        let region = self.locations.iter().find(|(name, _)| Location::parse(name).as_ref() == Ok(location));
        region.map(|(_, region)| region.zones().unwrap_or_default())
    }

    /// The file system SKUs of a region, readable or not.
    pub(super) fn filesystem_skus(&self, location: &Location) -> Vec<Result<Sku, Problem>> {
        let Some(zones) = self.zones_of(location) else { return Vec::new() };
        let offered = |entry: &&SkuEntry| entry.resource_type == AML_FILESYSTEMS && entry.offered_in(location);
        self.skus.iter().filter(offered).map(|entry| entry.to_domain(zones.clone())).collect()
    }

    fn sku(&self, spec: &FilesystemSpec) -> Option<Sku> {
        self.filesystem_skus(&spec.location)
            .into_iter()
            .flatten()
            .find(|sku| sku.name.eq_ignore_ascii_case(&spec.sku_name))
    }

    pub(super) fn group_exists(&self, group: &ResourceGroup) -> bool {
        let same = |name: &String| ResourceGroup::parse(name).is_ok_and(|known| known.is(group));
        self.resource_groups.as_ref().is_none_or(|names| names.iter().any(same))
    }

    /// Free addresses of a subnet before any simulated file system; `None` if it does not exist.
    pub(super) fn free_in(&self, subnet: &SubnetId) -> Option<u64> {
        let listed = self.subnets.iter().find(|known| known.id().is_ok_and(|id| id.is(subnet)));
        match listed {
            Some(known) => Some(known.free()),
            None if self.any_subnet_exists => Some(u64::try_from(self.free_addresses).unwrap_or(0)),
            None => None,
        }
    }

    /// Checks a creation and returns its size and the addresses that it takes.
    pub(super) fn admit(&self, spec: &FilesystemSpec, there: &[&Record]) -> Result<(Tib, u64), CloudError> {
        let resource = spec.id.to_string();
        let refuse = |kind, code: &str, message: String| refusal(kind, CREATE, &resource, code, &message);
        if !self.group_exists(&spec.id.resource_group) {
            return Err(no_group(CREATE, &spec.id));
        }
        let invalid = |code: &str, message: String| refuse(CloudErrorKind::Invalid, code, message);
        let Some(sku) = self.sku(spec) else {
            return Err(invalid(
                "InvalidParameter",
                format!("SKU {} is not offered in {}", spec.sku_name, spec.location),
            ));
        };
        sku.check_zone(spec.zone.as_ref()).map_err(|problem| invalid("InvalidParameter", problem.to_string()))?;
        let size = self.size(&sku, spec.capacity).map_err(|message| invalid("InvalidParameter", message))?;
        if self.free_in(&spec.subnet).is_none() {
            let message = format!("subnet {} was not found", spec.subnet);
            return Err(refuse(CloudErrorKind::NotFound, "NotFound", message));
        }
        let used = there.iter().filter(|record| record.view.location.as_ref() == Some(&spec.location)).count();
        if used >= self.quota {
            let message = format!(
                "Operation results in exceeding quota limits of resource type AmlFilesystem. Maximum allowed: {}, Current in use: {used}, Additional requested: 1.",
                self.quota
            );
            return Err(refuse(CloudErrorKind::QuotaExceeded, "OperationNotAllowed", message));
        }
        Ok((size, required_addresses(&sku, size)))
    }

    fn size(&self, sku: &Sku, asked: Tib) -> Result<Tib, String> {
        let rounded = asked.0.max(1).div_ceil(sku.increment.0).saturating_mul(sku.increment.0);
        if rounded != asked.0 && !self.round_sizes_up {
            return Err(format!("storageCapacityTiB {} is not a multiple of {}", asked.0, sku.increment.0));
        }
        if rounded > sku.maximum.0 {
            return Err(format!("storageCapacityTiB {} is above {}", asked.0, sku.maximum.0));
        }
        Ok(Tib(rounded))
    }
}

/// The operation that messages name.
pub(super) const CREATE: &str = "create file system";

/// ARM's answer for a resource group that does not exist.
pub(super) fn no_group(operation: &'static str, id: &FilesystemId) -> CloudError {
    let message = format!("Resource group '{}' could not be found.", id.resource_group);
    refusal(CloudErrorKind::NotFound, operation, &id.to_string(), "ResourceGroupNotFound", &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_reproduce_what_is_known_and_grow() {
        let world = World::default();
        let skus = world.filesystem_skus(&Location::parse("eastus").unwrap());
        let sku = |name: &str| skus.iter().flatten().find(|sku| sku.name.ends_with(name)).unwrap().clone();
        assert_eq!(required_addresses(&sku("-250"), Tib(16)), 8);
        assert_eq!(required_addresses(&sku("-40"), Tib(480)), 21);
        let sizes: Vec<u64> = (1..32).map(|step| required_addresses(&sku("-500"), Tib(4 * step))).collect();
        assert!(sizes.is_sorted() && sizes[0] > 0, "{sizes:?}");
    }
}
