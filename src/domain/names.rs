//! Names of Azure resources (file system, resource group, region, zone, network), parsed into checked types.
//!
//! These names end up as path segments of ARM requests. A name such as `a/../../x` would address another
//! resource, so nothing but these types may carry a name inwards, and each has one fallible constructor.
//!
//! Sources: `amlfilesystem.json` of Microsoft.StorageCache 2024-03-01 (`amlFilesystemName`), and the naming rules of resource
//! groups and networks at <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>.

use std::fmt;

use super::text::{quote, text_types};

/// Why a text cannot be the name that it is meant to be. `Display` is the rule in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} is not {expected}")]
pub struct InvalidName {
    value: String,
    expected: &'static str,
}

fn checked(text: &str, expected: &'static str, valid: impl FnOnce(&str) -> bool) -> Result<String, InvalidName> {
    if valid(text) { Ok(text.to_owned()) } else { Err(InvalidName { value: quote(text), expected }) }
}

/// Longest name of an AMLFS file system, in characters (ARM: `amlFilesystemName`).
pub const FILESYSTEM_NAME_MAX: usize = 80;
const HASH_LENGTH: usize = 16;

/// Name of an `amlFilesystems` resource: 2 to 80 of `A-Z a-z 0-9 _ -`, alphanumeric at both ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilesystemName(String);

impl FilesystemName {
    /// Takes a name that AMLFS can take as it is.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let expected = "an AMLFS name (2 to 80 of A-Z a-z 0-9 _ -, alphanumeric at both ends)";
        checked(text, expected, is_filesystem_name).map(Self)
    }

    /// The file system name of a CSI volume: the volume's own name where AMLFS can take it, else a cleaned prefix, `-`
    /// and a hash of the whole name. The same volume name always gives the same result, so a retry after a crash finds
    /// what an earlier call made.
    pub fn for_volume(volume_name: &str) -> Self {
        if is_filesystem_name(volume_name) {
            return Self(volume_name.to_owned());
        }
        let kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let prefix: String = volume_name.chars().filter(kept).take(FILESYSTEM_NAME_MAX - HASH_LENGTH - 1).collect();
        let prefix = prefix.trim_start_matches(['-', '_']);
        let prefix = if prefix.is_empty() { "volume" } else { prefix };
        let digest = hmac_sha256::Hash::hash(volume_name.as_bytes());
        let hash = digest.first_chunk().copied().map_or(0, u64::from_be_bytes);
        Self(format!("{prefix}-{hash:016x}"))
    }
}

fn is_filesystem_name(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    (2..=FILESYSTEM_NAME_MAX).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && ends(bytes.first())
        && ends(bytes.last())
}

/// Name of a resource group: 1 to 90 letters, digits, `_ - . ( )`, not ending in a full stop. ARM compares it without
/// case, and so does [`ResourceGroup::is`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceGroup(String);

impl ResourceGroup {
    /// Takes a name that ARM can take.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let valid = |text: &str| {
            (1..=90).contains(&text.chars().count())
                && text.chars().all(|c| c.is_alphanumeric() || "_-.()".contains(c))
                && !text.ends_with('.')
        };
        checked(text, "a resource group name (1 to 90 letters, digits, _ - . ( ), no full stop at the end)", valid)
            .map(Self)
    }

    /// Whether both name the same group.
    pub fn is(&self, other: &Self) -> bool {
        self.0.to_lowercase() == other.0.to_lowercase()
    }
}

/// An Azure region in its normal form: lower case, no blanks (`Canada Central` is `canadacentral`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location(String);

impl Location {
    /// Takes either the display name or the normal form.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let normal: String = text.chars().filter(|c| *c != ' ').collect::<String>().to_lowercase();
        let valid = |_: &str| (1..=60).contains(&normal.len()) && normal.bytes().all(|b| b.is_ascii_alphanumeric());
        checked(text, "an Azure region such as eastus", valid).map(|_| Self(normal.clone()))
    }
}

/// An availability zone of a region, such as `1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(String);

impl Zone {
    /// Takes a short alphanumeric zone name.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let valid = |text: &str| (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        checked(text, "a zone such as 1", valid).map(Self)
    }
}

/// Name of a virtual network or of a subnet: 1 to 80 letters, digits, `_ - .`, alphanumeric first, no `-` or `.` last.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NetworkName(String);

impl NetworkName {
    /// Takes a name that Azure's network provider can take.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let valid = |text: &str| {
            (1..=80).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
                && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
                && !text.ends_with(['.', '-'])
        };
        checked(text, "a network name (1 to 80 letters, digits, _ - ., alphanumeric first)", valid).map(Self)
    }
}

/// A subnet as a request names it; the subscription is a setting of the cloud adapter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubnetId {
    /// Resource group of the virtual network.
    pub resource_group: ResourceGroup,
    /// The virtual network.
    pub vnet: NetworkName,
    /// The subnet in it.
    pub subnet: NetworkName,
}

impl SubnetId {
    /// Whether both name the same subnet; ARM ids compare without case.
    pub fn is(&self, other: &Self) -> bool {
        let same = |left: &NetworkName, right: &NetworkName| left.0.eq_ignore_ascii_case(&right.0);
        self.resource_group.is(&other.resource_group)
            && same(&self.vnet, &other.vnet)
            && same(&self.subnet, &other.subnet)
    }
}

impl fmt::Display for SubnetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.resource_group.0, self.vnet.0, self.subnet.0)
    }
}

/// The address of a file system in ARM, without the subscription.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FilesystemId {
    /// Resource group that holds it.
    pub resource_group: ResourceGroup,
    /// Its name.
    pub name: FilesystemName,
}

impl FilesystemId {
    /// Whether both address the same file system; ARM ids compare without case.
    pub fn is(&self, other: &Self) -> bool {
        self.name.0.eq_ignore_ascii_case(&other.name.0) && self.resource_group.is(&other.resource_group)
    }
}

impl fmt::Display for FilesystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in resource group {}", self.name.0, self.resource_group.0)
    }
}

text_types!(FilesystemName, ResourceGroup, Location, Zone, NetworkName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filesystem_names_follow_the_arm_pattern() {
        for good in ["pvc-0b5e1a70-9c7e-4c3e-8b0a-5b8f3a9d2c11", "a1", "a_b", &"x".repeat(80)] {
            assert_eq!(FilesystemName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a", "-a", "a-", "a.b", "a/../b", "..", "a\nb", "ä1", &"x".repeat(81)] {
            assert!(FilesystemName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_that_amlfs_cannot_take_are_mapped_always_the_same() {
        let long = "x".repeat(128);
        for odd in ["a", "", "a#b", "../../etc", "-", "über", long.as_str()] {
            let mapped = FilesystemName::for_volume(odd);
            assert_eq!(mapped, FilesystemName::for_volume(odd));
            assert_eq!(FilesystemName::parse(mapped.as_str()), Ok(mapped.clone()), "{odd:?} gave {mapped}");
        }
        assert_ne!(FilesystemName::for_volume("a#b"), FilesystemName::for_volume("a##b"));
        assert_eq!(FilesystemName::for_volume("pvc-1").as_str(), "pvc-1");
    }

    #[test]
    fn the_mapping_is_a_promise_to_file_systems_that_exist() {
        assert_eq!(FilesystemName::for_volume("a#b").as_str(), "ab-8187fc8f7f007036");
    }

    #[test]
    fn groups_and_subnets_compare_without_case() {
        let group = |name| ResourceGroup::parse(name).unwrap();
        assert!(group("MC_rg_Aks").is(&group("mc_RG_aks")));
        for bad in ["", ".", "..", "a/b", "a#b", "rg."] {
            assert!(ResourceGroup::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "..", ".a", "a/b", "a.", "a b"] {
            assert!(NetworkName::parse(bad).is_err(), "{bad:?}");
        }
        let subnet = |name| NetworkName::parse(name).unwrap();
        let id = |rg, v, s| SubnetId { resource_group: group(rg), vnet: subnet(v), subnet: subnet(s) };
        assert!(id("RG", "Vnet", "Default").is(&id("rg", "vnet", "default")));
        assert!(!id("rg", "vnet", "default").is(&id("rg", "vnet", "other")));
    }

    #[test]
    fn locations_are_normalised() {
        assert_eq!(Location::parse("Canada Central").unwrap().as_str(), "canadacentral");
        assert!(Location::parse("east/us").is_err());
        assert!(Location::parse(" ").is_err());
        assert!(Zone::parse("").is_err());
    }
}
