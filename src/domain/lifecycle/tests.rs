//! The decision table: every state, ready before or not, owned or not, same or different.

use super::*;
use crate::domain::capacity::{RequestedCapacity, Tib};
use crate::domain::names::{FilesystemName, NetworkName, ResourceGroup};
use crate::domain::tags::{CREATED_BY, CREATED_BY_US};

fn subnet(name: &str) -> SubnetId {
    let network = |name| NetworkName::parse(name).unwrap();
    SubnetId { resource_group: ResourceGroup::parse("rg").unwrap(), vnet: network("vnet"), subnet: network(name) }
}

fn desired() -> Desired {
    Desired {
        id: FilesystemId {
            resource_group: ResourceGroup::parse("rg").unwrap(),
            name: FilesystemName::for_volume("pvc-1"),
        },
        location: Location::parse("eastus").unwrap(),
        sku_name: "AMLFS-Durable-Premium-500".into(),
        zone: Some(Zone::parse("1").unwrap()),
        subnet: subnet("default"),
        range: CapacityRange::parse(RequestedCapacity::at_least(4 << 40)).unwrap(),
    }
}

fn found(state: ProvisioningState, mgs_address: &str) -> Filesystem {
    Filesystem {
        location: Some(desired().location),
        sku_name: Some("amlfs-durable-premium-500".into()),
        zones: vec![Zone::parse("1").unwrap()],
        capacity: Some(Tib(4).bytes()),
        subnet: Some(subnet("DEFAULT")),
        mgs_address: ReportedMgsAddress::parse(mgs_address),
        tags: [(CREATED_BY.to_owned(), CREATED_BY_US.to_owned())].into(),
        failure: Some("CreateTimeout".into()),
        ..Filesystem::new(state)
    }
}

fn step(filesystem: Filesystem) -> Step {
    next(&Observed::Present(Box::new(filesystem)), &desired())
}

#[test]
fn nothing_there_is_created() {
    assert_eq!(next(&Observed::Absent, &desired()), Step::Create);
}

#[test]
fn ready_needs_success_and_an_address() {
    assert!(
        matches!(step(found(ProvisioningState::Succeeded, "10.0.0.4")), Step::Ready(ready) if ready.mgs_address == "10.0.0.4")
    );
    for unusable in ["", " ", "not an address"] {
        assert_eq!(step(found(ProvisioningState::Succeeded, unusable)), Step::Wait(ProvisioningState::Succeeded));
    }
}

#[test]
fn states_in_progress_and_unknown_ones_are_waited_for() {
    use ProvisioningState::{Creating, Deleting, Unknown, Updating};
    for state in [Creating, Deleting, Updating, Unknown("Expanding".into())] {
        for address in ["", "10.0.0.4"] {
            assert_eq!(step(found(state.clone(), address)), Step::Wait(state.clone()));
        }
    }
}

#[test]
fn only_a_creation_that_never_was_ready_is_deleted() {
    let reason = Some("CreateTimeout".to_owned());
    for terminal in [ProvisioningState::Failed, ProvisioningState::Canceled] {
        assert_eq!(step(found(terminal.clone(), "")), Step::DeleteFailed { reason: reason.clone() });
        for once_ready in ["10.0.0.4", "not an address"] {
            assert_eq!(step(found(terminal.clone(), once_ready)), Step::FailedAfterReady { reason: reason.clone() });
        }
    }
}

#[test]
fn what_is_not_owned_is_refused_first_in_every_state() {
    for state in [ProvisioningState::Failed, ProvisioningState::Succeeded, ProvisioningState::Creating] {
        let not_owned = Filesystem { tags: [].into(), sku_name: Some("other".into()), ..found(state, "") };
        assert_eq!(step(not_owned), Step::NotOwned(NotOwned::Untagged));
    }
}

#[test]
fn every_difference_is_named_in_every_state() {
    for state in [ProvisioningState::Creating, ProvisioningState::Succeeded, ProvisioningState::Failed] {
        let other = Filesystem {
            sku_name: Some("AMLFS-Durable-Premium-40".into()),
            zones: vec![],
            capacity: Some(Tib(2).bytes()),
            subnet: Some(subnet("other")),
            location: Some(Location::parse("westus").unwrap()),
            ..found(state, "")
        };
        let Step::Conflict(differences) = step(other) else { panic!("no conflict") };
        let named: Vec<_> = differences.iter().map(|difference| difference.property).collect();
        assert_eq!(named, ["SKU", "zone", "subnet", "location", "size"]);
        assert_eq!(differences[1].to_string(), "zone is none, not 1");
    }
}

#[test]
fn what_the_cloud_does_not_report_is_no_difference() {
    let vague = Filesystem {
        sku_name: None,
        subnet: None,
        location: None,
        capacity: None,
        ..found(ProvisioningState::Creating, "")
    };
    assert_eq!(step(vague), Step::Wait(ProvisioningState::Creating));
}
