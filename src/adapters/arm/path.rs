//! ARM paths: built from checked segments only, and read back.
//!
//! A name such as `a/../../x` in a path would address another resource. The domain's types cannot hold such names; here
//! every segment is checked once more.

use url::Url;

use super::failure::ArmFailure;
use crate::domain::names::{FilesystemId, NetworkName, ResourceGroup, SubnetId};
use crate::domain::text::quote;

/// A segment that is exactly one segment, or an error before anything is sent.
pub(super) fn segment(text: &str) -> Result<&str, ArmFailure> {
    let strange = |c: char| c.is_control() || c.is_whitespace() || "/\\%?#:@&=+;,\"'<>|".contains(c);
    let bad = text.is_empty() || text.chars().all(|c| c == '.') || text.contains(strange);
    if bad { Err(ArmFailure::BadName(quote(text))) } else { Ok(text) }
}

/// The path of the file systems of a resource group; the operations `List` of the specification.
pub(super) fn filesystems<'a>(subscription: &'a str, group: &'a ResourceGroup) -> [&'a str; 7] {
    let (provider, kind) = ("Microsoft.StorageCache", "amlFilesystems");
    ["subscriptions", subscription, "resourceGroups", group.as_str(), "providers", provider, kind]
}

/// The path of the addresses in use of a virtual network (`VirtualNetworks_ListUsage`).
pub(super) fn usages<'a>(subscription: &'a str, subnet: &'a SubnetId) -> [&'a str; 9] {
    let (group, network) = (subnet.resource_group.as_str(), subnet.vnet.as_str());
    let (provider, kind) = ("Microsoft.Network", "virtualNetworks");
    ["subscriptions", subscription, "resourceGroups", group, "providers", provider, kind, network, "usages"]
}

/// The path of an operation of AMLFS's resource provider in a subscription, such as `skus`.
pub(super) fn in_subscription<'a>(subscription: &'a str, operation: &'a str) -> [&'a str; 5] {
    ["subscriptions", subscription, "providers", "Microsoft.StorageCache", operation]
}

/// The path of a file system.
pub(super) fn filesystem<'a>(subscription: &'a str, id: &'a FilesystemId) -> impl Iterator<Item = &'a str> {
    filesystems(subscription, &id.resource_group).into_iter().chain([id.name.as_str()])
}

/// A URL at `endpoint` with these path segments and API version.
pub(super) fn url<'a>(
    endpoint: &Url,
    segments: impl IntoIterator<Item = &'a str>,
    api_version: &str,
) -> Result<Url, ArmFailure> {
    let mut url = endpoint.clone();
    url.set_query(None);
    {
        let mut path = url.path_segments_mut().map_err(|()| ArmFailure::BadName(quote(endpoint.as_str())))?;
        path.clear();
        for part in segments {
            path.push(segment(part)?);
        }
    }
    url.query_pairs_mut().append_pair("api-version", api_version);
    Ok(url)
}

/// The ARM id of a subnet.
pub(super) fn subnet_id(subscription: &str, subnet: &SubnetId) -> String {
    format!(
        "/subscriptions/{subscription}/resourceGroups/{}/providers/Microsoft.Network/virtualNetworks/{}/subnets/{}",
        subnet.resource_group.as_str(),
        subnet.vnet.as_str(),
        subnet.subnet.as_str()
    )
}

/// Reads the ARM id of a subnet; its words compare without case. `None` for anything else.
pub(super) fn parse_subnet(id: &str) -> Option<SubnetId> {
    const WORDS: [(usize, &str); 6] = [
        (1, "subscriptions"),
        (3, "resourceGroups"),
        (5, "providers"),
        (6, "Microsoft.Network"),
        (7, "virtualNetworks"),
        (9, "subnets"),
    ];
    let parts: Vec<&str> = id.split('/').collect();
    let has = |at: &usize, word: &str| parts.get(*at).is_some_and(|part| part.eq_ignore_ascii_case(word));
    let whole = parts.len() == 11 && parts.first() == Some(&"") && WORDS.iter().all(|(at, word)| has(at, word));
    let part = |at: usize| parts.get(at).copied().filter(|_| whole);
    Some(SubnetId {
        resource_group: ResourceGroup::parse(part(4)?).ok()?,
        vnet: NetworkName::parse(part(8)?).ok()?,
        subnet: NetworkName::parse(part(10)?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_one_segment() {
        for bad in ["", ".", "..", "a/b", "a%2fb", "a\\b", "a?b", "a#b", "a b", "a\n"] {
            assert!(segment(bad).is_err(), "{bad:?}");
        }
        assert_eq!(segment("Grün_(1).x-y").ok(), Some("Grün_(1).x-y"));
    }

    #[test]
    fn urls_keep_every_segment() {
        let endpoint = Url::parse("https://management.azure.com/").unwrap();
        let built = url(&endpoint, ["subscriptions", "s", "resourceGroups", "grün"], "2024-03-01").unwrap();
        let expected = "https://management.azure.com/subscriptions/s/resourceGroups/gr%C3%BCn?api-version=2024-03-01";
        assert_eq!(built.as_str(), expected);
        assert!(url(&endpoint, ["subscriptions", ".."], "2024-03-01").is_err());
    }

    #[test]
    fn subnet_ids_are_read_without_case() {
        let subnet = SubnetId {
            resource_group: ResourceGroup::parse("RG").unwrap(),
            vnet: NetworkName::parse("v").unwrap(),
            subnet: NetworkName::parse("default").unwrap(),
        };
        let id = subnet_id("sub", &subnet);
        assert!(parse_subnet(&id.to_uppercase()).unwrap().is(&subnet), "{id}");
        for odd in ["", "/", "x/y", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"] {
            assert_eq!(parse_subnet(odd), None, "{odd}");
        }
    }
}
