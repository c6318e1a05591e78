//! Finality of CreateVolume's failures: which are final, and after which time of absence.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use azurelustre_csi::adapters::simulator::World;
use azurelustre_csi::adapters::simulator::world::Subnet;
use azurelustre_csi::domain::capacity::RequestedCapacity;
use azurelustre_csi::domain::filesystem::ProvisioningState;
use azurelustre_csi::domain::provisioning::VolumeRequest;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::CloudErrorKind;
use azurelustre_csi::ports::inbound::{Failure, FailureKind};

use crate::fakes::faulty::{Fault, Faults};
use crate::world::{Azure, BUDGET, Driver, NAME, request, request_with};

/// A request that is refused for good once nothing was found for this many seconds, with the same text from the start.
fn refused_after(azure: &Azure, driver: &Driver, request: &VolumeRequest, seconds: u64) -> Failure {
    let begun = azure.clock.now();
    let (mut failures, ended) = azure.until_final(|| driver.create_as(request.clone(), BUDGET));
    let last = failures.pop().unwrap();
    let text = |failure: &Failure| failure.message.split("; next try at").next().unwrap().to_owned();
    for failure in &failures {
        assert_eq!((failure.kind, text(failure)), (FailureKind::Unavailable, text(&last)));
        assert_eq!(failure.hint, last.hint);
    }
    assert_eq!((ended - begun).as_secs(), seconds, "{last}");
    assert_eq!(azure.billed(), Vec::<String>::new());
    last
}

pub(crate) fn invalid_requests() -> Vec<(VolumeRequest, FailureKind)> {
    vec![
        (request_with(&[("sub-dir", "a#b")]), FailureKind::Invalid),
        (request_with(&[("sub-dir", "${pvc.metadata.nam}")]), FailureKind::Invalid),
        (request_with(&[("tags", "k8s-azure-created-by=me")]), FailureKind::Invalid),
        (request_with(&[("resource-group", "../x")]), FailureKind::Invalid),
        (VolumeRequest { capacity: RequestedCapacity::at_least(-1), ..request(NAME) }, FailureKind::OutOfRange),
        (
            VolumeRequest {
                capacity: RequestedCapacity { required_bytes: 2 << 40, limit_bytes: 1 << 40 },
                ..request(NAME)
            },
            FailureKind::OutOfRange,
        ),
        (VolumeRequest { capabilities: vec![], ..request(NAME) }, FailureKind::Invalid),
    ]
}

#[test]
fn an_invalid_request_is_final_at_once_and_costs_at_most_one_observation() {
    for (request, kind) in invalid_requests() {
        let azure = Azure::new();
        let driver = azure.healthy();
        let names_the_group = !request.parameters.contains_key("resource-group");
        assert_eq!(driver.create_as(request, BUDGET).unwrap_err().kind, kind);
        assert_eq!(driver.operations(), if names_the_group { &["observe"][..] } else { &[] });
    }
    let azure = Azure::new();
    let driver = azure.healthy();
    let parameters = [("mgs-ip-address".to_owned(), "10.0.0.4".to_owned()), ("sub-dir".to_owned(), "..".to_owned())];
    let existing = VolumeRequest { parameters: parameters.into(), ..request(NAME) };
    assert_eq!(driver.create_as(existing, BUDGET).unwrap_err().kind, FailureKind::Invalid);
    assert_eq!(
        driver.operations(),
        Vec::<&str>::new(),
        "nothing was ever made for a volume on an existing file system"
    );
}

/// A claim whose class was deleted and made again with a mistake must not be forgotten while its file system is billed.
#[test]
fn an_invalid_request_is_not_final_while_a_file_system_of_the_volume_was_never_ready() {
    for (mistake, _) in invalid_requests() {
        let same_process = !mistake.parameters.contains_key("resource-group");
        for anew in [false, true] {
            if anew && !same_process {
                continue;
            }
            let azure = Azure::new();
            let first = azure.healthy();
            first.create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
            let driver = if anew { azure.healthy() } else { first };
            let failure = driver.create_as(mistake.clone(), BUDGET).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
            assert!(failure.message.contains("AMLFS pvc-1 exists and is billed"), "{failure}");
            assert!(failure.hint.unwrap().contains("az amlfs delete"), "{}", failure.message);
        }
    }
    let mistake = || VolumeRequest { capacity: RequestedCapacity::at_least(-1), ..request(NAME) };
    // Ready before, or not owned by this driver: as the mistake says.
    let azure = Azure::new();
    azure.volume();
    assert_eq!(azure.healthy().create_as(mistake(), BUDGET).unwrap_err().kind, FailureKind::OutOfRange);
    let azure = Azure::new();
    azure.place(NAME, &[], ProvisioningState::Creating, "");
    assert_eq!(azure.healthy().create_as(mistake(), BUDGET).unwrap_err().kind, FailureKind::OutOfRange);
}

#[test]
fn an_invalid_request_whose_observation_fails_is_not_final() {
    for kind in CloudErrorKind::ALL {
        let azure = Azure::new();
        let mistake = VolumeRequest { capacity: RequestedCapacity::at_least(-1), ..request(NAME) };
        let failure = azure.faulty(Fault::Before(kind), 1, 1).create_as(mistake, BUDGET).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert!(failure.message.starts_with("capacity range: required_bytes is -1"), "{failure}");
        assert!(failure.message.contains("injected"), "{failure}");
    }
}

#[test]
fn what_the_region_does_not_offer_is_final_after_two_observations() {
    for (parameters, part) in [
        ([("sku-name", "AMLFS-Durable-Premium-12"), ("zone", "1")], "did you mean"),
        ([("zone", "4"), ("location", "eastus")], "1, 2, 3"),
        ([("zone", "1"), ("location", "westus")], "leave it out"),
        ([("zone", "1"), ("location", "nowhere")], "not offered in nowhere"),
    ] {
        let azure = Azure::new();
        let failure = refused_after(&azure, &azure.healthy(), &request_with(&parameters), 5);
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert!(failure.message.contains(part), "{failure}");
    }
    let azure = Azure::new();
    let large = VolumeRequest { capacity: RequestedCapacity::at_least(129 << 40), ..request(NAME) };
    assert_eq!(refused_after(&azure, &azure.healthy(), &large, 5).kind, FailureKind::OutOfRange);
    let azure = Azure::with(World { any_subnet_exists: false, ..World::default() });
    let failure = refused_after(&azure, &azure.healthy(), &request(NAME), 5);
    assert_eq!(failure.kind, FailureKind::Precondition);
    assert!(failure.message.contains("not found"), "{failure}");
}

#[test]
fn a_full_subnet_and_an_exhausted_quota_are_final_after_ninety_seconds_of_absence() {
    let (resource_group, vnet, subnet) = ("MC_HPC_aks_eastus".into(), "AKS-VNET".into(), "aks-subnet".into());
    let full = World { subnets: vec![Subnet { resource_group, vnet, subnet, limit: 3, used: 0 }], ..World::default() };
    let group = World { resource_groups: Some(vec!["other".into()]), ..World::default() };
    for (world, kind, part) in [
        (full, FailureKind::Exhausted, "is full"),
        (World { quota: 0, ..World::default() }, FailureKind::Exhausted, "quota"),
        (group, FailureKind::Precondition, "could not be found"),
    ] {
        let azure = Azure::with(world);
        let driver = azure.healthy();
        let failure = refused_after(&azure, &driver, &request(NAME), 90);
        assert_eq!(failure.kind, kind);
        assert!(failure.message.contains(part), "{failure}");
        assert!(driver.count("begin_create") <= 2, "a refused PUT is repeated after a pause only");
    }
}

#[test]
fn refused_calls_are_final_after_their_time_of_absence() {
    for operation in ["skus", "subnet_capacity", "begin_create"] {
        for kind in CloudErrorKind::ALL.into_iter().filter(|kind| kind.is_refusal()) {
            let azure = Azure::new();
            let plan = move |_: u32, of: &str| (of == operation).then_some(Fault::Before(kind));
            let driver = azure.driver(Faults::new(azure.clock.clone(), Box::new(plan)));
            let content = operation == "subnet_capacity" && kind == CloudErrorKind::NotFound;
            let failure = refused_after(&azure, &driver, &request(NAME), if content { 5 } else { 90 });
            assert!(failure.kind.is_final() && failure.message.contains("injected"), "{operation} {kind:?}: {failure}");
        }
    }
}

#[test]
fn transient_errors_are_never_final() {
    for operation in ["skus", "subnet_capacity", "begin_create"] {
        for kind in CloudErrorKind::ALL.into_iter().filter(|kind| !kind.is_refusal()) {
            let azure = Azure::new();
            let plan = move |_: u32, of: &str| (of == operation).then_some(Fault::Before(kind));
            let driver = azure.driver(Faults::new(azure.clock.clone(), Box::new(plan)));
            for _ in 0..40 {
                let failure = driver.create(NAME).unwrap_err();
                assert_eq!(failure.kind, FailureKind::Unavailable, "{operation} {kind:?}: {failure}");
                azure.pass(Duration::from_secs(30));
            }
        }
    }
}

/// The file system of an earlier process may be the very thing that fills the subnet or the quota.
#[test]
fn one_observation_that_finds_the_file_system_restarts_the_time_of_absence() {
    for arrange in [(|world| world.free_addresses = 3) as fn(&mut World), |world| world.quota = 1] {
        let azure = Azure::new();
        azure.healthy().create_as(request(NAME), Some(Duration::from_secs(9))).unwrap_err();
        azure.simulator.cloud().edit_world(arrange);
        // It is invisible for eighty seconds, seen once, and invisible again.
        let (clock, begun) = (azure.clock.clone(), azure.clock.now());
        let hidden = move |_: u32, of: &str| {
            let passed = (clock.now() - begun).as_secs();
            (of == "observe" && passed != 80 && passed < 400).then_some(Fault::Absent)
        };
        let driver = azure.driver(Faults::new(azure.clock.clone(), Box::new(hidden)));
        while (azure.clock.now() - begun).as_secs() < 400 {
            let failure = driver.create_as(request(NAME), Some(Duration::from_secs(2))).unwrap_err();
            let passed = (azure.clock.now() - begun).as_secs();
            assert!(!failure.kind.is_final(), "after {passed} s: {failure}");
            azure.clock.advance(Duration::from_secs(if passed < 80 { 80 - passed } else { 10 }));
        }
        assert_eq!((azure.made(NAME), azure.billed().len()), (1, 1));
    }
}

/// ARM shows such 404s while regions replicate.
#[test]
fn a_failure_after_a_file_system_was_seen_and_is_absent_is_never_final() {
    let azure = Azure::new();
    let seen = Arc::new(AtomicBool::new(false));
    let hidden = Arc::clone(&seen);
    let plan = move |_: u32, of: &str| (of == "observe" && hidden.load(Ordering::Relaxed)).then_some(Fault::Absent);
    let driver = azure.driver(Faults::new(azure.clock.clone(), Box::new(plan)));
    driver.create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
    azure.simulator.cloud().edit_world(|world| {
        world.free_addresses = 3;
        world.quota = 1;
    });
    seen.store(true, Ordering::Relaxed);
    for _ in 0..20 {
        let failure = driver.create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
        assert!(!failure.kind.is_final(), "{failure}");
        azure.pass(Duration::from_secs(30));
    }
    seen.store(false, Ordering::Relaxed);
    driver.create(NAME).unwrap();
    assert_eq!((azure.made(NAME), azure.billed().len()), (1, 1));
}

#[test]
fn nothing_is_final_while_the_outcome_of_a_put_is_unknown() {
    let azure = Azure::new();
    let driver = azure.faulty(Fault::HangBefore, 4, 1);
    assert_eq!(driver.create(NAME).unwrap_err().kind, FailureKind::InProgress);
    azure.simulator.cloud().edit_world(|world| world.skus.clear());
    let failure = driver.create(NAME).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure}");
}
