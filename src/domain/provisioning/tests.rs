//! From request to plan, and from a ready file system to the volume that Kubernetes stores.

use super::*;
use crate::domain::access::{AccessMode, AccessType};
use crate::domain::mount_source::FsName;
use crate::domain::names::NetworkName;

fn request(parameters: &[(&str, &str)]) -> VolumeRequest {
    VolumeRequest {
        name: "pvc-1".into(),
        capacity: RequestedCapacity::default(),
        capabilities: vec![Capability {
            access: Some(AccessType::Mount { flags: vec![] }),
            mode: Some(AccessMode::MultiNodeMultiWriter),
        }],
        parameters: parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

const DYNAMIC: [(&str, &str); 4] = [
    ("sku-name", "AMLFS-Durable-Premium-125"),
    ("maintenance-day-of-week", "Friday"),
    ("maintenance-time-of-day-utc", "22:00"),
    ("resource-group", "rg1"),
];

fn defaults() -> Placement {
    Placement {
        location: Location::parse("eastus").ok(),
        resource_group: ResourceGroup::parse("MC_rg").ok(),
        vnet_resource_group: None,
        vnet: NetworkName::parse("vnet").ok(),
        subnet: NetworkName::parse("subnet").ok(),
    }
}

fn ready() -> ReadyFilesystem {
    ReadyFilesystem { mgs_address: "10.0.0.4".into(), fs_name: FsName::default(), capacity: Tib(16).bytes() }
}

fn dynamic(request: &VolumeRequest) -> Result<DynamicProvision, RequestError> {
    match ProvisionPlan::parse(request, &defaults())? {
        ProvisionPlan::Dynamic(dynamic) => Ok(*dynamic),
        ProvisionPlan::Existing(_) => panic!("not static"),
    }
}

#[test]
fn a_dynamic_volume_is_described_as_the_go_driver_does() {
    let plan =
        dynamic(&request(&[&DYNAMIC[..], &[("sub-dir", "/${pvc.metadata.name}/"), (PV_NAME, "pvc-1")]].concat()))
            .unwrap();
    assert_eq!(
        (plan.id().to_string().as_str(), plan.desired().subnet.to_string().as_str()),
        ("pvc-1 in resource group rg1", "MC_rg/vnet/subnet")
    );
    let volume = plan.volume(&ready()).unwrap();
    assert_eq!(volume.id.to_string(), "pvc-1#lustrefs#10.0.0.4#${pvc.metadata.name}#t#rg1");
    let value = |key: &str| volume.context.get(key).map(String::as_str);
    assert_eq!(value("created-by-dynamic-provisioning"), Some("t"));
    assert_eq!((value("mgs-ip-address"), value("fs-name")), (Some("10.0.0.4"), Some("lustrefs")));
    assert_eq!((value("resource-group"), value("resource-group-name")), (Some("rg1"), Some("rg1")));
}

#[test]
fn a_context_is_a_valid_set_of_parameters() {
    let empty = request(&[&DYNAMIC[..3], &[("resource-group", "")]].concat());
    let volume = dynamic(&empty).unwrap().volume(&ready()).unwrap();
    assert_eq!(volume.context.get(RESOURCE_GROUP_NAME).map(String::as_str), Some("MC_rg"));
    assert!(matches!(Parameters::parse(&volume.context), Ok(Parameters::Existing(_))));
}

#[test]
fn a_static_volume_needs_no_cloud_settings() {
    let parameters = [("MGS-IP-Address", "10.0.0.4"), ("sub-dir", "a/b")];
    let plan = ProvisionPlan::parse(&request(&parameters), &Placement::default()).unwrap();
    let ProvisionPlan::Existing(volume) = plan else { panic!("not dynamic") };
    assert_eq!(volume.id.to_string(), "pvc-1#lustrefs#10.0.0.4#a/b#f#");
    assert_eq!(volume.capacity, Tib(4).bytes());
    assert_eq!(volume.context.get("created-by-dynamic-provisioning").map(String::as_str), Some("f"));
    assert_eq!(volume.context.get("MGS-IP-Address").map(String::as_str), Some("10.0.0.4"));
}

#[test]
fn an_fs_name_that_the_go_driver_never_used_is_lustrefs_in_id_and_context() {
    let volume = |parameters: &[(&str, &str)]| match ProvisionPlan::parse(&request(parameters), &Placement::default()) {
        Ok(ProvisionPlan::Existing(volume)) => *volume,
        other => panic!("{other:?}"),
    };
    let named = volume(&[("mgs-ip-address", "10.1.0.6"), ("FS-Name", "lustreAKS")]);
    assert_eq!(named.id.to_string(), "pvc-1#lustrefs#10.1.0.6##f#");
    assert_eq!(named.context.get(FS_NAME).map(String::as_str), Some("lustrefs"));
    assert!(!named.context.contains_key("FS-Name"));
    let possible = volume(&[("mgs-ip-address", "10.1.0.6"), ("fs-name", "hpc")]);
    assert_eq!(possible.id.to_string(), "pvc-1#hpc#10.1.0.6##f#");
    let dynamic = dynamic(&request(&[&DYNAMIC[..], &[("fs-name", "lustreAKS")]].concat())).unwrap();
    let volume = dynamic.volume(&ready()).unwrap();
    assert_eq!(volume.id.fs_name, "lustrefs");
    assert_eq!(volume.context.get(FS_NAME).map(String::as_str), Some("lustrefs"));
}

#[test]
fn static_sizes_go_in_steps_of_four_tib() {
    let sized = |required, limit| {
        let request = VolumeRequest {
            capacity: RequestedCapacity { required_bytes: required, limit_bytes: limit },
            ..request(&[("mgs-ip-address", "10.0.0.4")])
        };
        ProvisionPlan::parse(&request, &Placement::default())
    };
    let Ok(ProvisionPlan::Existing(volume)) = sized((5 << 40) + 1, 0) else { panic!("refused") };
    assert_eq!(volume.capacity, Tib(8).bytes());
    assert!(matches!(sized(i64::MAX, 0), Err(RequestError::Capacity(_))));
    assert!(matches!(sized(-1, 0), Err(RequestError::Capacity(_))));
}

#[test]
fn all_mistakes_are_reported_together() {
    let bad = VolumeRequest { name: String::new(), capabilities: vec![], ..request(&[("sku", "x")]) };
    let error = ProvisionPlan::parse(&bad, &defaults()).unwrap_err().to_string();
    for part in ["name: missing", "volume capabilities: missing", "`sku`: invalid parameter", "sku-name: missing"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    let error = ProvisionPlan::parse(&request(&DYNAMIC), &Placement::default()).unwrap_err().to_string();
    for part in ["location: missing", "vnet-name: missing", "subnet-name: missing"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

#[test]
fn odd_names_and_volumes_of_other_names() {
    let long = VolumeRequest { name: "x".repeat(129), ..request(&DYNAMIC) };
    assert!(dynamic(&long).is_err());
    let mapped = dynamic(&VolumeRequest { name: "a#b/../c".into(), ..request(&DYNAMIC) }).unwrap();
    assert_eq!(mapped.id().name, FilesystemName::for_volume("a#b/../c"));
    assert_eq!(mapped.tags.get(tags::PV_NAME).map(String::as_str), Some("a#b/../c"));
    let other = request(&[&DYNAMIC[..], &[(PV_NAME, "pvc-2")]].concat());
    assert!(dynamic(&other).unwrap_err().to_string().contains("is not the volume"));
}

#[test]
fn the_spec_is_rounded_and_zoned() {
    let sku = Sku {
        name: "S".into(),
        increment: Tib(16),
        maximum: Tib(128),
        largest: Tib(128),
        bandwidth_per_tib: 125,
        zones: vec![],
    };
    let plan =
        dynamic(&VolumeRequest { capacity: RequestedCapacity::at_least(17 << 40), ..request(&DYNAMIC) }).unwrap();
    assert_eq!(plan.spec(&sku).unwrap().capacity, Tib(32));
    let zoned = dynamic(&request(&[&DYNAMIC[..], &[("zone", "1")]].concat())).unwrap();
    assert!(matches!(zoned.spec(&sku), Err(RequestError::Invalid(_))));
    let large =
        dynamic(&VolumeRequest { capacity: RequestedCapacity::at_least(129 << 40), ..request(&DYNAMIC) }).unwrap();
    assert!(matches!(large.spec(&sku), Err(RequestError::Capacity(_))));
    let supported = Sku { largest: Tib(1024), ..sku };
    let spec = large.spec(&supported).unwrap();
    assert_eq!(spec.capacity, Tib(144));
    assert!(supported.support_request(spec.capacity).unwrap().contains("support request"));
    assert_eq!(supported.support_request(Tib(128)), None);
}

#[test]
fn a_refused_request_still_says_where_its_file_system_would_be() {
    let at = |parameters: &[(&str, &str)]| filesystem_id(&request(parameters), &defaults()).map(|id| id.to_string());
    assert_eq!(at(&[("sku-nam", "x")]).as_deref(), Some("pvc-1 in resource group MC_rg"));
    assert_eq!(at(&[("Resource-Group", " rg1 ")]).as_deref(), Some("pvc-1 in resource group rg1"));
    assert_eq!(at(&[("resource-group", "rg1"), ("resource-group-name", "rg2")]), None);
    assert_eq!(at(&[("resource-group", "../x")]), None);
    assert_eq!(at(&[("mgs-ip-address", "10.0.0.4"), ("sub-dir", "..")]), None);
    assert!(at(&[("mgs-ip-address", "")]).is_some());
    for name in [String::new(), "x".repeat(129)] {
        assert_eq!(filesystem_id(&VolumeRequest { name, ..request(&[]) }, &defaults()), None);
    }
}

#[test]
fn plans_are_compared_and_not_their_spelling() {
    let plan = |more: &[(&str, &str)]| dynamic(&request(&[&DYNAMIC[..3], more].concat())).unwrap();
    let one = plan(&[("resource-group", "rg1"), ("location", "East US")]);
    assert!(one.is_same_plan(&plan(&[("Resource-Group-Name", "RG1"), ("location", "eastus")])));
    let others: [&[(&str, &str)]; 5] = [
        &[("resource-group", "rg2"), ("location", "East US")],
        &[("resource-group", "rg1"), ("location", "westus")],
        &[("resource-group", "rg1"), ("location", "East US"), ("zone", "1")],
        &[("resource-group", "rg1"), ("location", "East US"), ("tags", "a=b")],
        &[("resource-group", "rg1"), ("location", "East US"), ("subnet-name", "other")],
    ];
    for other in others {
        assert!(!one.is_same_plan(&plan(other)), "{other:?}");
    }
}
