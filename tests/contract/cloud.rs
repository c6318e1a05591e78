//! The contract of the port [`Cloud`]: its laws and its adapters.
//!
//! The use-cases trust each of these; an adapter that breaks one leaks or loses file systems.
//!
//! [`Cloud`]: azurelustre_csi::ports::cloud::Cloud

mod creations;
mod deletions;
mod inventory;
pub(crate) mod world;

use libtest_mimic::Trial;

use self::world::CloudWorld;
use crate::harness::{self, Adapter};

/// Every law with every adapter.
pub(crate) fn trials() -> Vec<Trial> {
    let adapters = [
        Adapter::new("simulator", CloudWorld::simulated),
        #[cfg(feature = "arm")]
        Adapter::new("arm", CloudWorld::arm),
        #[cfg(not(feature = "arm"))]
        Adapter::unavailable("arm", "built without the feature `arm`"),
    ];
    harness::trials("cloud", &adapters, &[creations::LAWS, deletions::LAWS, inventory::LAWS])
}

/// A law of this port.
type Law = harness::Law<CloudWorld>;
