//! File systems and SKUs in ARM's wire form, as it was recorded.

use std::collections::BTreeMap;

use azurelustre_csi::adapters::simulator::world::{Region, SkuEntry};
use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::filesystem::{Filesystem, FilesystemSpec, ProvisioningState};
use azurelustre_csi::domain::names::{FilesystemId, Location, NetworkName, ResourceGroup, SubnetId, Zone};
use azurelustre_csi::domain::parameters::MaintenanceWindow;
use serde_json::{Value, json};

use super::SUBSCRIPTION;

/// What a GET shows: strings of `clientInfo` are empty until the file system is ready, and the group is in capitals.
pub(crate) fn shown(id: &FilesystemId, found: &Filesystem) -> Value {
    let (group, name) = (id.resource_group.as_str().to_uppercase(), id.name.as_str());
    let ready = found.was_ready();
    let fs_name = found.fs_name.as_ref().map_or("lustrefs", |name| name.as_str());
    let mount =
        format!("mount -t lustre -o noatime,user_xattr {}@tcp0:/{fs_name} /<local path>", found.mgs_address.as_str());
    let health = match found.state {
        ProvisioningState::Succeeded => {
            json!({ "state": "Available", "statusDescription": "The cluster is available" })
        }
        _ => {
            json!({ "state": "Transitioning", "statusDescription": "The cluster is in the process of changing states" })
        }
    };
    let mut resource = json!({
        "name": name,
        "id": format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.StorageCache/amlFilesystems/{name}"),
        "type": "Microsoft.StorageCache/amlFilesystems",
        "location": found.location.as_ref().map(Location::as_str),
        "tags": found.tags,
        "properties": {
            "storageCapacityTiB": found.capacity.map(|size| size.0 as f64 / (1_u64 << 40) as f64),
            "health": health,
            "provisioningState": found.state.as_str(),
            "clientInfo": {
                "mgsAddress": found.mgs_address.as_str(),
                "mountCommand": if ready { mount.as_str() } else { "" },
                "lustreVersion": if ready { "2.15" } else { "" },
                "containerStorageInterface": { "persistentVolumeClaim": "", "persistentVolume": "", "storageClass": "" },
            },
            "throughputProvisionedMBps": 2000,
            "maintenanceWindow": { "dayOfWeek": "Friday", "timeOfDayUTC": "22:00" },
            "hsm": {},
            "filesystemSubnet": found.subnet.as_ref().map(subnet_id),
        },
        "sku": { "name": found.sku_name },
        "systemData": { "createdBy": "user@example.com", "createdAt": "2025-05-16T09:25:34.6343334Z" },
    });
    if !found.zones.is_empty() {
        resource["zones"] = json!(found.zones.iter().map(Zone::as_str).collect::<Vec<_>>());
    }
    resource
}

fn subnet_id(subnet: &SubnetId) -> String {
    let (group, vnet, name) = (subnet.resource_group.as_str(), subnet.vnet.as_str(), subnet.subnet.as_str());
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{vnet}/subnets/{name}"
    )
}

/// Reads the body of a PUT as ARM does: what must be there must be there.
pub(crate) fn spec(id: &FilesystemId, body: &[u8]) -> Option<FilesystemSpec> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let subnet: Vec<&str> = text("/properties/filesystemSubnet")?.split('/').collect();
    let ["", "subscriptions", SUBSCRIPTION, _, group, _, "Microsoft.Network", _, vnet, _, name] = subnet.as_slice()
    else {
        return None;
    };
    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let day = text("/properties/maintenanceWindow/dayOfWeek")?;
    Some(FilesystemSpec {
        id: id.clone(),
        location: Location::parse(text("/location")?).ok()?,
        sku_name: text("/sku/name")?.to_owned(),
        zone: text("/zones/0").and_then(|zone| Zone::parse(zone).ok()),
        capacity: Tib(u32::try_from(body.pointer("/properties/storageCapacityTiB")?.as_u64()?).ok()?),
        subnet: SubnetId {
            resource_group: ResourceGroup::parse(group).ok()?,
            vnet: NetworkName::parse(vnet).ok()?,
            subnet: NetworkName::parse(name).ok()?,
        },
        maintenance: MaintenanceWindow {
            day_of_week: days.into_iter().find(|known| *known == day)?,
            time_of_day_utc: text("/properties/maintenanceWindow/timeOfDayUTC")?.to_owned(),
        },
        identities: Vec::new(),
        tags: serde_json::from_value(body.get("tags")?.clone()).ok()?,
    })
}

/// An entry of the SKU list. Regions without zones are written in all three ways.
pub(crate) fn sku(entry: &SkuEntry, regions: &BTreeMap<String, Region>) -> Value {
    let offered = |name: &String| {
        let location = Location::parse(name);
        location.is_ok_and(|location| entry.offered_in(&location))
    };
    let here: Vec<&String> = regions.keys().filter(|name| offered(name)).collect();
    let infos: Vec<Value> = here.iter().map(|name| zoned(name, &regions[*name])).collect();
    let capabilities: Vec<Value> =
        entry.capabilities.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "resourceType": entry.resource_type,
        "name": entry.name,
        "locations": here,
        "locationInfo": infos,
        "capabilities": capabilities,
        "restrictions": [],
        "newMember": { "of": ["a", "later", "version"] },
    })
}

fn zoned(name: &str, region: &Region) -> Value {
    match &region.zones {
        Some(zones) => json!({ "location": name, "zones": zones }),
        None if name.len().is_multiple_of(2) => json!({ "location": name, "zones": null }),
        None => json!({ "location": name }),
    }
}
