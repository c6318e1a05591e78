//! ValidateVolumeCapabilities: whether an existing volume has the parameters that the caller gives.
//!
//! A parameter is confirmed only where the volume itself shows it: its context, its id, or its file system. What cannot be
//! seen is not confirmed.

use std::collections::BTreeMap;

use super::filesystem::Filesystem;
use super::names::{Location, Zone};
use super::parameters::{FS_NAME, MGS_IP_ADDRESS, RESOURCE_GROUP_NAME, SUB_DIR, canonical};
use super::volume_id::VolumeId;

/// A parameter and its value, as volume id or file system show it.
type ShownParameter = (&'static str, String);

/// `Ok` if the volume has all `parameters`; else which it does not have, for CSI's `message`.
pub fn check(
    parameters: &BTreeMap<String, String>,
    context: &BTreeMap<String, String>,
    volume_id: &str,
    found: Option<&Filesystem>,
) -> Result<(), String> {
    let shown = shown(volume_id, found);
    let wrong: Vec<String> =
        parameters.iter().filter_map(|(key, asked)| difference(key, asked, context, &shown)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

fn difference(key: &str, asked: &str, context: &BTreeMap<String, String>, shown: &[ShownParameter]) -> Option<String> {
    let known = canonical(key);
    let same_key = |other: &str| other.eq_ignore_ascii_case(key) || (known.is_some() && canonical(other) == known);
    let in_context = context.iter().filter(|(other, _)| same_key(other)).map(|(_, value)| value.as_str());
    let shown = shown.iter().filter(|(name, _)| known == Some(*name)).map(|(_, value)| value.as_str());
    let has: Vec<&str> = shown.chain(in_context).collect();
    if has.iter().any(|value| is_same(known, value, asked)) {
        return None;
    }
    Some(match has.first() {
        Some(has) => format!("{key} is `{has}`, not `{asked}`"),
        None => format!("{key} cannot be confirmed: the volume shows none"),
    })
}

fn shown(volume_id: &str, found: Option<&Filesystem>) -> Vec<ShownParameter> {
    let mut shown = Vec::new();
    let mut show = |name: &'static str, value: &str| {
        if !value.is_empty() {
            shown.push((name, value.to_owned()));
        }
    };
    if let Some(id) = VolumeId::parse(volume_id) {
        show(MGS_IP_ADDRESS, &id.mgs_address);
        show(FS_NAME, &id.fs_name);
        show(SUB_DIR, &id.sub_dir);
        show(RESOURCE_GROUP_NAME, &id.resource_group);
    }
    if let Some(found) = found {
        show("sku-name", found.sku_name.as_deref().unwrap_or_default());
        show("location", found.location.as_ref().map_or("", Location::as_str));
        show("zone", &found.zones.iter().map(Zone::as_str).collect::<Vec<_>>().join(","));
        show("subnet-name", found.subnet.as_ref().map_or("", |subnet| subnet.subnet.as_str()));
        show("vnet-name", found.subnet.as_ref().map_or("", |subnet| subnet.vnet.as_str()));
        show("vnet-resource-group", found.subnet.as_ref().map_or("", |subnet| subnet.resource_group.as_str()));
    }
    shown
}

/// Azure's names compare without case, regions also without blanks.
fn is_same(known: Option<&str>, one: &str, other: &str) -> bool {
    let (one, other) = (one.trim(), other.trim());
    match known {
        Some("location") => Location::parse(one).is_ok_and(|location| Location::parse(other).as_ref() == Ok(&location)),
        Some(SUB_DIR) => one.trim_matches('/') == other.trim_matches('/'),
        Some("sku-name" | RESOURCE_GROUP_NAME | "vnet-resource-group" | "vnet-name" | "subnet-name") => {
            one.to_lowercase() == other.to_lowercase()
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::filesystem::ProvisioningState;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    const ID: &str = "pvc-1#lustrefs#10.0.0.4#a/b#t#rg1";

    fn found() -> Filesystem {
        Filesystem {
            location: Location::parse("eastus").ok(),
            sku_name: Some("AMLFS-Durable-Premium-500".to_owned()),
            zones: vec![Zone::parse("1").unwrap()],
            ..Filesystem::new(ProvisioningState::Succeeded)
        }
    }

    #[test]
    fn what_the_volume_shows_is_confirmed() {
        let context = map(&[("maintenance-day-of-week", "Monday"), ("Sku-Name", "amlfs-durable-premium-500")]);
        let asked = map(&[
            ("SKU-name", "AMLFS-Durable-Premium-500"),
            ("location", "East US"),
            ("zones", "1"),
            ("resource-group", "RG1"),
            ("sub-dir", "/a/b/"),
            ("mgs-ip-address", "10.0.0.4"),
            ("maintenance-day-of-week", "Monday"),
        ]);
        assert_eq!(check(&asked, &context, ID, Some(&found())), Ok(()));
        assert_eq!(check(&map(&[]), &map(&[]), "any handle", None), Ok(()));
    }

    #[test]
    fn what_the_volume_does_not_have_is_named() {
        for (key, value, part) in [
            ("sku-name", "AMLFS-Durable-Premium-40", "sku-name is `AMLFS-Durable-Premium-500`, not"),
            ("zone", "2", "zone is `1`, not `2`"),
            ("location", "westus", "location is `eastus`"),
            ("sub-dir", "other", "sub-dir is `a/b`"),
            ("tags", "a=b", "tags cannot be confirmed"),
            ("foo", "bar", "foo cannot be confirmed"),
        ] {
            let message = check(&map(&[(key, value)]), &map(&[]), ID, Some(&found())).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
