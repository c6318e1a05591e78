//! Free addresses of a subnet: what counts as used, and what this process has requested since.

use std::time::Duration;

use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::filesystem::FilesystemSpec;
use azurelustre_csi::domain::names::{NetworkName, SubnetId};
use azurelustre_csi::ports::cloud::{Cloud, CloudErrorKind, SubnetCapacityRequest};
use serde_json::json;

use crate::recorded::spec;
use crate::scripted::{error, json_response, response, scripted};

#[test]
fn a_subnet_whose_addresses_are_not_counted_has_no_limit() {
    let usage = |limit: f64, used: f64, id: &str| json!({ "limit": limit, "currentValue": used, "id": id });
    let id = |name: &str| {
        format!("/subscriptions/S/RESOURCEGROUPS/rg/providers/Microsoft.Network/virtualNetworks/VNET/subnets/{name}")
    };
    let request = |name: &str| SubnetCapacityRequest {
        subnet: azurelustre_csi::domain::names::SubnetId {
            resource_group: azurelustre_csi::domain::names::ResourceGroup::parse("rg").unwrap(),
            vnet: azurelustre_csi::domain::names::NetworkName::parse("vnet").unwrap(),
            subnet: azurelustre_csi::domain::names::NetworkName::parse(name).unwrap(),
        },
        sku_name: "S".to_owned(),
        capacity: Tib(4),
    };
    let uses = json!({ "value": [usage(-1.0, -1.0, &id("gateway")), usage(251.0, 5.0, &id("SUBNET")), json!({ "id": id("bare") })] });
    let size = json_response(200, &json!({ "filesystemSubnetSize": 8 }));
    let room = |name: &str| {
        let (cloud, clock, _) = scripted(vec![size.clone(), json_response(200, &uses)]);
        clock.run(cloud.subnet_capacity(&request(name)))
    };
    assert_eq!(room("subnet").unwrap().available, 246);
    assert_eq!(room("gateway").unwrap().available, u64::MAX);
    assert_eq!(room("bare").unwrap().available, u64::MAX);
    let missing = room("nosuch").unwrap_err();
    assert_eq!(missing.kind, CloudErrorKind::NotFound);
    assert!(missing.message.contains("SUBNET"), "{missing}");
    for odd in [json!({}), json!({ "filesystemSubnetSize": 0 }), json!({ "filesystemSubnetSize": "8" }), json!([])] {
        let (cloud, clock, _) = scripted(vec![json_response(200, &odd)]);
        assert_eq!(
            clock.run(cloud.subnet_capacity(&request("subnet"))).unwrap_err().kind,
            CloudErrorKind::Unreadable,
            "{odd}"
        );
    }
}

/// A creation that is requested again reserves its addresses once; else an outage would reserve every subnet.
#[test]
fn a_repeated_creation_takes_its_addresses_once() {
    let subnet = spec().subnet;
    let id = format!(
        "/subscriptions/s/resourceGroups/{}/providers/Microsoft.Network/virtualNetworks/{}/subnets/{}",
        subnet.resource_group, subnet.vnet, subnet.subnet
    );
    let size = json_response(200, &json!({ "filesystemSubnetSize": 8.0 }));
    let uses = json_response(200, &json!({ "value": [{ "id": id, "limit": 251.0, "currentValue": 5.0 }] }));
    let (cloud, clock, _) = scripted(vec![size, uses, error(500, "Oops", "x")]);
    let request = SubnetCapacityRequest { subnet, sku_name: spec().sku_name, capacity: spec().capacity };
    assert_eq!(clock.run(cloud.subnet_capacity(&request)).unwrap().available, 246);
    for _ in 0..3 {
        clock.run(cloud.begin_create(&spec())).unwrap_err();
    }
    let room = clock.run(cloud.subnet_capacity(&request)).unwrap();
    assert_eq!((room.required, room.available), (8, 238));
    let other = FilesystemSpec { id: crate::world::id("another"), ..spec() };
    clock.run(cloud.begin_create(&other)).unwrap_err();
    assert_eq!(clock.run(cloud.subnet_capacity(&request)).unwrap().available, 230);
}

/// What ARM refused takes no addresses.
#[test]
fn a_refused_creation_takes_no_addresses() {
    let subnet = spec().subnet;
    let networks = format!("/subscriptions/s/resourceGroups/{}/providers/Microsoft.Network", subnet.resource_group);
    let id = format!("{networks}/virtualNetworks/{}/subnets/{}", subnet.vnet, subnet.subnet);
    let size = json_response(200, &json!({ "filesystemSubnetSize": 8 }));
    let uses = json_response(200, &json!({ "value": [{ "id": id, "limit": 251.0, "currentValue": 5.0 }] }));
    let (cloud, clock, _) = scripted(vec![size, uses, error(403, "AuthorizationFailed", "x")]);
    let request = SubnetCapacityRequest { subnet, sku_name: spec().sku_name, capacity: spec().capacity };
    clock.run(cloud.subnet_capacity(&request)).unwrap();
    clock.run(cloud.begin_create(&spec())).unwrap_err();
    assert_eq!(clock.run(cloud.subnet_capacity(&request)).unwrap().available, 246);
}

/// What is taken in one subnet is free in its neighbours; and figures are not kept.
#[test]
fn addresses_are_counted_by_subnet_and_read_again() {
    let (full, empty) = (spec().subnet, NetworkName::parse("neighbour").unwrap());
    let networks = format!("/subscriptions/s/resourceGroups/{}/providers/Microsoft.Network", full.resource_group);
    let usage = |subnet: &NetworkName, used: f64| {
        let id = format!("{networks}/virtualNetworks/{}/subnets/{subnet}", full.vnet);
        json!({ "id": id, "limit": 251.0, "currentValue": used })
    };
    let uses = |used: f64| json_response(200, &json!({ "value": [usage(&full.subnet, used), usage(&empty, 5.0)] }));
    let size = json_response(200, &json!({ "filesystemSubnetSize": 8 }));
    let (cloud, clock, _) = scripted(vec![size, uses(5.0), response(201, &[], ""), uses(100.0)]);
    let room = |subnet: &NetworkName| {
        let subnet = SubnetId { subnet: subnet.clone(), ..full.clone() };
        let request = SubnetCapacityRequest { subnet, sku_name: spec().sku_name, capacity: spec().capacity };
        clock.run(cloud.subnet_capacity(&request)).unwrap().available
    };
    assert_eq!(room(&full.subnet), 246);
    clock.run(cloud.begin_create(&spec())).unwrap();
    assert_eq!((room(&full.subnet), room(&empty)), (238, 246));
    clock.advance(Duration::from_secs(3));
    assert_eq!(room(&full.subnet), 151, "the network's own figures, which show it");
}
