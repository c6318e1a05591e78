//! Two replicas of the controller on one ARM: the lease changes hands at every request of a creation and of a deletion,
//! and claims are deleted meanwhile. There is one file system or none, and never one that nobody knows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azurelustre_csi::adapters::simulator::World;
use azurelustre_csi::adapters::simulator::world::FailingCreation;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::inbound::{Caller, CallerGuard, Provisioning};
use futures_lite::future::zip;

use crate::fakes::arm::Kind;
use crate::fakes::arm::faults::{FaultKind, HttpFault};
use crate::stack::{Process, Stack};
use crate::world::{NAME, patient, request};

/// The sidecar of a replica: it loses its lease at a request of its driver, before the server acted on it.
struct Sidecar {
    process: Process,
    caller: Caller,
    lost: Arc<AtomicUsize>,
}

impl Sidecar {
    /// Loses its lease at request number `at`; that request meets `fault`, if any.
    fn new(stack: &Stack, at: usize, fault_kind: Option<HttpFault>) -> Self {
        let (caller, guard) = Caller::new(Some(Duration::from_mins(30)));
        let guard: Mutex<Option<CallerGuard>> = Mutex::new(Some(guard));
        let lost = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&lost);
        let plan = move |number: usize, _: Kind| {
            if number < at {
                return None;
            }
            if let Some(guard) = guard.lock().unwrap().take() {
                drop(guard);
                seen.store(number, Ordering::Relaxed);
            }
            fault_kind.filter(|_| number == at)
        };
        Self { process: stack.process(Box::new(plan)), caller, lost }
    }

    /// Waits until the lease is lost, or the call is over.
    async fn loses(&self, stack: &Stack, over: &AtomicUsize) {
        while self.lost.load(Ordering::Relaxed) == 0 && over.load(Ordering::Relaxed) == 0 {
            stack.azure.clock.sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The next leader as external-provisioner is: it repeats until success, or until a final failure after the claim was
/// deleted, when it forgets the volume.
async fn provisions(stack: &Stack, process: &Process, claim_deleted: bool) -> Option<String> {
    let mut pause = Duration::from_secs(1);
    loop {
        match process.driver.provision.create(request(NAME), patient()).await {
            Ok(volume) => return Some(volume.id.to_string()),
            Err(failure) if failure.kind.is_final() && claim_deleted => return None,
            Err(_) => {}
        }
        stack.azure.clock.sleep(pause).await;
        pause = (pause * 2).min(Duration::from_mins(5));
    }
}

async fn deletes(stack: &Stack, process: &Process, volume: &str) {
    let mut pause = Duration::from_secs(1);
    while process.driver.provision.delete(volume, patient()).await.is_err() {
        stack.azure.clock.sleep(pause).await;
        pause = (pause * 2).min(Duration::from_mins(5));
    }
}

/// Worlds in which a creation goes well, fails once in Azure, or finds no room.
fn worlds() -> [World; 3] {
    let quick = World { create_seconds: 20, delete_seconds: 4, ..World::default() };
    let failing =
        FailingCreation { times: 1, after_seconds: 10, code: "CreateTimeout".to_owned(), message: "slow".to_owned() };
    [quick.clone(), World { failing_creations: vec![failing], ..quick.clone() }, World { free_addresses: 8, ..quick }]
}

fn faults() -> [Option<HttpFault>; 4] {
    let fault = |fault_kind, after| Some(HttpFault { fault_kind, after });
    [None, fault(FaultKind::Reset, true), fault(FaultKind::TimeOut, false), fault(FaultKind::Absent, false)]
}

fn requests_of_a_creation() -> usize {
    let [quick, ..] = worlds();
    let stack = Stack::with(quick, |stub| stub);
    stack.healthy().create(NAME).unwrap();
    stack.kinds().len()
}

#[test]
fn a_lease_that_changes_hands_at_any_request_of_a_creation_leaves_nothing_unknown() {
    for world in worlds() {
        for fault_kind in faults() {
            for at in 1..=requests_of_a_creation() + 2 {
                for claim_deleted in [false, true] {
                    let case = format!("at request {at}, {fault_kind:?}, claim deleted: {claim_deleted}");
                    let stack = Stack::with(world.clone(), |stub| stub);
                    let (old, new) = (Sidecar::new(&stack, at, fault_kind), stack.process(Box::new(|_, _| None)));
                    let over = AtomicUsize::new(0);
                    let first = async {
                        drop(old.process.driver.provision.create(request(NAME), old.caller.clone()).await);
                        over.store(1, Ordering::Relaxed);
                    };
                    let second = async {
                        old.loses(&stack, &over).await;
                        let volume = provisions(&stack, &new, claim_deleted).await;
                        if claim_deleted && let Some(volume) = &volume {
                            deletes(&stack, &new, volume).await;
                        }
                        volume
                    };
                    let ((), volume) = stack.azure.clock.run(zip(first, second));
                    // Whatever is still on its way arrives.
                    stack.azure.pass(Duration::from_hours(1));
                    let expected = usize::from(!claim_deleted);
                    assert_eq!(stack.azure.billed().len(), expected, "{case}: {:?}", stack.states());
                    assert!(volume.is_some() || claim_deleted, "{case}");
                }
            }
        }
    }
}

#[test]
fn a_lease_that_changes_hands_at_any_request_of_a_deletion_leaves_nothing() {
    for fault_kind in faults() {
        for at in 1..=4 {
            let [quick, ..] = worlds();
            let stack = Stack::with(quick, |stub| stub);
            let volume = stack.healthy().create(NAME).unwrap().id.to_string();
            let (old, new) = (Sidecar::new(&stack, at, fault_kind), stack.process(Box::new(|_, _| None)));
            let over = AtomicUsize::new(0);
            let first = async {
                drop(old.process.driver.provision.delete(&volume, old.caller.clone()).await);
                over.store(1, Ordering::Relaxed);
            };
            let second = async {
                old.loses(&stack, &over).await;
                deletes(&stack, &new, &volume).await;
            };
            stack.azure.clock.run(zip(first, second));
            stack.azure.pass(Duration::from_hours(1));
            assert_eq!(stack.azure.billed(), Vec::<String>::new(), "at request {at}, {fault_kind:?}");
        }
    }
}
