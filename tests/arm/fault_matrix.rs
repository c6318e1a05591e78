//! Every fault on every request of a creation and a deletion, once and for longer than the adapter retries.

use std::time::Duration;

use azurelustre_csi::adapters::simulator::World;
use azurelustre_csi::ports::inbound::Failure;

use crate::fakes::arm::Kind;
use crate::fakes::arm::faults::{FaultKind, HttpFault};
use crate::stack::Stack;
use crate::world::{Driver, NAME};

/// What may happen to a request: before the server acted on it, and after, where that is possible.
fn faults() -> Vec<HttpFault> {
    let either = [
        FaultKind::Status(500),
        FaultKind::Status(502),
        FaultKind::Status(503),
        FaultKind::Status(504),
        FaultKind::Status(408),
        FaultKind::Throttled(7),
        FaultKind::Throttled(3600),
        FaultKind::Reset,
        FaultKind::TimeOut,
        FaultKind::Truncated,
        FaultKind::Html(200),
        FaultKind::Html(403),
        FaultKind::Html(404),
        FaultKind::Html(502),
    ];
    let before = [FaultKind::Busy, FaultKind::ExpiredToken];
    let both = |fault_kind| [false, true].map(|after| HttpFault { fault_kind, after });
    let refused = before.map(|fault_kind| HttpFault { fault_kind, after: false });
    either.into_iter().flat_map(both).chain(refused).collect()
}

/// Azure in a hurry: fewer polls for each of many cases.
fn quick() -> Stack {
    Stack::with(World { create_seconds: 20, delete_seconds: 10, ..World::default() }, |stub| stub)
}

/// Requests of a creation that meets no fault.
fn undisturbed() -> Vec<Kind> {
    let stack = quick();
    stack.healthy().create(NAME).unwrap();
    stack.kinds()
}

/// After a final failure a deleted claim is forgotten: nothing may exist, now or later.
fn leaks_nothing(stack: &Stack, failure: &Failure, case: &str) {
    let none = Vec::<String>::new();
    assert_eq!(stack.azure.billed(), none, "{case}: leaked after {:?}: {failure}", failure.kind);
    stack.azure.pass(Duration::from_mins(20));
    assert_eq!(stack.azure.billed(), none, "{case}: leaked late after {:?}: {failure}", failure.kind);
}

fn converges(stack: &Stack, driver: &Driver, case: &str) {
    let volume = stack.azure.retried(
        || driver.create(NAME),
        |failure| {
            if failure.kind.is_final() {
                leaks_nothing(stack, failure, case);
            }
            assert!(!failure.message.is_empty(), "{case}");
        },
    );
    let volume = volume.unwrap_or_else(|| panic!("{case}: never ready"));
    assert_eq!(stack.azure.billed(), [NAME], "{case}");
    assert_eq!(stack.azure.made(NAME), 1, "{case}: creations accepted");
    assert!(!stack.kinds().contains(&Kind::Delete), "{case}: something was deleted");
    assert_eq!(driver.create(NAME).unwrap(), volume, "{case}: not the same volume again");
    let deleted = stack.azure.retried(|| driver.delete(&volume.id.to_string()), |_| ());
    assert!(deleted.is_some(), "{case}: never deleted");
    assert_eq!(stack.azure.billed(), Vec::<String>::new(), "{case}: not deleted");
}

#[test]
fn a_fault_on_every_request_ends_with_one_file_system() {
    let requests = undisturbed().len();
    // Once, for longer than one call retries a read, and for a long time.
    for times in [1, 4, 40] {
        for fault in faults() {
            for first in 1..=requests {
                let stack = quick();
                let driver = stack.faulty(fault, first, times);
                converges(&stack, &driver, &format!("{fault:?} on request {first}, {times} times"));
                assert!(stack.kinds().len() >= first, "the fault never came");
            }
        }
    }
}

#[test]
fn a_fault_on_every_request_of_a_deletion_ends_with_nothing() {
    for times in [1, 4, 40] {
        for fault in faults() {
            for first in 1..=4 {
                let stack = quick();
                let volume = stack.healthy().create(NAME).unwrap();
                let driver = stack.faulty(fault, first, times);
                let case = format!("{fault:?} on request {first}, {times} times");
                let deleted = stack.azure.retried(|| driver.delete(&volume.id.to_string()), |_| ());
                assert!(deleted.is_some(), "{case}: never deleted");
                assert_eq!(stack.azure.billed(), Vec::<String>::new(), "{case}");
            }
        }
    }
}
