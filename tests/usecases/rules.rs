//! The rules of creation one by one: what is final and when, what is reported, what is asked for and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use azurelustre_csi::adapters::simulator::world::{FailingCreation, Subnet};
use azurelustre_csi::adapters::simulator::{Simulator, World};
use azurelustre_csi::domain::capacity::RequestedCapacity;
use azurelustre_csi::domain::filesystem::ProvisioningState;
use azurelustre_csi::domain::provisioning::VolumeRequest;
use azurelustre_csi::domain::tags::{CREATED_BY, CREATED_BY_US, PV_NAME};
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::{Cloud, CloudErrorKind};
use azurelustre_csi::ports::inbound::{Failure, FailureKind};
use azurelustre_csi::ports::orchestrator::EventKind;

use crate::fakes::faulty::{Fault, Faults};
use crate::world::{Azure, BUDGET, Driver, NAME, OURS, Real, request};

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

fn with(parameters: &[(&str, &str)]) -> VolumeRequest {
    let mut changed = request(NAME);
    for (key, value) in parameters {
        changed.parameters.insert((*key).to_owned(), (*value).to_owned());
    }
    changed
}

fn local_mistakes() -> Vec<(VolumeRequest, FailureKind)> {
    vec![
        (with(&[("sub-dir", "a#b")]), FailureKind::Invalid),
        (with(&[("sub-dir", "${pvc.metadata.nam}")]), FailureKind::Invalid),
        (with(&[("tags", "k8s-azure-created-by=me")]), FailureKind::Invalid),
        (with(&[("resource-group", "../x")]), FailureKind::Invalid),
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
fn local_mistakes_are_final_at_once_and_cost_at_most_one_observation() {
    for (request, kind) in local_mistakes() {
        let azure = Azure::new();
        let driver = azure.healthy();
        let tells_where = !request.parameters.contains_key("resource-group");
        assert_eq!(driver.create_as(request, BUDGET).unwrap_err().kind, kind);
        assert_eq!(driver.operations(), if tells_where { &["observe"][..] } else { &[] });
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
fn local_mistakes_are_not_final_while_a_file_system_of_the_volume_was_never_ready() {
    for (mistake, _) in local_mistakes() {
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
fn a_local_mistake_whose_observation_fails_is_not_final() {
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
        let failure = refused_after(&azure, &azure.healthy(), &with(&parameters), 5);
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
fn circumstances_are_final_after_ninety_seconds_of_absence() {
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
fn refused_requests_are_final_in_their_time_whatever_refuses_them() {
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
fn what_may_help_to_repeat_is_never_final() {
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
fn one_observation_that_finds_anything_starts_the_time_anew() {
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

#[test]
fn a_file_system_that_is_not_owned_is_neither_adopted_nor_changed() {
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
    let changed = VolumeRequest { capacity: RequestedCapacity::at_least(8 << 40), ..changed };
    let failure = azure.healthy().create_as(changed, BUDGET).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    for part in ["SKU is", "zone is 1, not 2", "subnet is", "size is 4 TiB, not at least 8 TiB"] {
        assert!(failure.message.contains(part), "{part} is not in {failure}");
    }
    assert_eq!((azure.billed().len(), azure.made(NAME)), (1, 1));
}

/// A conflict with a file system that was never ready is no reason to forget the claim: it is billed.
#[test]
fn a_conflict_is_not_final_before_the_file_system_was_ready() {
    for anew in [false, true] {
        let azure = Azure::new();
        let first = azure.healthy();
        first.create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
        let driver = if anew { azure.healthy() } else { first };
        let changed = with(&[("sku-name", "AMLFS-Durable-Premium-250"), ("zone", "2")]);
        let failure = driver.create_as(changed, BUDGET).unwrap_err();
        assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
        for part in ["SKU is", "zone is 1, not 2", "exists and is billed"] {
            assert!(failure.message.contains(part), "{part} is not in {failure}");
        }
        assert!(failure.hint.unwrap().contains("az amlfs delete --resource-group MC_hpc_aks_eastus --name pvc-1"));
        assert_eq!((azure.billed().len(), azure.made(NAME)), (1, 1));
    }
}

/// An Azure Policy replaced the tags after our PUT: this process knows better.
#[test]
fn tags_that_were_changed_after_our_own_put_are_not_final() {
    let azure = Azure::new();
    let driver = azure.healthy();
    driver.create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
    azure.place(NAME, &[("cost-centre", "7")], ProvisioningState::Creating, "");
    for _ in 0..3 {
        let failure = driver.create(NAME).unwrap_err();
        assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
        assert!(failure.message.contains("tag") && failure.message.contains("exists and is billed"), "{failure}");
    }
    assert_eq!(azure.healthy().create(NAME).unwrap_err().kind, FailureKind::Conflict, "another process does not know");
}

/// Another resource group or region would make a second file system and orphan the first.
#[test]
fn a_volume_that_was_begun_elsewhere_is_not_begun_again() {
    for (elsewhere, part) in [
        (&[("resource-group", "other")][..], "pvc-1 in resource group MC_hpc_aks_eastus"),
        (&[("location", "westus2"), ("resource-group", "other")], "in eastus"),
    ] {
        for put in
            [Fault::After(CloudErrorKind::Unavailable), Fault::Before(CloudErrorKind::Unavailable), Fault::HangAfter]
        {
            let azure = Azure::new();
            let driver = azure.faulty(put, 4, 1);
            driver.create_as(request(NAME), Some(Duration::from_secs(5))).unwrap_err();
            let failure = driver.create_as(with(elsewhere), BUDGET).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
            assert!(failure.message.contains(part), "{failure}");
            assert!(azure.billed().len() <= 1);
            // As before, it goes on.
            assert!(azure.retried(|| driver.create(NAME), |_| ()).is_some());
            assert_eq!(azure.billed().len(), 1);
            // Also once it is a volume: the answer may have been lost.
            let failure = driver.create_as(with(elsewhere), BUDGET).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
        }
    }
}

#[test]
fn what_was_refused_or_deleted_elsewhere_holds_nothing_up() {
    let azure = Azure::new();
    let driver = azure.faulty(Fault::Before(CloudErrorKind::Denied), 4, 1);
    driver.create(NAME).unwrap_err();
    let other = with(&[("resource-group", "other")]);
    let volume = driver.create_as(other.clone(), BUDGET).unwrap();
    driver.delete(&volume.id.to_string()).unwrap();
    driver.create(NAME).unwrap();
    assert_eq!(azure.billed().len(), 1);
}

/// ARM shows such 404s while regions replicate.
#[test]
fn seen_once_and_absent_is_in_doubt_and_never_final() {
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

/// Somebody followed our hint and deleted the file system by hand, which this process did not see.
#[test]
fn what_was_deleted_by_hand_is_not_said_to_exist_and_is_made_anew() {
    for (mistake, _) in local_mistakes() {
        let azure = Azure::new();
        let driver = azure.healthy();
        driver.create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
        let failure = driver.create_as(mistake.clone(), BUDGET).unwrap_err();
        assert!(failure.message.contains("exists and is billed"), "{failure}");
        azure.remove(NAME);
        let begun = azure.clock.now();
        let mut refusals = Vec::new();
        while azure.clock.now() - begun <= Duration::from_mins(3) {
            let failure = driver.create_as(mistake.clone(), BUDGET).unwrap_err();
            assert!(!failure.kind.is_final(), "once seen and absent later is in doubt: {failure}");
            refusals.push((azure.clock.now() - begun, failure));
            azure.pass(Duration::from_secs(30));
        }
        for (time, failure) in &refusals {
            let says_so = failure.message.contains("exists");
            assert_eq!(says_so, *time < Duration::from_secs(90), "after {time:?}: {failure}");
        }
        let (_, last) = refusals.last().unwrap();
        assert!(last.message.contains("is absent for 3m00s in resource group"), "{last}");
        assert_eq!(last.kind, FailureKind::Unavailable);
        // Corrected, also with other parameters than the first time.
        let corrected = with(&[("sku-name", "AMLFS-Durable-Premium-250"), ("maintenance-day-of-week", "Friday")]);
        driver.create_as(corrected, BUDGET).unwrap();
        assert_eq!((azure.made(NAME), azure.billed().len()), (2, 1));
    }
}

#[test]
fn what_was_deleted_by_hand_elsewhere_is_not_said_to_exist() {
    let azure = Azure::new();
    let driver = azure.healthy();
    driver.create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
    azure.remove(NAME);
    let begun = azure.clock.now();
    while azure.clock.now() - begun <= Duration::from_mins(3) {
        let failure = driver.create_as(with(&[("resource-group", "other")]), BUDGET).unwrap_err();
        assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
        let passed = azure.clock.now() - begun;
        assert_eq!(failure.message.contains("exists"), passed < Duration::from_secs(90), "after {passed:?}: {failure}");
        azure.pass(Duration::from_secs(30));
    }
    assert_eq!(azure.billed(), Vec::<String>::new(), "two could come to exist");
    driver.create(NAME).unwrap();
    assert_eq!(azure.billed().len(), 1);
}

#[test]
fn volumes_of_a_simulated_cloud_say_so_and_those_of_others_never() {
    let azure = Azure::new();
    let parameters = [("mgs-ip-address".to_owned(), "10.0.0.4".to_owned())];
    let on_existing = VolumeRequest { parameters: parameters.into(), ..request("pvc-2") };
    let real: Arc<dyn Cloud> = Arc::new(Real(azure.simulator.cloud()));
    let none = || Faults::none(azure.clock.clone());
    for (driver, expected) in [(azure.healthy(), Some("true")), (azure.driver_over(real, none()), None)] {
        for request in [request(NAME), on_existing.clone()] {
            let volume = driver.create_as(request, BUDGET).unwrap();
            assert_eq!(volume.context.get("simulated").map(String::as_str), expected);
        }
        let asked_for = driver.create_as(with(&[("simulated", "true")]), BUDGET).unwrap_err();
        assert!(asked_for.message.contains("simulated"), "it is no parameter of a class: {asked_for}");
    }
}

#[test]
fn a_file_system_that_was_ready_once_is_never_deleted() {
    for state in [ProvisioningState::Failed, ProvisioningState::Canceled] {
        for address in ["10.0.0.4", "not an address"] {
            let azure = Azure::new();
            azure.place(NAME, &OURS, state.clone(), address);
            let driver = azure.healthy();
            let failure = driver.create(NAME).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Precondition);
            assert!(failure.message.contains("UpdateFailed: said so"), "{failure}");
            assert_eq!(driver.operations(), ["observe"]);
            assert_eq!(azure.billed(), [NAME]);
        }
    }
}

#[test]
fn a_cancelled_creation_is_deleted_and_made_anew() {
    let azure = Azure::new();
    azure.place(NAME, &OURS, ProvisioningState::Canceled, "");
    let driver = azure.healthy();
    assert!(azure.retried(|| driver.create(NAME), |_| ()).is_some());
    assert_eq!((azure.made(NAME), driver.count("begin_delete")), (1, 1));
}

fn failing(times: u32) -> World {
    let code = "CreateTimeout".to_owned();
    let failing = FailingCreation { times, after_seconds: 300, code, message: "took too long".to_owned() };
    World { failing_creations: vec![failing], ..World::default() }
}

/// No call sleeps through the pause: the one that deletes ends once it is gone, those in the pause answer the reason.
#[test]
fn failed_creations_are_deleted_reported_and_made_anew_after_a_pause() {
    let azure = Azure::with(failing(3));
    let driver = azure.healthy();
    let mut failures = Vec::new();
    assert!(azure.retried(|| driver.create(NAME), |failure| failures.push(failure.clone())).is_some());
    assert_eq!(azure.made(NAME), 4);
    let events = azure.simulator.orchestrator().events();
    let warnings = events.into_iter().filter(|event| event.kind == EventKind::Warning);
    let reports: Vec<String> = warnings.map(|event| event.message).collect();
    assert_eq!(reports.len(), 3, "{reports:?}");
    for (number, message) in (1..).zip(&reports) {
        assert!(message.contains(&format!("creation {number} of AMLFS {NAME} failed: CreateTimeout")), "{message}");
    }
    assert!(failures.iter().all(|failure| failure.message.contains("CreateTimeout: took too long")), "{failures:?}");
    assert_eq!(failures[0].kind, FailureKind::InProgress);
    for failure in &failures {
        let expected = [FailureKind::InProgress, FailureKind::Unavailable, FailureKind::Precondition];
        assert!(expected.contains(&failure.kind), "{failure}");
        assert!(failure.message.contains("next try at"), "{failure}");
    }
    let creations: Vec<u64> =
        driver.calls().iter().filter(|made| made.operation == "begin_create").map(|made| made.at.as_secs()).collect();
    let gaps: Vec<u64> = creations.windows(2).map(|pair| (pair[1] - pair[0]) / 60).collect();
    // Five minutes until it fails, five until it is gone, then three, six and ten.
    assert!(gaps[0] >= 13 && gaps[1] >= 16 && gaps[2] >= 20, "{gaps:?}");
}

#[test]
fn in_the_pause_after_a_failed_creation_the_reason_is_final_after_ninety_seconds() {
    for (code, kind) in [("CreateTimeout", FailureKind::Precondition), ("AmlfsQuotaExceeded", FailureKind::Exhausted)] {
        let azure = Azure::new();
        let failing = FailingCreation { times: 1, after_seconds: 1, code: code.to_owned(), message: "no".to_owned() };
        azure.simulator.cloud().edit_world(|world| world.failing_creations = vec![failing]);
        let driver = azure.healthy();
        let deleted = driver.create(NAME).unwrap_err();
        assert_eq!(deleted.kind, FailureKind::InProgress, "{deleted}");
        assert!(deleted.message.contains(code) && deleted.message.contains("was deleted"), "{deleted}");
        let gone = azure.clock.now();
        let (failures, ended) = azure.until_final(|| driver.create(NAME));
        assert_eq!(failures.last().unwrap().kind, kind);
        assert!(failures.iter().all(|failure| failure.message.contains(code)), "{failures:?}");
        assert_eq!((ended - gone).as_secs(), 90);
        assert_eq!((azure.billed().len(), driver.count("begin_create")), (0, 1));
    }
}

/// Answers of a PUT that leave open whether it had its effect.
fn ambiguous() -> impl Iterator<Item = CloudErrorKind> {
    let clear = |kind: &CloudErrorKind| kind.is_refusal() || *kind == CloudErrorKind::Throttled;
    CloudErrorKind::ALL.into_iter().filter(move |kind| !clear(kind))
}

#[test]
fn a_creation_without_an_answer_is_only_repeated_after_two_observations_five_seconds_apart() {
    for kind in ambiguous() {
        let azure = Azure::new();
        let driver = azure.faulty(Fault::Before(kind), 4, 1);
        driver.create(NAME).unwrap();
        let calls = driver.calls();
        let creations: Vec<usize> =
            (0..calls.len()).filter(|index| calls[*index].operation == "begin_create").collect();
        assert_eq!(creations.len(), 2, "{kind:?}");
        let between = &calls[creations[0] + 1..creations[1]];
        let first = between.first().unwrap();
        let last = between.iter().rfind(|made| made.operation == "observe").unwrap();
        assert!(last.at.saturating_sub(first.at).as_secs() >= 5, "{kind:?}: {between:?}");
    }
}

#[test]
fn a_creation_in_doubt_that_arrived_is_not_repeated() {
    for kind in ambiguous() {
        let azure = Azure::new();
        let driver = azure.faulty(Fault::After(kind), 4, 1);
        driver.create(NAME).unwrap();
        let creations = driver.operations().iter().filter(|operation| **operation == "begin_create").count();
        assert_eq!(creations, 1, "{kind:?}");
    }
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
    assert_eq!(
        driver.operations()[before..][..3],
        ["observe", "skus", "subnet_capacity"],
        "12 minutes later it is stale"
    );
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
    let faults = Faults::new(azure.clock.clone(), Box::new(failing_later));
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
