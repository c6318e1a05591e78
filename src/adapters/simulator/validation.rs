//! What ARM checks before it accepts a PUT of a file system, and the errors that it answers with.
//!
//! A request that the real cloud refuses is refused here with the same meaning, or the driver would be tested against a
//! cloud that accepts more. Codes and messages: `Microsoft.StorageCache/amlFilesystems` as observed.

use std::fmt::Display;

use super::world::World;
use crate::domain::capacity::Tib;
use crate::domain::filesystem::FilesystemSpec;
use crate::domain::sku::Sku;
use crate::ports::cloud::{CloudError, CloudErrorKind};

/// The operation that errors of a PUT name.
pub(super) const CREATE: &str = "create file system";

/// An error as ARM words it: `Code: message`.
pub(super) fn error(
    kind: CloudErrorKind,
    operation: &'static str,
    resource: &dyn Display,
    code: &str,
    message: impl Display,
) -> CloudError {
    CloudError::new(kind, operation, resource.to_string(), format!("{code}: {message}"))
}

/// Addresses that a file system takes: a base, and one for each further step of throughput. Reproduces the two sizes that
/// `getRequiredAmlFSSubnetsSize` is known to answer (16 TiB of SKU 250: 8; 480 TiB of SKU 40: 21) and grows with the size.
pub(super) fn required_addresses(sku: &Sku, size: Tib) -> u64 {
    const BASE: u64 = 5;
    const MB_PER_SECOND_AN_ADDRESS: u64 = 1200;
    BASE + sku.throughput(size).saturating_sub(400).div_ceil(MB_PER_SECOND_AN_ADDRESS).max(1)
}

impl World {
    /// Checks a creation in a region that holds `used` file systems; returns its size and the addresses that it takes.
    pub(super) fn validate(&self, spec: &FilesystemSpec, used: usize) -> Result<(Tib, u64), CloudError> {
        let refused = |kind, code: &str, message: String| error(kind, CREATE, &spec.id, code, message);
        let invalid = |message: String| refused(CloudErrorKind::Invalid, "InvalidParameter", message);
        if !self.has_group(&spec.id.resource_group) {
            let message = format!("Resource group '{}' could not be found.", spec.id.resource_group);
            return Err(refused(CloudErrorKind::NotFound, "ResourceGroupNotFound", message));
        }
        let offered = self.filesystem_skus(&spec.location).into_iter().flatten();
        let sku = offered.into_iter().find(|sku| sku.name.eq_ignore_ascii_case(&spec.sku_name));
        let sku = sku.ok_or_else(|| invalid(format!("SKU {} is not offered in {}", spec.sku_name, spec.location)))?;
        sku.check_zone(spec.zone.as_ref()).map_err(|problem| invalid(problem.to_string()))?;
        let size = self.size(&sku, spec.capacity).map_err(invalid)?;
        if self.free_addresses(&spec.subnet).is_none() {
            let message = format!("subnet {} was not found", spec.subnet);
            return Err(refused(CloudErrorKind::NotFound, "NotFound", message));
        }
        if used >= self.quota {
            let message = format!(
                "Operation results in exceeding quota limits of resource type AmlFilesystem. Maximum allowed: {}, Current in use: {used}, Additional requested: 1.",
                self.quota
            );
            return Err(refused(CloudErrorKind::QuotaExceeded, "OperationNotAllowed", message));
        }
        Ok((size, required_addresses(&sku, size)))
    }

    fn size(&self, sku: &Sku, requested: Tib) -> Result<Tib, String> {
        let rounded = requested.0.max(1).div_ceil(sku.increment.0).saturating_mul(sku.increment.0);
        if rounded != requested.0 && !self.round_sizes_up {
            return Err(format!("storageCapacityTiB {} is not a multiple of {}", requested.0, sku.increment.0));
        }
        if rounded > sku.maximum.0 {
            return Err(format!("storageCapacityTiB {} is above {}", requested.0, sku.maximum.0));
        }
        Ok(Tib(rounded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::Location;

    #[test]
    fn required_addresses_are_the_two_known_sizes_and_grow() {
        let world = World::default();
        let skus = world.filesystem_skus(&Location::parse("eastus").unwrap());
        let sku = |name: &str| skus.iter().flatten().find(|sku| sku.name.ends_with(name)).unwrap().clone();
        assert_eq!(required_addresses(&sku("-250"), Tib(16)), 8);
        assert_eq!(required_addresses(&sku("-40"), Tib(480)), 21);
        let sizes: Vec<u64> = (1..32).map(|step| required_addresses(&sku("-500"), Tib(4 * step))).collect();
        assert!(sizes.is_sorted() && sizes[0] > 0, "{sizes:?}");
    }
}
