//! `amlFilesystems` as JSON: the body of the PUT (`AmlFilesystems_CreateOrUpdate`), and the resource of GET and list.
//! <https://learn.microsoft.com/azure/templates/microsoft.storagecache/2024-03-01/amlfilesystems>
//!
//! The generated model is not used, because it fails on null and unknown members, knows no newer ones, and drops user-assigned
//! identities in both directions. Each value is read on its own, so that one that cannot be read hides no other.

use serde_json::{Map, Value, json};

use super::urls::{Urls, parse_subnet_id};
use crate::domain::capacity::Bytes;
use crate::domain::filesystem::{Filesystem, FilesystemSpec, ProvisioningState, ReportedMgsAddress};
use crate::domain::mount_source::FsName;
use crate::domain::names::{Location, Zone};

/// The body of the PUT; always the same for the same spec.
pub(super) fn body(spec: &FilesystemSpec, urls: &Urls) -> Value {
    let mut body = json!({
        "location": spec.location.as_str(),
        "tags": spec.tags,
        "sku": { "name": spec.sku_name },
        "properties": {
            "storageCapacityTiB": spec.capacity.0,
            "filesystemSubnet": urls.subnet_id(&spec.subnet),
            "maintenanceWindow": {
                "dayOfWeek": spec.maintenance.day_of_week,
                "timeOfDayUTC": spec.maintenance.time_of_day_utc,
            },
        },
    });
    if let Some(zone) = &spec.zone {
        body["zones"] = json!([zone.as_str()]);
    }
    if !spec.identities.is_empty() {
        let ids: Map<String, Value> = spec.identities.iter().map(|id| (id.as_str().to_owned(), json!({}))).collect();
        body["identity"] = json!({ "type": "UserAssigned", "userAssignedIdentities": ids });
    }
    body
}

/// A file system and its name; `None` if the resource is no file system at all.
pub(super) fn parse(resource: &Value) -> Option<(String, Filesystem)> {
    let name = resource.get("name")?.as_str()?.to_owned();
    let properties = resource.get("properties").filter(|properties| properties.is_object())?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let client = properties.get("clientInfo");
    let client_text = |key: &str| text(client.and_then(|client| client.get(key))).unwrap_or_default();
    let filesystem = Filesystem {
        location: text(resource.get("location")).and_then(|location| Location::parse(&location).ok()),
        sku_name: text(resource.pointer("/sku/name")),
        zones: zones(resource.get("zones")),
        capacity: capacity(properties),
        subnet: text(properties.get("filesystemSubnet")).and_then(|id| parse_subnet_id(&id)),
        state: ProvisioningState::parse(&text(properties.get("provisioningState")).unwrap_or_default()),
        mgs_address: mgs_address(client),
        fs_name: fs_name(&client_text("mountCommand")),
        tags: tags(resource.get("tags")),
        failure: None,
    };
    Some((name, filesystem))
}

/// The address in `clientInfo`. Only absence means that none was reported: what cannot be read is no address to mount, and no
/// proof that the file system is empty.
fn mgs_address(client: Option<&Value>) -> ReportedMgsAddress {
    let reported = match client {
        None | Some(Value::Null) => return ReportedMgsAddress::NeverReported,
        Some(Value::Object(members)) => members.get("mgsAddress").unwrap_or(&Value::Null),
        Some(other) => return ReportedMgsAddress::Unreadable(other.to_string()),
    };
    match reported {
        Value::Null => ReportedMgsAddress::NeverReported,
        Value::String(address) => ReportedMgsAddress::parse(address),
        other => ReportedMgsAddress::Unreadable(other.to_string()),
    }
}

fn zones(value: Option<&Value>) -> Vec<Zone> {
    let listed = value.and_then(Value::as_array).into_iter().flatten();
    listed.filter_map(|zone| Zone::parse(zone.as_str()?).ok()).collect()
}

fn tags(value: Option<&Value>) -> std::collections::BTreeMap<String, String> {
    let listed = value.and_then(Value::as_object).into_iter().flatten();
    // A value that is no text still shows that the tag exists.
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    listed.map(|(key, value)| (key.clone(), text(value))).collect()
}

/// The present capacity: from API version 2026-01-01 on `currentStorageCapacityTiB` counts expansions, if it is there and not 0.
fn capacity(properties: &Value) -> Option<Bytes> {
    let tib = |key: &str| properties.get(key).and_then(Value::as_f64).filter(|tib| *tib > 0.0 && *tib < 1e7);
    let tib = tib("currentStorageCapacityTiB").or_else(|| tib("storageCapacityTiB"))?;
    bytes(tib)
}

/// TiB as ARM's float into bytes. The range is checked by the caller, so nothing is cut off.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^64")]
fn bytes(tib: f64) -> Option<Bytes> {
    const BYTES_PER_TIB: f64 = 1_099_511_627_776.0;
    tib.is_finite().then(|| Bytes((tib * BYTES_PER_TIB).round() as u64))
}

/// The Lustre name, which ARM shows only inside `mount -t lustre -o noatime 10.5.0.4@tcp0:/lustrefs /<local path>`.
fn fs_name(mount_command: &str) -> Option<FsName> {
    let (_, rest) = mount_command.split_once(":/")?;
    FsName::parse(rest.split_whitespace().next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::arm::urls::tests::urls;
    use crate::domain::capacity::Tib;
    use crate::domain::names::{FilesystemId, FilesystemName, NetworkName, ResourceGroup, SubnetId};
    use crate::domain::parameters::{DynamicParameters, MaintenanceWindow, Parameters};

    fn parameters_with_identities() -> Box<DynamicParameters> {
        let ids = ["a", "b"].map(|name| {
            format!(
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
            )
        });
        let given = [
            ("sku-name", "S".to_owned()),
            ("maintenance-day-of-week", "Monday".to_owned()),
            ("maintenance-time-of-day-utc", "03:00".to_owned()),
            ("identities", ids.join(",")),
        ];
        match Parameters::parse(&given.map(|(key, value)| (key.to_owned(), value)).into()).unwrap() {
            Parameters::Dynamic(parameters) => parameters,
            Parameters::Existing(_) => panic!("static"),
        }
    }

    #[test]
    fn a_body_has_identities_and_a_zone_only_if_requested() {
        let plain = FilesystemSpec {
            id: FilesystemId {
                resource_group: ResourceGroup::parse("rg").unwrap(),
                name: FilesystemName::parse("fs1").unwrap(),
            },
            location: Location::parse("eastus").unwrap(),
            sku_name: "S".to_owned(),
            zone: None,
            capacity: Tib(8),
            subnet: SubnetId {
                resource_group: ResourceGroup::parse("net").unwrap(),
                vnet: NetworkName::parse("v").unwrap(),
                subnet: NetworkName::parse("n").unwrap(),
            },
            maintenance: MaintenanceWindow { day_of_week: "Monday", time_of_day_utc: "03:00".to_owned() },
            identities: Vec::new(),
            tags: [("a".to_owned(), "b".to_owned())].into(),
        };
        let sent = body(&plain, &urls("other-subscription"));
        assert!(sent.get("identity").is_none() && sent.get("zones").is_none(), "{sent}");
        let subnet = "/subscriptions/other-subscription/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/n";
        assert_eq!(sent["properties"]["filesystemSubnet"], subnet);
        let rich = FilesystemSpec {
            zone: Zone::parse("2").ok(),
            identities: parameters_with_identities().identities,
            ..plain
        };
        let sent = body(&rich, &urls("s"));
        assert_eq!(sent["zones"], json!(["2"]));
        assert_eq!(sent["identity"]["type"], "UserAssigned");
        assert_eq!(sent["identity"]["userAssignedIdentities"].as_object().map(Map::len), Some(2), "{sent}");
    }

    /// ARM's own model can read what is sent.
    #[test]
    fn the_generated_model_reads_the_body() {
        let sent = json!({
            "location": "eastus", "sku": { "name": "S" }, "tags": {}, "zones": ["1"],
            "properties": {
                "storageCapacityTiB": 8, "filesystemSubnet": "x",
                "maintenanceWindow": { "dayOfWeek": "Monday", "timeOfDayUTC": "03:00" },
            },
        });
        let read = serde_json::from_value::<azure_mgmt_storagecache::package_2024_03::models::AmlFilesystem>(sent);
        assert!(read.is_ok(), "{read:?}");
    }
}
