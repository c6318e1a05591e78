//! `Urls`: URLs of ARM resources, and resource ids of subnets. Every name is checked to be one path segment.
//!
//! The paths are written here because the generated crates keep theirs private (`url()` of their request builders). A name
//! such as `a/../../x` in a path would address another resource; the domain's types cannot hold such names, and here every
//! segment is checked once more.

use url::Url;

use super::error::ArmError;
use crate::domain::names::{FilesystemId, NetworkName, ResourceGroup, SubnetId};
use crate::domain::text::quote;

/// API version of all requests.
pub(super) const API_VERSION: &str = "2024-03-01";

const STORAGE_CACHE: &str = "Microsoft.StorageCache";

/// A file system's resource group and name in lower case, since ARM compares both without case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FilesystemKey {
    pub(super) resource_group: String,
    pub(super) name: String,
}

impl From<&FilesystemId> for FilesystemKey {
    fn from(id: &FilesystemId) -> Self {
        Self { resource_group: id.resource_group.as_str().to_lowercase(), name: id.name.as_str().to_ascii_lowercase() }
    }
}

/// The subscriptions of the driver's resources.
#[derive(Debug, Clone)]
pub struct Subscriptions {
    filesystems: String,
    networks: String,
}

impl Subscriptions {
    /// The subscription of the file systems, and that of the virtual networks if it is another one.
    pub fn new(filesystems: String, networks: Option<String>) -> Self {
        Self { networks: networks.unwrap_or_else(|| filesystems.clone()), filesystems }
    }

    /// The subscription of the file systems.
    pub(super) fn filesystems(&self) -> &str {
        &self.filesystems
    }
}

/// The URLs of the resources in one cloud.
#[derive(Debug, Clone)]
pub(super) struct Urls {
    pub(super) arm: Url,
    pub(super) subscriptions: Subscriptions,
}

impl Urls {
    pub(super) fn filesystems(&self, group: &ResourceGroup) -> Result<Url, ArmError> {
        let group = ["resourceGroups", group.as_str()];
        self.url(
            &self.subscriptions.filesystems,
            &[&group[..], &["providers", STORAGE_CACHE, "amlFilesystems"]].concat(),
        )
    }

    pub(super) fn filesystem(&self, id: &FilesystemId) -> Result<Url, ArmError> {
        let (group, name) = (id.resource_group.as_str(), id.name.as_str());
        let path = ["resourceGroups", group, "providers", STORAGE_CACHE, "amlFilesystems", name];
        self.url(&self.subscriptions.filesystems, &path)
    }

    /// An operation of AMLFS's resource provider in the subscription, such as `skus`.
    pub(super) fn storage_cache(&self, operation: &str) -> Result<Url, ArmError> {
        self.url(&self.subscriptions.filesystems, &["providers", STORAGE_CACHE, operation])
    }

    /// The usage of the subnets of a subnet's virtual network.
    pub(super) fn subnet_usage(&self, subnet: &SubnetId) -> Result<Url, ArmError> {
        let (group, network) = (subnet.resource_group.as_str(), subnet.vnet.as_str());
        let path = ["resourceGroups", group, "providers", "Microsoft.Network", "virtualNetworks", network, "usages"];
        self.url(&self.subscriptions.networks, &path)
    }

    /// The resource id of a subnet.
    pub(super) fn subnet_id(&self, subnet: &SubnetId) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/virtualNetworks/{}/subnets/{}",
            self.subscriptions.networks, subnet.resource_group, subnet.vnet, subnet.subnet
        )
    }

    fn url(&self, subscription: &str, path: &[&str]) -> Result<Url, ArmError> {
        let mut url = self.arm.clone();
        url.set_query(None);
        {
            let mut segments =
                url.path_segments_mut().map_err(|()| ArmError::InvalidSegment(quote(self.arm.as_str())))?;
            segments.clear();
            for part in ["subscriptions", subscription].iter().chain(path) {
                segments.push(segment(part)?);
            }
        }
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        Ok(url)
    }
}

/// A text that is exactly one path segment, or an error before anything is sent.
fn segment(text: &str) -> Result<&str, ArmError> {
    let reserved = |c: char| c.is_control() || c.is_whitespace() || "/\\%?#:@&=+;,\"'<>|".contains(c);
    let bad = text.is_empty() || text.chars().all(|c| c == '.') || text.contains(reserved);
    if bad { Err(ArmError::InvalidSegment(quote(text))) } else { Ok(text) }
}

/// Parses the resource id of a subnet; its fixed segments compare without case. `None` for anything else.
pub(super) fn parse_subnet_id(id: &str) -> Option<SubnetId> {
    let parts: Vec<&str> = id.split('/').collect();
    let ["", subscriptions, _, groups, group, providers, provider, networks, vnet, subnets, subnet] = parts[..] else {
        return None;
    };
    let fixed = [subscriptions, groups, providers, provider, networks, subnets].join("/");
    let expected = "subscriptions/resourceGroups/providers/Microsoft.Network/virtualNetworks/subnets";
    fixed.eq_ignore_ascii_case(expected).then_some(())?;
    Some(SubnetId {
        resource_group: ResourceGroup::parse(group).ok()?,
        vnet: NetworkName::parse(vnet).ok()?,
        subnet: NetworkName::parse(subnet).ok()?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// URLs in one subscription for all.
    pub(in super::super) fn urls(subscription: &str) -> Urls {
        let arm = Url::parse("https://management.azure.com/").unwrap();
        Urls { arm, subscriptions: Subscriptions::new(subscription.to_owned(), None) }
    }

    #[test]
    fn a_segment_is_one_segment() {
        for bad in ["", ".", "..", "a/b", "a%2fb", "a\\b", "a?b", "a#b", "a b", "a\n"] {
            assert!(segment(bad).is_err(), "{bad:?}");
        }
        assert_eq!(segment("Grün_(1).x-y").ok(), Some("Grün_(1).x-y"));
    }

    #[test]
    fn urls_keep_every_segment() {
        let group = ResourceGroup::parse("grün").unwrap();
        let expected = "https://management.azure.com/subscriptions/s/resourceGroups/gr%C3%BCn/providers\
                        /Microsoft.StorageCache/amlFilesystems?api-version=2024-03-01";
        assert_eq!(urls("s").filesystems(&group).unwrap().as_str(), expected);
        assert!(urls("..").filesystems(&group).is_err());
    }

    #[test]
    fn subnet_ids_are_parsed_without_case() {
        let subnet = SubnetId {
            resource_group: ResourceGroup::parse("RG").unwrap(),
            vnet: NetworkName::parse("v").unwrap(),
            subnet: NetworkName::parse("default").unwrap(),
        };
        let id = urls("sub").subnet_id(&subnet);
        assert!(parse_subnet_id(&id.to_uppercase()).unwrap().is(&subnet), "{id}");
        for odd in ["", "/", "x/y", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"] {
            assert_eq!(parse_subnet_id(odd), None, "{odd}");
        }
    }
}
