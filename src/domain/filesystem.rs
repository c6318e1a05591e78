//! An AMLFS file system: as it is asked for, and as it is found.
//!
//! Everything that is known about a file system is read from the cloud each time, since nothing is stored
//! elsewhere. What the cloud left out, nulled or spelled in a new way arrives as `None` or `Unknown`, never as an error.
//!
//! Source: `Microsoft.StorageCache/amlFilesystems` of API version 2024-03-01 (`amlfilesystem.json` in azure-rest-api-specs).

use std::collections::BTreeMap;

use super::capacity::{Bytes, Tib};
use super::mount_source::{FsName, MgsAddress};
use super::names::{FilesystemId, Location, SubnetId, Zone};
use super::parameters::{IdentityId, MaintenanceWindow};

/// A file system to be created; the same plan always gives the same value, so a repeated PUT has the same body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesystemSpec {
    /// Where it will be.
    pub id: FilesystemId,
    /// Region.
    pub location: Location,
    /// SKU as the SKU list spells it.
    pub sku_name: String,
    /// Availability zone, where the region has them.
    pub zone: Option<Zone>,
    /// Size: a multiple of the SKU's increment.
    pub capacity: Tib,
    /// Subnet of its servers.
    pub subnet: SubnetId,
    /// Weekly maintenance window.
    pub maintenance: MaintenanceWindow,
    /// User-assigned identities.
    pub identities: Vec<IdentityId>,
    /// All tags, the driver's and the user's.
    pub tags: BTreeMap<String, String>,
}

/// ARM's `properties.provisioningState` (`AmlFilesystemProvisioningStateType`, an extensible enum).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProvisioningState {
    /// Usable, once it also has an address.
    Succeeded,
    /// Creation or a later change failed; nothing changes by itself any more.
    Failed,
    /// Being made; takes 10 to 20 minutes.
    Creating,
    /// Being removed; still visible meanwhile.
    Deleting,
    /// Being changed.
    Updating,
    /// Creation or a later change was cancelled; like `Failed`, it ends there.
    Canceled,
    /// Anything that this version does not know.
    Unknown(String),
}

impl ProvisioningState {
    /// Reads ARM's word, without case. Never fails.
    pub fn parse(word: &str) -> Self {
        use ProvisioningState::{Canceled, Creating, Deleting, Failed, Succeeded, Unknown, Updating};
        let mut known = [Succeeded, Failed, Creating, Deleting, Updating, Canceled].into_iter();
        let word = if word.eq_ignore_ascii_case("cancelled") { Canceled.as_str() } else { word };
        known.find(|state| state.as_str().eq_ignore_ascii_case(word)).unwrap_or_else(|| Unknown(word.to_owned()))
    }

    /// The word for messages.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Creating => "Creating",
            Self::Deleting => "Deleting",
            Self::Updating => "Updating",
            Self::Canceled => "Canceled",
            Self::Unknown(word) => word,
        }
    }
}

/// A file system as the cloud shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    /// Region.
    pub location: Option<Location>,
    /// SKU.
    pub sku_name: Option<String>,
    /// Zones; null, absent and empty all mean none.
    pub zones: Vec<Zone>,
    /// Size now.
    pub capacity: Option<Bytes>,
    /// Subnet.
    pub subnet: Option<SubnetId>,
    /// Provisioning state.
    pub state: ProvisioningState,
    /// Address of the MGS; whether one was ever reported says whether the file system was ever ready.
    pub mgs_address: ReportedMgsAddress,
    /// Lustre file system name, where the cloud reports it.
    pub fs_name: Option<FsName>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Why the last operation failed, where the adapter could learn it.
    pub failure: Option<String>,
}

impl Filesystem {
    /// A file system in this state of which nothing else is reported.
    pub fn new(state: ProvisioningState) -> Self {
        Self {
            location: None,
            sku_name: None,
            zones: Vec::new(),
            capacity: None,
            subnet: None,
            state,
            mgs_address: ReportedMgsAddress::NeverReported,
            fs_name: None,
            tags: BTreeMap::new(),
            failure: None,
        }
    }

    /// What a creation of `spec` is shown as while it is in this state and was never ready.
    pub fn of(spec: &FilesystemSpec, state: ProvisioningState) -> Self {
        Self {
            location: Some(spec.location.clone()),
            sku_name: Some(spec.sku_name.clone()),
            zones: spec.zone.iter().cloned().collect(),
            capacity: Some(spec.capacity.bytes()),
            subnet: Some(spec.subnet.clone()),
            tags: spec.tags.clone(),
            ..Self::new(state)
        }
    }

    /// Whether it was usable at any time, so that data may be on it. An address that cannot be read counts.
    pub fn was_ready(&self) -> bool {
        self.mgs_address != ReportedMgsAddress::NeverReported
    }
}

/// ARM's `properties.clientInfo.mgsAddress`. ARM writes an address when the file system is ready for the first
/// time, and keeps it; before that the member is absent, null or an empty string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ReportedMgsAddress {
    /// No address was ever reported: the file system was never ready.
    #[default]
    NeverReported,
    /// A valid [`MgsAddress`], as reported.
    Address(String),
    /// Not a valid address. Nothing can be mounted from it, but data may be there.
    Unreadable(String),
}

impl ReportedMgsAddress {
    /// Reads the text of ARM's member; blank means never reported. Never fails.
    pub fn parse(text: &str) -> Self {
        match (text.trim(), MgsAddress::parse(text)) {
            ("", _) => Self::NeverReported,
            (text, Ok(_)) => Self::Address(text.to_owned()),
            (text, Err(_)) => Self::Unreadable(text.to_owned()),
        }
    }

    /// The text as reported; empty where none ever was.
    pub fn as_str(&self) -> &str {
        match self {
            Self::NeverReported => "",
            Self::Address(text) | Self::Unreadable(text) => text,
        }
    }
}

/// Whether the reason of a failed operation is a quota: its code is `QuotaExceeded` or ends with it, or it is
/// `OperationNotAllowed` with "quota limits" in its text
/// (<https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-resource-quota>).
pub fn is_quota(reason: &str) -> bool {
    let mut words = reason.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| word.ends_with("QuotaExceeded"))
        || (reason.contains("OperationNotAllowed") && reason.contains("quota limits"))
}

/// What an observation found. Only a certain "not there" is [`Observed::Absent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// It does not exist, by the cloud's own error code.
    Absent,
    /// It exists.
    Present(Box<Filesystem>),
}

/// A file system that can be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyFilesystem {
    /// Address of the MGS, valid, as reported; volume id and context hold this text.
    pub mgs_address: String,
    /// Lustre file system name.
    pub fs_name: FsName,
    /// Size.
    pub capacity: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_known_by_its_code() {
        for quota in [
            "QuotaExceeded: too many",
            "AmlfsQuotaExceeded",
            "DeploymentFailed: see details; SkuQuotaExceeded: 4 of 4",
            "OperationNotAllowed: exceeding quota limits of AmlFilesystem",
        ] {
            assert!(is_quota(quota), "{quota}");
        }
        for other in ["", "OperationNotAllowed: busy", "InternalError: quota limits", "QuotaExceededSoon: x"] {
            assert!(!is_quota(other), "{other}");
        }
    }

    #[test]
    fn an_address_is_never_reported_valid_or_unreadable() {
        for blank in ["", " ", "\t\n"] {
            assert_eq!(ReportedMgsAddress::parse(blank), ReportedMgsAddress::NeverReported);
        }
        let known = ReportedMgsAddress::parse(" 10.0.0.4 ");
        assert!(matches!(&known, ReportedMgsAddress::Address(text) if text == "10.0.0.4"), "{known:?}");
        let odd = ReportedMgsAddress::parse("not an address");
        assert_eq!(odd, ReportedMgsAddress::Unreadable("not an address".to_owned()));
        assert_eq!(
            [known.as_str(), odd.as_str(), ReportedMgsAddress::default().as_str()],
            ["10.0.0.4", "not an address", ""]
        );
    }
}
