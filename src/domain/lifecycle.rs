//! Life cycle of a creation: the next step of CreateVolume, a pure function of what is observed and what is desired.
//!
//! The cloud resource is the only journal. Whatever happened before (a crash, a time-out, another
//! controller), the next call observes the resource and this function says what to do; it is total, so no state can
//! surprise the loop that acts on it.

use std::fmt;

use super::capacity::CapacityRange;
use super::filesystem::{Filesystem, Observed, ProvisioningState, ReadyFilesystem, ReportedMgsAddress};
use super::names::{FilesystemId, Location, SubnetId, Zone};
use super::ownership::{self, NotOwned};

/// What cannot change once a file system exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Where it is; its tags must say that it was made for the volume of this name.
    pub id: FilesystemId,
    /// Region.
    pub location: Location,
    /// SKU.
    pub sku_name: String,
    /// Zone, if one was asked for.
    pub zone: Option<Zone>,
    /// Subnet.
    pub subnet: SubnetId,
    /// Sizes that the claim accepts.
    pub range: CapacityRange,
}

impl Desired {
    /// Whether both are the same; ARM's names compare without case.
    pub fn is_same(&self, other: &Self) -> bool {
        let place = self.id.is(&other.id) && self.location == other.location && self.subnet.is(&other.subnet);
        let sku = self.sku_name.eq_ignore_ascii_case(&other.sku_name);
        place && sku && self.zone == other.zone && self.range == other.range
    }
}

/// The next step of a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing there: check that it can be made, then create it.
    Create,
    /// Observe again later; the state says why.
    Wait(ProvisioningState),
    /// Done.
    Ready(Box<ReadyFilesystem>),
    /// A creation that failed or was cancelled and was never usable: delete it, then create anew.
    DeleteFailed {
        /// Why it failed, where known.
        reason: Option<String>,
    },
    /// Was usable once and failed, or was cancelled, since: a person has to decide; nothing is deleted.
    FailedAfterReady {
        /// Why it failed, where known.
        reason: Option<String>,
    },
    /// Not owned by this driver, or made for another volume.
    NotOwned(NotOwned),
    /// Ours, but not what is asked for now.
    Conflict(Vec<Difference>),
}

/// One property in which the existing file system differs from the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which property.
    pub property: &'static str,
    /// What the file system has.
    pub existing: String,
    /// What is asked for.
    pub wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, not {}", self.property, self.existing, self.wanted)
    }
}

/// Decides the next step. Ownership comes first, then differences, then the state.
pub fn next(observed: &Observed, desired: &Desired) -> Step {
    let found = match observed {
        Observed::Absent => return Step::Create,
        Observed::Present(found) => found,
    };
    if let Err(reason) = ownership::check(&desired.id.name, &found.tags) {
        return Step::NotOwned(reason);
    }
    let differences = differences(found, desired);
    if !differences.is_empty() {
        return Step::Conflict(differences);
    }
    match &found.state {
        ProvisioningState::Succeeded => {
            ready(found).map_or_else(|| Step::Wait(found.state.clone()), |ready| Step::Ready(Box::new(ready)))
        }
        // ARM's terminal states: nothing changes by itself any more.
        ProvisioningState::Failed | ProvisioningState::Canceled if found.was_ready() => {
            Step::FailedAfterReady { reason: found.failure.clone() }
        }
        ProvisioningState::Failed | ProvisioningState::Canceled => Step::DeleteFailed { reason: found.failure.clone() },
        waiting @ (ProvisioningState::Creating
        | ProvisioningState::Deleting
        | ProvisioningState::Updating
        | ProvisioningState::Unknown(_)) => Step::Wait(waiting.clone()),
    }
}

/// The file system as something to mount: Succeeded alone is not enough, it also needs a usable address and a size.
pub fn ready(found: &Filesystem) -> Option<ReadyFilesystem> {
    let ReportedMgsAddress::Address(mgs_address) = &found.mgs_address else { return None };
    Some(ReadyFilesystem {
        mgs_address: mgs_address.clone(),
        fs_name: found.fs_name.clone().unwrap_or_default(),
        capacity: found.capacity?,
    })
}

/// What differs and cannot be changed. A property that the cloud did not report is no difference.
fn differences(found: &Filesystem, desired: &Desired) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |property, same: bool, existing: String, wanted: String| {
        if !same {
            differences.push(Difference { property, existing, wanted });
        }
    };
    if let Some(sku) = &found.sku_name {
        compare("SKU", sku.eq_ignore_ascii_case(&desired.sku_name), sku.clone(), desired.sku_name.clone());
    }
    let zone = |zones: &[Zone]| match zones {
        [] => "none".to_owned(),
        zones => zones.iter().map(Zone::as_str).collect::<Vec<_>>().join(","),
    };
    let wanted = desired.zone.as_slice();
    compare("zone", found.zones == wanted, zone(&found.zones), zone(wanted));
    if let Some(subnet) = &found.subnet {
        compare("subnet", subnet.is(&desired.subnet), subnet.to_string(), desired.subnet.to_string());
    }
    if let Some(location) = &found.location {
        compare("location", *location == desired.location, location.to_string(), desired.location.to_string());
    }
    if let Some(size) = found.capacity {
        compare("size", desired.range.admits(size), size.to_string(), desired.range.to_string());
    }
    differences
}

#[cfg(test)]
mod tests;
