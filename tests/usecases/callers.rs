//! Callers that go away, that share one operation, and the end of the process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use azurelustre_csi::app::usecase::deadline;
use azurelustre_csi::app::usecase::provision::Provision;
use azurelustre_csi::domain::filesystem::ProvisioningState;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::CloudErrorKind;
use azurelustre_csi::ports::inbound::{Caller, CallerGuard, Failure, FailureKind, Provisioning};
use futures_lite::future::zip;

use crate::fakes::faulty::{Fault, Faults};
use crate::world::{Azure, BUDGET, Driver, NAME, OURS, patient, request};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A driver whose caller goes away at cloud call number `at`.
fn left_at(azure: &Azure, at: u32) -> (Driver, Caller) {
    let (caller, guard) = Caller::new(BUDGET);
    let guard: Mutex<Option<CallerGuard>> = Mutex::new(Some(guard));
    let plan = move |call: u32, _: &str| {
        if call >= at {
            drop(guard.lock().unwrap().take());
        }
        None
    };
    (azure.driver(Faults::new(azure.clock.clone(), Box::new(plan))), caller)
}

#[test]
fn nothing_begins_for_a_caller_that_is_gone() {
    for (at, puts) in [(1, 0), (2, 0), (3, 0), (4, 1)] {
        let azure = Azure::new();
        let (driver, caller) = left_at(&azure, at);
        let outcome = azure.clock.run(driver.provision.create(request(NAME), caller));
        assert_eq!(driver.count("begin_create"), puts, "gone at call {at}");
        assert_eq!(azure.billed().len(), puts, "gone at call {at}");
        // What has begun is followed to its end.
        assert_eq!(outcome.is_ok(), puts == 1, "gone at call {at}");
        if let Err(failure) = outcome {
            assert_eq!(failure.kind, FailureKind::InProgress);
        }
    }
}

#[test]
fn a_failed_creation_is_not_deleted_for_a_caller_that_is_gone() {
    let azure = Azure::new();
    azure.place(NAME, &OURS, ProvisioningState::Failed, "");
    let (driver, caller) = left_at(&azure, 1);
    let failure = azure.clock.run(driver.provision.create(request(NAME), caller)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::InProgress);
    assert_eq!((driver.count("begin_delete"), azure.billed().len()), (0, 1));
}

/// The adapter may hold a request back, for a token or its turn: it is not sent once the caller has left.
#[test]
fn a_request_that_is_held_back_is_not_sent_for_a_caller_that_is_gone() {
    for failed in [false, true] {
        let azure = Azure::new();
        if failed {
            azure.place(NAME, &OURS, ProvisioningState::Failed, "");
        }
        let plan = |_: u32, of: &str| of.starts_with("begin_").then_some(Fault::Delay(secs(60)));
        let driver = azure.driver(Faults::new(azure.clock.clone(), Box::new(plan)));
        let (caller, guard) = Caller::new(Some(Duration::from_mins(30)));
        let leave = async {
            azure.clock.sleep(secs(30)).await;
            drop(guard);
        };
        let (outcome, ()) = azure.clock.run(zip(driver.provision.create(request(NAME), caller), leave));
        assert_eq!(outcome.unwrap_err().kind, FailureKind::InProgress);
        assert_eq!(azure.billed().len(), usize::from(failed), "a PUT or DELETE was sent");
    }
}

/// A repeated PUT is a new beginning too.
#[test]
fn a_put_of_unknown_outcome_is_not_repeated_for_a_caller_that_is_gone() {
    let azure = Azure::new();
    let (caller, guard) = Caller::new(BUDGET);
    let guard = Mutex::new(Some(guard));
    let plan = move |call: u32, of: &str| {
        if call > 5 {
            drop(guard.lock().unwrap().take());
        }
        (of == "begin_create").then_some(Fault::Before(CloudErrorKind::Unavailable))
    };
    let driver = azure.driver(Faults::new(azure.clock.clone(), Box::new(plan)));
    azure.clock.run(driver.provision.create(request(NAME), caller)).unwrap_err();
    assert_eq!(driver.count("begin_create"), 1);
}

#[test]
fn a_call_that_saw_deleting_never_creates() {
    let azure = Azure::new();
    let volume = azure.volume().id.to_string();
    let (deleting, creating) = (azure.healthy(), azure.healthy());
    let late = async {
        azure.clock.sleep(secs(30)).await;
        creating.provision.create(request(NAME), patient()).await
    };
    let (deleted, created) = azure.clock.run(zip(deleting.provision.delete(&volume, patient()), late));
    deleted.unwrap();
    let failure = created.unwrap_err();
    assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
    assert_eq!((creating.count("begin_create"), azure.billed().len()), (0, 0));
    creating.create(NAME).unwrap();
    assert_eq!(azure.billed(), [NAME]);
}

/// The sidecar of one replica lost its lease, at any time: its call lives on while the next leader makes the volume, and
/// deletes it again. Afterwards nothing is there.
#[test]
fn a_task_without_callers_creates_nothing() {
    for left in (0..90).map(|step| secs(step * 10)) {
        let azure = Azure::new();
        azure.simulator.cloud().edit_world(|world| world.delete_seconds = 5);
        let (old, new) = (azure.healthy(), azure.healthy());
        let (caller, guard) = Caller::new(Some(Duration::from_mins(30)));
        let next_leader = async {
            azure.clock.sleep(left).await;
            drop(guard);
            let volume = loop {
                match new.provision.create(request(NAME), patient()).await {
                    Ok(volume) => break volume,
                    Err(failure) => assert!(!failure.kind.is_final(), "{failure}"),
                }
                azure.clock.sleep(secs(1)).await;
            };
            while new.provision.delete(&volume.id.to_string(), patient()).await.is_err() {
                azure.clock.sleep(secs(1)).await;
            }
        };
        drop(azure.clock.run(zip(old.provision.create(request(NAME), caller), next_leader)));
        assert_eq!(azure.billed(), Vec::<String>::new(), "left after {left:?}");
    }
}

#[test]
fn each_caller_is_answered_at_its_own_deadline_and_the_work_lives_to_the_latest() {
    let azure = Azure::new();
    let driver = azure.healthy();
    let answered = async |timeout: Option<Duration>| {
        let outcome = driver.provision.create(request(NAME), Caller::staying(timeout)).await;
        (outcome, azure.clock.now())
    };
    let ((short, short_at), (long, _)) =
        azure.clock.run(zip(answered(Some(secs(60))), answered(Some(Duration::from_mins(30)))));
    let failure = short.unwrap_err();
    assert_eq!((failure.kind, short_at), (FailureKind::InProgress, deadline::working_time(Some(secs(60)))));
    assert!(failure.message.contains("is Creating"), "{failure}");
    long.unwrap();
    assert_eq!((driver.count("begin_create"), driver.count("subnet_capacity")), (1, 1));
}

/// A joined caller keeps the work going that the first one has left.
#[test]
fn a_caller_waits_while_any_waits() {
    let azure = Azure::new();
    let driver = azure.driver(Faults::yielding(azure.clock.clone(), 3));
    let (caller, guard) = Caller::new(BUDGET);
    let second = async {
        let joined = driver.provision.create(request(NAME), patient());
        drop(guard);
        joined.await
    };
    let (first, second) = azure.clock.run(zip(driver.provision.create(request(NAME), caller), second));
    assert_eq!(first.unwrap(), second.unwrap());
}

fn ending(azure: &Azure, at: Duration) -> (Provision, Arc<crate::fakes::faulty::FaultyCloud>) {
    ending_with(azure, at, Box::new(|_, _| None))
}

fn ending_with(
    azure: &Azure,
    at: Duration,
    plan: crate::fakes::faulty::FaultPlan<CloudErrorKind>,
) -> (Provision, Arc<crate::fakes::faulty::FaultyCloud>) {
    let faults = Faults::new(azure.clock.clone(), plan);
    let cloud = Arc::new(crate::fakes::faulty::FaultyCloud::new(azure.simulator.cloud(), faults));
    let (clock, simulator) = (azure.clock.clone(), &azure.simulator);
    let provision =
        Provision::new(cloud.clone(), simulator.orchestrator(), clock.clone(), clock.clone(), simulator.defaults());
    (provision.stopping_at(async move { clock.sleep(at).await }), cloud)
}

fn ended_at(azure: &Azure, provision: &Provision) -> (Failure, u64) {
    let failure = azure.clock.run(provision.create(request(NAME), patient())).unwrap_err();
    (failure, azure.clock.now().as_secs())
}

#[test]
fn at_the_end_of_the_process_calls_that_wait_are_answered_at_once() {
    let azure = Azure::new();
    let (provision, _) = ending(&azure, secs(100));
    let (failure, at) = ended_at(&azure, &provision);
    assert_eq!((failure.kind, at), (FailureKind::InProgress, 100), "{failure}");
    assert!(failure.message.contains("is Creating") && failure.message.contains("is ending"), "{failure}");
    let volume = "pvc-1#lustrefs#10.0.0.4##t#MC_hpc_aks_eastus";
    let (provision, _) = ending(&azure, secs(20));
    let failure = azure.clock.run(provision.delete(volume, patient())).unwrap_err();
    assert_eq!((failure.kind, azure.clock.now().as_secs()), (FailureKind::InProgress, 120), "{failure}");
}

#[test]
fn at_the_end_of_the_process_what_was_sent_is_waited_for_and_nothing_begins() {
    let slow = |of: &'static str| move |_: u32, operation: &str| (operation == of).then_some(Fault::Delay(secs(20)));
    let azure = Azure::new();
    let (provision, cloud) = ending_with(&azure, secs(10), Box::new(slow("begin_create")));
    let (failure, at) = ended_at(&azure, &provision);
    assert_eq!((failure.kind, at), (FailureKind::InProgress, 20), "{failure}");
    assert_eq!((cloud.faults.calls().len(), azure.billed().len()), (4, 1));
    for operation in ["observe", "skus", "subnet_capacity"] {
        let azure = Azure::new();
        let (provision, cloud) = ending_with(&azure, secs(10), Box::new(slow(operation)));
        let (failure, at) = ended_at(&azure, &provision);
        assert!(!failure.kind.is_final(), "{failure}");
        assert_eq!((at, azure.billed().len()), (10, 0), "{operation}");
        assert!(cloud.faults.calls().iter().all(|made| made.operation != "begin_create"), "{operation}");
    }
}
