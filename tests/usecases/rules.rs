//! The rules of creation one by one: what is final, what is told, what is asked for and how often.

use std::time::Duration;

use azurelustre_csi::adapters::simulator::world::{FailingCreation, Subnet};
use azurelustre_csi::adapters::simulator::{Simulator, World};
use azurelustre_csi::domain::filesystem::ProvisioningState;
use azurelustre_csi::domain::provisioning::VolumeRequest;
use azurelustre_csi::domain::tags::{CREATED_BY, CREATED_BY_US, PV_NAME};
use azurelustre_csi::ports::cloud::CloudErrorKind;
use azurelustre_csi::ports::inbound::{Failure, FailureKind};

use crate::fakes::faulty::Fault;
use crate::world::{Azure, BUDGET, Driver, NAME, OURS, request};

fn refused(azure: &Azure, driver: &Driver, request: VolumeRequest) -> Failure {
    let failure = driver.create_as(request, BUDGET).unwrap_err();
    assert_eq!(azure.billed(), Vec::<String>::new());
    failure
}

fn with(parameters: &[(&str, &str)]) -> VolumeRequest {
    let mut changed = request(NAME);
    for (key, value) in parameters {
        changed.parameters.insert((*key).to_owned(), (*value).to_owned());
    }
    changed
}

#[test]
fn local_mistakes_cost_no_request() {
    let azure = Azure::new();
    let driver = azure.healthy();
    let cases = [
        (with(&[("sub-dir", "a#b")]), FailureKind::Invalid),
        (with(&[("sub-dir", "${pvc.metadata.nam}")]), FailureKind::Invalid),
        (with(&[("tags", "k8s-azure-created-by=me")]), FailureKind::Invalid),
        (with(&[("resource-group", "../x")]), FailureKind::Invalid),
        (VolumeRequest { capacity: (-1, 0), ..request(NAME) }, FailureKind::OutOfRange),
        (VolumeRequest { capacity: (2 << 40, 1 << 40), ..request(NAME) }, FailureKind::OutOfRange),
        (VolumeRequest { capabilities: vec![], ..request(NAME) }, FailureKind::Invalid),
    ];
    for (request, kind) in cases {
        assert_eq!(refused(&azure, &driver, request).kind, kind);
    }
    assert_eq!(driver.operations(), Vec::<&str>::new());
}

#[test]
fn what_the_region_does_not_offer_is_final_and_told() {
    let azure = Azure::new();
    let driver = azure.healthy();
    for (parameters, kind, part) in [
        ([("sku-name", "AMLFS-Durable-Premium-12"), ("zone", "1")], FailureKind::Invalid, "did you mean"),
        ([("zone", "4"), ("location", "eastus")], FailureKind::Invalid, "1, 2, 3"),
        ([("zone", "1"), ("location", "westus")], FailureKind::Invalid, "leave it out"),
        ([("zone", "1"), ("location", "nowhere")], FailureKind::Invalid, "not offered in nowhere"),
    ] {
        let failure = refused(&azure, &driver, with(&parameters));
        assert_eq!(failure.kind, kind);
        assert!(failure.message.contains(part), "{failure}");
    }
    let large = VolumeRequest { capacity: (129 << 40, 0), ..request(NAME) };
    assert_eq!(refused(&azure, &driver, large).kind, FailureKind::OutOfRange);
}

#[test]
fn full_subnets_used_up_quota_and_missing_groups_are_final_at_once() {
    let (resource_group, vnet, subnet) = ("MC_HPC_aks_eastus".into(), "AKS-VNET".into(), "aks-subnet".into());
    let full = World { subnets: vec![Subnet { resource_group, vnet, subnet, limit: 3, used: 0 }], ..World::default() };
    let worlds = [
        (full, FailureKind::Exhausted, "is full"),
        (World { any_subnet_exists: false, ..World::default() }, FailureKind::Precondition, "not found"),
        (World { quota: 0, ..World::default() }, FailureKind::Exhausted, "quota"),
        (
            World { resource_groups: Some(vec!["other".into()]), ..World::default() },
            FailureKind::Precondition,
            "could not be found",
        ),
    ];
    for (world, kind, part) in worlds {
        let azure = Azure::with(world);
        let failure = refused(&azure, &azure.healthy(), request(NAME));
        assert_eq!(failure.kind, kind);
        assert!(failure.message.contains(part), "{failure}");
    }
}

#[test]
fn somebody_elses_file_system_is_neither_taken_nor_changed() {
    let other_volume = [(CREATED_BY, CREATED_BY_US), (PV_NAME, "pvc-2")];
    for tags in [&[][..], &[(CREATED_BY, "terraform")], &other_volume] {
        for state in [ProvisioningState::Succeeded, ProvisioningState::Failed, ProvisioningState::Creating] {
            let azure = Azure::new();
            azure.place(NAME, tags, state, "");
            let driver = azure.healthy();
            let failure = driver.create(NAME).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Conflict);
            assert!(failure.message.contains("tag"), "{failure}");
            assert_eq!(driver.operations(), ["observe"]);
            assert_eq!(azure.billed(), [NAME]);
        }
    }
}

#[test]
fn what_cannot_change_is_a_conflict_that_names_each_difference() {
    let azure = Azure::new();
    azure.volume();
    let changed = with(&[("sku-name", "AMLFS-Durable-Premium-250"), ("zone", "2"), ("subnet-name", "other")]);
    let changed = VolumeRequest { capacity: (8 << 40, 0), ..changed };
    let failure = azure.healthy().create_as(changed, BUDGET).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    for part in ["SKU is", "zone is 1, not 2", "subnet is", "size is 4 TiB, not at least 8 TiB"] {
        assert!(failure.message.contains(part), "{part} is not in {failure}");
    }
    assert_eq!((azure.billed().len(), azure.made(NAME)), (1, 1));
}

#[test]
fn a_file_system_that_was_ready_once_is_never_deleted() {
    let azure = Azure::new();
    azure.place(NAME, &OURS, ProvisioningState::Failed, "10.0.0.4");
    let driver = azure.healthy();
    let failure = driver.create(NAME).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Precondition);
    assert!(failure.message.contains("UpdateFailed: said so"), "{failure}");
    assert_eq!(driver.operations(), ["observe"]);
    assert_eq!(azure.billed(), [NAME]);
}

fn failing(times: u32) -> World {
    let code = "CreateTimeout".to_owned();
    let failing = FailingCreation { times, after_seconds: 300, code, message: "took too long".to_owned() };
    World { failing_creations: vec![failing], ..World::default() }
}

#[test]
fn failed_creations_are_deleted_made_anew_and_told_each_time() {
    let azure = Azure::with(failing(3));
    let driver = azure.healthy();
    let failures: Vec<Failure> = std::iter::from_fn(|| driver.create(NAME).err()).take(50).collect();
    assert!(!failures.is_empty() && failures.len() < 50);
    assert!(failures.iter().all(|failure| failure.kind == FailureKind::InProgress), "{failures:?}");
    assert_eq!(azure.made(NAME), 4);
    let told: Vec<String> = azure.simulator.orchestrator().events().into_iter().map(|event| event.message).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    for (number, message) in (1..).zip(&told) {
        assert!(message.contains(&format!("creation {number} of AMLFS {NAME} failed: CreateTimeout")), "{message}");
    }
    let pauses = pauses_before_creations(&driver);
    assert!(pauses.is_sorted() && pauses[0] >= 30 && pauses[2] >= 120, "{pauses:?}");
}

/// Seconds between the look that found nothing after a deletion and the next creation.
fn pauses_before_creations(driver: &Driver) -> Vec<u64> {
    let calls = driver.calls();
    let creations = calls.iter().enumerate().filter(|(_, made)| made.operation == "begin_create").skip(1);
    let waited = creations.map(|(index, made)| {
        // observe (absent) … pause … observe, headroom, begin_create
        let looks: Vec<_> = calls[..index].iter().rev().filter(|made| made.operation == "observe").take(2).collect();
        (made.at - looks[1].at).as_secs()
    });
    waited.collect()
}

#[test]
fn a_creation_in_doubt_is_only_repeated_after_two_looks_five_seconds_apart() {
    for kind in CloudErrorKind::ALL.into_iter().filter(|kind| !kind.is_refusal()) {
        let azure = Azure::new();
        let driver = azure.faulty(Fault::Before(kind), 4, 1);
        driver.create(NAME).unwrap();
        let calls = driver.calls();
        let creations: Vec<usize> =
            (0..calls.len()).filter(|index| calls[*index].operation == "begin_create").collect();
        assert_eq!(creations.len(), 2, "{kind:?}");
        let looks = &calls[creations[0] + 1..creations[1]];
        let first = looks.first().unwrap();
        let last = looks.iter().rfind(|made| made.operation == "observe").unwrap();
        assert!(last.at.saturating_sub(first.at).as_secs() >= 5, "{kind:?}: {looks:?}");
    }
}

#[test]
fn a_creation_in_doubt_that_arrived_is_not_repeated() {
    for kind in CloudErrorKind::ALL.into_iter().filter(|kind| !kind.is_refusal()) {
        let azure = Azure::new();
        let driver = azure.faulty(Fault::After(kind), 4, 1);
        driver.create(NAME).unwrap();
        let creations = driver.operations().iter().filter(|operation| **operation == "begin_create").count();
        assert_eq!(creations, 1, "{kind:?}");
    }
}

/// Two calls: the first loses sight of its creation, the next finds nothing and is refused again.
#[test]
fn a_creation_in_doubt_is_remembered_by_the_next_call() {
    let azure = Azure::new();
    let in_doubt = |call: u32, operation: &str| match (call, operation) {
        (4, _) => Some(Fault::HangBefore),
        (_, "begin_create") if call < 9 => Some(Fault::Before(CloudErrorKind::QuotaExceeded)),
        _ => None,
    };
    let clock = azure.clock.clone();
    let driver = azure.driver(crate::fakes::faulty::Faults::new(clock, Box::new(in_doubt)));
    assert_eq!(driver.create(NAME).unwrap_err().kind, FailureKind::InProgress);
    let refused = driver.create(NAME).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Exhausted, "{refused}");
    // Absent, absent again, the same creation, refused, and one more look before that is final.
    let expected = ["observe", "observe", "skus", "begin_create", "observe"];
    assert_eq!(driver.operations()[4..], expected);
}

#[test]
fn nothing_is_final_while_a_creation_is_in_doubt() {
    let azure = Azure::new();
    let driver = azure.faulty(Fault::HangBefore, 4, 1);
    assert_eq!(driver.create(NAME).unwrap_err().kind, FailureKind::InProgress);
    azure.simulator.cloud().edit_world(|world| world.skus.clear());
    let failure = driver.create(NAME).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure}");
}

#[test]
fn a_repeat_of_a_finished_call_costs_one_request() {
    let azure = Azure::new();
    let volume = azure.volume();
    let driver = azure.healthy();
    assert_eq!(driver.create(NAME).unwrap(), volume);
    assert_eq!(driver.operations(), ["observe"]);
}

#[test]
fn later_claims_of_a_process_do_not_read_the_sku_list_again() {
    let azure = Azure::new();
    let driver = azure.healthy();
    driver.create("pvc-1").unwrap();
    let before = driver.operations().len();
    driver.create("pvc-2").unwrap();
    assert_eq!(driver.operations()[before..][..3], ["observe", "skus", "headroom"], "12 minutes later it is stale");
    let before = driver.operations().len();
    driver.create_as(request("pvc-3"), Some(Duration::from_mins(1))).unwrap_err();
    driver.create_as(request("pvc-4"), Some(Duration::from_mins(1))).unwrap_err();
    let later = &driver.operations()[before..];
    assert_eq!(later.iter().filter(|operation| **operation == "skus").count(), 1, "{later:?}");
}

#[test]
fn an_old_sku_list_serves_while_the_cloud_fails() {
    let azure = Azure::new();
    let failing_later = |call: u32, operation: &str| {
        (call > 2 && operation == "skus").then_some(Fault::Before(CloudErrorKind::Unavailable))
    };
    let faults = crate::fakes::faulty::Faults::new(azure.clock.clone(), Box::new(failing_later));
    let driver = azure.driver(faults);
    driver.create("pvc-1").unwrap();
    azure.pass(Duration::from_hours(2));
    driver.create("pvc-2").unwrap();
    assert_eq!(azure.billed().len(), 2);
}

#[test]
fn static_volumes_never_touch_the_cloud() {
    let azure = Azure::new();
    let driver = azure.healthy();
    let mut request = request(NAME);
    request.parameters = [("mgs-ip-address".to_owned(), "10.0.0.4".to_owned())].into();
    let volume = driver.create_as(request, BUDGET).unwrap();
    driver.delete(&volume.id.to_string()).unwrap();
    assert_eq!(driver.operations(), Vec::<&str>::new());
}

#[test]
fn the_world_is_what_it_says() {
    // The cases above rest on the defaults of the simulated cluster.
    let azure = Azure::new();
    let defaults = Simulator::defaults(&azure.simulator);
    assert_eq!(defaults.location.unwrap().as_str(), "eastus");
    assert_eq!(defaults.resource_group.unwrap().as_str(), "MC_hpc_aks_eastus");
}
