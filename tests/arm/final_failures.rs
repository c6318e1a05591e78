//! Which failures are final: each rule with its cases, in ARM's own responses.

use std::time::Duration;

use azurelustre_csi::adapters::simulator::World;
use azurelustre_csi::adapters::simulator::world::FailingCreation;
use azurelustre_csi::domain::capacity::RequestedCapacity;
use azurelustre_csi::domain::filesystem::ProvisioningState;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::inbound::{Failure, FailureKind};

use crate::fakes::arm::Kind;
use crate::fakes::arm::faults::{FaultKind, HttpFault};
use crate::stack::Stack;
use crate::world::{BUDGET, Driver, NAME, OURS, request};

/// Rule 1: what can be refused locally costs at most one observation, which must find nothing.
#[test]
fn local_mistakes_cost_one_observation() {
    let mut bad = request(NAME);
    bad.parameters.insert("maintenance-day-of-week".to_owned(), "Someday".to_owned());
    let mut negative = request(NAME);
    negative.capacity = RequestedCapacity::at_least(-1);
    for (request, kind) in [(bad, FailureKind::Invalid), (negative, FailureKind::OutOfRange)] {
        let stack = Stack::new();
        assert_eq!(stack.healthy().create_as(request, BUDGET).unwrap_err().kind, kind);
        assert_eq!(stack.kinds(), [Kind::Get]);
    }
}

/// Rule 2: an observation that fails is never final, whatever the response.
#[test]
fn a_failed_observation_is_never_final() {
    let statuses = [400, 401, 402, 403, 404, 405, 407, 409, 410, 412, 418, 451, 500, 501, 505, 599, 300, 302, 304];
    let faults = statuses.into_iter().flat_map(|status| [FaultKind::Status(status), FaultKind::Html(status)]);
    let others =
        [FaultKind::Reset, FaultKind::TimeOut, FaultKind::Truncated, FaultKind::Html(200), FaultKind::ExpiredToken];
    for fault_kind in faults.chain(others) {
        let stack = Stack::new();
        let failure = stack.failing(Kind::Get, fault_kind).create(NAME).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable, "{fault_kind:?}: {failure}");
        assert!(stack.kinds().iter().all(|kind| *kind == Kind::Get), "{fault_kind:?}: {:?}", stack.kinds());
    }
}

/// A failure that is reported as "may exist" until nothing was found for this many seconds, and as final then.
fn final_after(stack: &Stack, driver: &Driver, seconds: u64) -> Failure {
    let begun = stack.azure.clock.now();
    let (mut failures, ended) = stack.azure.until_final(|| driver.create(NAME));
    let last = failures.pop().unwrap();
    assert!(failures.iter().all(|failure| failure.kind == FailureKind::Unavailable), "{failures:?}");
    assert_eq!((ended - begun).as_secs(), seconds, "{last}");
    assert_eq!(stack.azure.billed(), Vec::<String>::new(), "{last}");
    last
}

/// Rule 3: after "absent", the steps before the PUT may end the call, each with its code, once that was seen long enough.
#[test]
fn before_the_creation_is_sent_refusals_are_final_in_their_time() {
    for (kind, fault_kind, expected, seconds) in [
        (Kind::Skus, FaultKind::Status(403), FailureKind::Denied, 90),
        (Kind::Skus, FaultKind::Status(401), FailureKind::Unauthenticated, 90),
        (Kind::Usages, FaultKind::Status(404), FailureKind::Precondition, 5),
        (Kind::Usages, FaultKind::Status(403), FailureKind::Denied, 90),
        (Kind::Size, FaultKind::Status(403), FailureKind::Denied, 90),
    ] {
        let stack = Stack::new();
        let failure = final_after(&stack, &stack.failing(kind, fault_kind), seconds);
        assert_eq!(failure.kind, expected, "{kind:?} {fault_kind:?}: {failure}");
        assert_eq!(stack.puts(), 0, "{kind:?} {fault_kind:?}");
    }
    for (kind, fault_kind) in [
        (Kind::Skus, FaultKind::Status(500)),
        (Kind::Skus, FaultKind::Html(403)),
        (Kind::Usages, FaultKind::Throttled(60)),
        (Kind::Size, FaultKind::Reset),
    ] {
        let stack = Stack::new();
        let driver = stack.failing(kind, fault_kind);
        for _ in 0..10 {
            let failure = driver.create(NAME).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Unavailable, "{kind:?} {fault_kind:?}: {failure}");
            stack.azure.pass(Duration::from_secs(30));
        }
        assert_eq!((stack.puts(), stack.azure.billed()), (0, vec![]), "{kind:?} {fault_kind:?}");
    }
}

#[test]
fn a_full_or_absent_subnet_and_a_wrong_sku_end_the_call() {
    type Case = (fn(&mut World), FailureKind, u64);
    let cases: [Case; 3] = [
        (|world| world.free_addresses = 3, FailureKind::Exhausted, 90),
        (|world| world.any_subnet_exists = false, FailureKind::Precondition, 5),
        (|world| drop(world.skus.drain(..)), FailureKind::Invalid, 5),
    ];
    for (arrange, expected, seconds) in cases {
        let stack = Stack::new();
        stack.azure.simulator.cloud().edit_world(arrange);
        let failure = final_after(&stack, &stack.healthy(), seconds);
        assert_eq!((failure.kind, stack.puts()), (expected, 0), "{failure}");
    }
}

/// Rule 4: a PUT that ARM refused is final once nothing was found for ninety seconds, and repeated after a pause only.
#[test]
fn a_refused_creation_is_final_in_its_time() {
    for (status, expected) in [
        (400, FailureKind::Invalid),
        (401, FailureKind::Unauthenticated),
        (403, FailureKind::Denied),
        (404, FailureKind::Precondition),
    ] {
        let stack = Stack::new();
        let failure = final_after(&stack, &stack.failing(Kind::Put, FaultKind::Status(status)), 90);
        assert_eq!(failure.kind, expected, "{status}: {failure}");
        // Only a token that was not accepted is replaced and tried once more.
        assert_eq!(stack.puts(), if status == 401 { 4 } else { 2 }, "{status}");
    }
}

#[test]
fn quota_and_an_absent_group_are_reported_with_what_to_do() {
    let quota = Stack::new();
    quota.azure.simulator.cloud().edit_world(|world| world.quota = 0);
    let failure = final_after(&quota, &quota.healthy(), 90);
    assert_eq!(failure.kind, FailureKind::Exhausted);
    assert!(failure.message.contains("OperationNotAllowed") && failure.hint.is_some(), "{failure}");

    let group = Stack::new();
    group.azure.simulator.cloud().edit_world(|world| world.resource_groups = Some(vec!["other".to_owned()]));
    let failure = final_after(&group, &group.healthy(), 90);
    assert_eq!(failure.kind, FailureKind::Precondition);
    assert!(failure.hint.as_deref().unwrap_or_default().contains("resource-group-name"), "{failure:?}");
}

/// A proxy's page with the status of a refusal proves nothing.
#[test]
fn a_response_that_is_not_arms_is_no_refusal() {
    for status in [400, 401, 403, 404, 409] {
        let stack = Stack::new();
        let fault = HttpFault { fault_kind: FaultKind::Html(status), after: true };
        let put = stack.process(Box::new(move |_, kind| (kind == Kind::Put).then_some(fault)));
        put.driver.create(NAME).unwrap();
        assert_eq!((stack.puts(), stack.azure.made(NAME)), (1, 1), "{status}");
    }
}

/// A PUT in doubt is sent again only after two observations, five seconds apart, found nothing; with the same body.
#[test]
fn a_put_of_unknown_outcome_is_repeated_after_two_observations() {
    let stack = Stack::new();
    let lost = HttpFault { fault_kind: FaultKind::Reset, after: false };
    let first = std::sync::atomic::AtomicBool::new(true);
    let plan = move |_: usize, kind: Kind| {
        (kind == Kind::Put && first.swap(false, std::sync::atomic::Ordering::Relaxed)).then_some(lost)
    };
    stack.process(Box::new(plan)).driver.create(NAME).unwrap();
    let received = stack.stub.received();
    let puts: Vec<usize> = (0..received.len()).filter(|at| received[*at].kind == Kind::Put).collect();
    let [one, two] = puts[..] else { panic!("{puts:?}") };
    let observations: Vec<Duration> = received[one..two].iter().filter(|r| r.kind == Kind::Get).map(|r| r.at).collect();
    assert!(observations.len() == 2 && observations[1] - observations[0] >= Duration::from_secs(5), "{observations:?}");
    assert_eq!(received[one].request.body, received[two].request.body);
    assert_eq!(stack.azure.made(NAME), 1);
}

/// Rule 5: once present, only a conflict or a once-ready failure is final.
#[test]
fn once_ready_and_failed_is_reported_and_never_deleted() {
    let stack = Stack::new();
    stack.azure.place(NAME, &OURS, ProvisioningState::Failed, "10.0.0.4");
    let failure = stack.healthy().create(NAME).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Precondition);
    assert!(!stack.kinds().contains(&Kind::Delete));
}

/// Each code that an operation is known to fail with: reported on the claim, deleted, made anew, ready.
#[test]
fn a_failed_creation_is_reported_with_its_code_and_made_anew() {
    for (code, message) in [
        ("AscInternalError", "Error encountered deploying the cache."),
        (
            "CreateTimeout",
            "Amlfilesystem creation did not complete because an operation timed out.  Delete this amlfilesystem and try again.",
        ),
        ("InternalExecutionError", "An internal execution error occurred. Please retry later."),
        ("DeploymentFailed", "said so"),
    ] {
        let failing =
            FailingCreation { times: 1, after_seconds: 60, code: code.to_owned(), message: message.to_owned() };
        let stack = Stack::with(World { failing_creations: vec![failing], ..World::default() }, |stub| stub);
        let driver = stack.healthy();
        let volume = stack.azure.retried(|| driver.create(NAME), |_| ());
        assert!(volume.is_some(), "{code}");
        assert_eq!(stack.azure.made(NAME), 2, "{code}");
        let events = stack.azure.simulator.orchestrator().events();
        let words: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(events.iter().any(|event| event.message.contains(&format!("{code}: {words}"))), "{code}: {events:?}");
        assert_eq!(stack.stub.counts()[&Kind::Operation], 1, "{code}: the reason is asked for once");
    }
}

/// Without the operation's URL (after a restart) the creation is still deleted and made anew.
#[test]
fn a_failed_creation_without_a_known_error_is_made_anew() {
    let stack = Stack::new();
    stack.azure.place(NAME, &OURS, ProvisioningState::Failed, "");
    let driver = stack.healthy();
    assert!(stack.azure.retried(|| driver.create(NAME), |_| ()).is_some(), "{:?}", stack.states());
    assert_eq!(stack.azure.made(NAME), 1);
}

/// A call reports the last error at its deadline, not only that it waits.
#[test]
fn the_last_error_is_reported_at_the_deadline() {
    let stack = Stack::new();
    let failure = stack.failing(Kind::Put, FaultKind::Busy).create(NAME).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("AnotherOperationInProgress"), "{failure}");

    let stack = Stack::new();
    let volume = stack.azure.volume().id.to_string();
    let failure = stack.failing(Kind::Delete, FaultKind::Busy).delete(&volume).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("AnotherOperationInProgress"), "{failure}");

    // A transient error that is over is not reported.
    let stack = Stack::new();
    stack.azure.simulator.cloud().edit_world(|world| world.create_seconds = 3600);
    let lost = std::sync::atomic::AtomicBool::new(true);
    let plan = move |_: usize, kind: Kind| {
        let first = kind == Kind::Put && lost.swap(false, std::sync::atomic::Ordering::Relaxed);
        first.then_some(HttpFault { fault_kind: FaultKind::Reset, after: true })
    };
    let process = stack.process(Box::new(plan));
    let failure = process.driver.create_as(request(NAME), BUDGET).unwrap_err();
    assert!(failure.message.contains("is Creating") && !failure.message.contains("last answer"), "{failure}");
}
