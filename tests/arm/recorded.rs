//! Recorded responses of ARM, replayed to the adapter.

use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::filesystem::{Filesystem, FilesystemSpec, Observed, ProvisioningState};
use azurelustre_csi::domain::lifecycle;
use azurelustre_csi::domain::names::{
    FilesystemId, FilesystemName, Location, NetworkName, ResourceGroup, SubnetId, Zone,
};
use azurelustre_csi::domain::parameters::MaintenanceWindow;
use azurelustre_csi::ports::cloud::{Cloud, CloudErrorKind, SubnetCapacityRequest};
use serde_json::Value;

use crate::scripted::{ARMS, response, scripted};
use azurelustre_csi::adapters::arm::http::{Method, Response};

fn recorded(name: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("fixtures/recorded.json")).unwrap();
    all[name].clone()
}

/// A recorded response, with the request id that the recordings have lost. Links point to the host of these tests.
fn replay(name: &str) -> Response {
    let recorded = recorded(name);
    let link = |value: &Value| value.as_str().unwrap().replace("https://management.azure.com", "https://arm.test");
    let headers: Vec<(String, String)> = (recorded["headers"].as_object().into_iter().flatten())
        .map(|(name, value)| (name.to_ascii_lowercase(), link(value)))
        .chain([(ARMS.0.to_owned(), ARMS.1.to_owned())])
        .collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = match &recorded["body"] {
        Value::Null => Vec::new(),
        // Pretty-printed with CRLF, as ARM writes.
        body => serde_json::to_string_pretty(body).unwrap().replace('\n', "\r\n").into_bytes(),
    };
    response(u16::try_from(recorded["status"].as_u64().unwrap()).unwrap(), &headers, body)
}

/// What the recorded PUT asked for.
pub(crate) fn spec() -> FilesystemSpec {
    FilesystemSpec {
        id: id("azps-5jf3vk"),
        location: Location::parse("eastus").unwrap(),
        sku_name: "AMLFS-Durable-Premium-250".to_owned(),
        zone: Zone::parse("1").ok(),
        capacity: Tib(16),
        subnet: SubnetId {
            resource_group: ResourceGroup::parse("rg1").unwrap(),
            vnet: NetworkName::parse("vnet1").unwrap(),
            subnet: NetworkName::parse("default").unwrap(),
        },
        maintenance: MaintenanceWindow { day_of_week: "Saturday", time_of_day_utc: "03:00".to_owned() },
        identities: Vec::new(),
        tags: [("team".to_owned(), "hpc".to_owned())].into(),
    }
}

fn id(name: &str) -> FilesystemId {
    FilesystemId { resource_group: ResourceGroup::parse("rg1").unwrap(), name: FilesystemName::parse(name).unwrap() }
}

fn present(observed: Observed) -> Filesystem {
    match observed {
        Observed::Present(found) => *found,
        Observed::Absent => panic!("absent"),
    }
}

#[test]
fn a_creation_from_the_put_to_ready() {
    let mut ready = replay("ready");
    ready.body = String::from_utf8(ready.body.to_vec()).unwrap().replace("acctest1", "azps-5jf3vk").into();
    let (cloud, clock, script) = scripted(vec![replay("create"), replay("create"), ready]);
    clock.run(cloud.begin_create(&spec())).unwrap();
    {
        let requests = script.requests.lock().unwrap();
        let put = &requests[0];
        let path = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg1/providers/Microsoft.StorageCache/amlFilesystems/azps-5jf3vk";
        assert_eq!(
            (&put.method, put.url.path(), put.url.query()),
            (&Method::PUT, path, Some("api-version=2024-03-01"))
        );
        let mut body: Value = serde_json::from_slice(&put.body).unwrap();
        assert_eq!(body.as_object_mut().unwrap().remove("tags"), Some(serde_json::json!({ "team": "hpc" })));
        assert_eq!(body, recorded("create")["request"]);
        assert_eq!(put.headers["content-type"], "application/json");
        assert!(
            put.headers["user-agent"].to_str().unwrap().starts_with("azurelustre-csi/"),
            "{:?}",
            put.headers["user-agent"]
        );
        assert_eq!(put.headers["x-ms-client-request-id"].len(), 36);
    }
    let creating = present(clock.run(cloud.observe(&id("azps-5jf3vk"))).unwrap());
    assert_eq!((creating.state.clone(), creating.was_ready()), (ProvisioningState::Creating, false));
    assert_eq!(creating.capacity, Some(Tib(16).bytes()));
    assert!(creating.subnet.unwrap().is(&spec().subnet));
    let done = present(clock.run(cloud.observe(&id("azps-5jf3vk"))).unwrap());
    let ready = lifecycle::ready(&done).unwrap();
    assert_eq!(
        (ready.mgs_address.as_str(), ready.fs_name.as_str(), ready.capacity),
        ("10.5.0.4", "lustrefs", Tib(8).bytes())
    );
}

#[test]
fn a_failed_operation_says_why() {
    let mut failed = replay("create");
    failed.body = String::from_utf8(failed.body.to_vec()).unwrap().replace("\"Creating\"", "\"Failed\"").into();
    let (cloud, clock, script) = scripted(vec![replay("create"), failed, replay("operation-failed")]);
    clock.run(cloud.begin_create(&spec())).unwrap();
    let found = present(clock.run(cloud.observe(&id("azps-5jf3vk"))).unwrap());
    assert_eq!(found.failure.as_deref(), Some("AscInternalError: Error encountered deploying the cache."));
    let requests = script.requests.lock().unwrap();
    let given = recorded("create")["headers"]["Azure-AsyncOperation"].as_str().unwrap().to_owned();
    let (_, signature) = given.split_once("&s=").unwrap();
    assert!(
        requests[2].url.query().unwrap().contains(&signature.replace('<', "%3C").replace('>', "%3E")),
        "the URL goes back as it came"
    );
}

#[test]
fn deletions_and_absence() {
    let (cloud, clock, _) = scripted(vec![replay("delete"), replay("delete-absent"), replay("absent")]);
    clock.run(cloud.begin_delete(&id("sys000004"))).unwrap();
    clock.run(cloud.begin_delete(&id("nope"))).unwrap();
    clock.run(cloud.begin_delete(&id("nope"))).unwrap();
    assert_eq!(clock.run(cloud.observe(&id("nope"))).unwrap(), Observed::Absent);
}

#[test]
fn quota_is_distinguished() {
    let (cloud, clock, _) = scripted(vec![replay("quota")]);
    let failure = clock.run(cloud.begin_create(&spec())).unwrap_err();
    assert_eq!(failure.kind, CloudErrorKind::QuotaExceeded);
    assert!(failure.message.contains("Maximum allowed: 4, Current in use: 4"), "{failure}");
}

#[test]
fn free_addresses_of_the_recorded_network() {
    let (cloud, clock, script) = scripted(vec![replay("required-size"), replay("usages")]);
    let subnet = SubnetId {
        resource_group: ResourceGroup::parse("RG1").unwrap(),
        vnet: NetworkName::parse("vnetname").unwrap(),
        subnet: NetworkName::parse("newsubnet").unwrap(),
    };
    let request = SubnetCapacityRequest { subnet, sku_name: spec().sku_name, capacity: Tib(16) };
    let room = clock.run(cloud.subnet_capacity(&request)).unwrap();
    assert_eq!((room.required, room.available), (8, 1));
    let asked: Value = serde_json::from_slice(&script.requests.lock().unwrap()[0].body).unwrap();
    assert_eq!(
        asked["storageCapacityTiB"].as_f64(),
        recorded("required-size")["request"]["storageCapacityTiB"].as_f64()
    );
    assert_eq!(asked["sku"], recorded("required-size")["request"]["sku"]);
}

#[test]
fn the_documented_sku_list() {
    let (cloud, clock, _) = scripted(vec![replay("skus")]);
    let skus = clock.run(cloud.skus(&Location::parse("East US").unwrap())).unwrap();
    let table: Vec<(&str, u32, u32, u32)> = skus
        .skus()
        .iter()
        .map(|sku| (sku.name.as_str(), sku.bandwidth_per_tib, sku.increment.0, sku.maximum.0))
        .collect();
    assert_eq!(
        table,
        [
            ("AMLFS-Durable-Premium-125", 125, 16, 128),
            ("AMLFS-Durable-Premium-250", 250, 8, 128),
            ("AMLFS-Durable-Premium-40", 40, 48, 768),
            ("AMLFS-Durable-Premium-500", 500, 4, 128),
        ]
    );
    assert_eq!(skus.get("AMLFS-Durable-Premium-40").unwrap().zones.len(), 3);
}
