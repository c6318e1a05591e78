//! The five rules of final failures, each with its cases, in ARM's own answers.

use std::time::Duration;

use azurelustre_csi::adapters::simulator::World;
use azurelustre_csi::adapters::simulator::world::FailingCreation;
use azurelustre_csi::domain::filesystem::ProvisioningState;
use azurelustre_csi::ports::inbound::FailureKind;

use crate::fakes::arm::Kind;
use crate::fakes::arm::faults::{HttpFault, Trouble};
use crate::stack::Stack;
use crate::world::{BUDGET, NAME, OURS, request};

/// Rule 1: what can be refused locally is refused before anything is asked.
#[test]
fn local_mistakes_cost_no_request() {
    let stack = Stack::new();
    let mut bad = request(NAME);
    bad.parameters.insert("maintenance-day-of-week".to_owned(), "Someday".to_owned());
    let failure = stack.healthy().create_as(bad, BUDGET).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    let mut negative = request(NAME);
    negative.capacity = (-1, 0);
    assert_eq!(stack.healthy().create_as(negative, BUDGET).unwrap_err().kind, FailureKind::OutOfRange);
    assert_eq!(stack.kinds(), []);
}

/// Rule 2: a look that fails is never final, whatever the answer.
#[test]
fn a_failed_look_is_never_final() {
    let statuses = [400, 401, 402, 403, 404, 405, 407, 409, 410, 412, 418, 451, 500, 501, 505, 599, 300, 302, 304];
    let troubles = statuses.into_iter().flat_map(|status| [Trouble::Status(status), Trouble::Html(status)]);
    let others = [Trouble::Reset, Trouble::TimeOut, Trouble::Truncated, Trouble::Html(200), Trouble::ExpiredToken];
    for trouble in troubles.chain(others) {
        let stack = Stack::new();
        let failure = stack.troubled(Kind::Get, trouble).create(NAME).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable, "{trouble:?}: {failure}");
        assert!(stack.kinds().iter().all(|kind| *kind == Kind::Get), "{trouble:?}: {:?}", stack.kinds());
    }
}

/// Rule 3: after "absent", the steps before the PUT may end the call, each with its code.
#[test]
fn before_the_creation_is_sent_refusals_are_final() {
    for (kind, trouble, expected) in [
        (Kind::Skus, Trouble::Status(403), FailureKind::Denied),
        (Kind::Skus, Trouble::Status(401), FailureKind::Unauthenticated),
        (Kind::Skus, Trouble::Status(500), FailureKind::Unavailable),
        (Kind::Skus, Trouble::Html(403), FailureKind::Unavailable),
        (Kind::Usages, Trouble::Status(404), FailureKind::Precondition),
        (Kind::Usages, Trouble::Status(403), FailureKind::Denied),
        (Kind::Usages, Trouble::Throttled(60), FailureKind::Unavailable),
        (Kind::Size, Trouble::Status(403), FailureKind::Denied),
        (Kind::Size, Trouble::Reset, FailureKind::Unavailable),
    ] {
        let stack = Stack::new();
        let failure = stack.troubled(kind, trouble).create(NAME).unwrap_err();
        assert_eq!(failure.kind, expected, "{kind:?} {trouble:?}: {failure}");
        assert_eq!((stack.puts(), stack.azure.billed()), (0, vec![]), "{kind:?} {trouble:?}");
    }
}

#[test]
fn a_full_or_absent_subnet_and_a_wrong_sku_end_the_call() {
    type Case = (fn(&mut World), FailureKind);
    let cases: [Case; 3] = [
        (|world| world.free_addresses = 3, FailureKind::Exhausted),
        (|world| world.any_subnet_exists = false, FailureKind::Precondition),
        (|world| drop(world.skus.drain(..)), FailureKind::Invalid),
    ];
    for (arrange, expected) in cases {
        let stack = Stack::new();
        stack.azure.simulator.cloud().edit_world(arrange);
        let failure = stack.healthy().create(NAME).unwrap_err();
        assert_eq!(failure.kind, expected, "{failure}");
        assert_eq!((stack.puts(), stack.azure.billed()), (0, vec![]), "{failure}");
    }
}

/// Rule 4: a PUT that ARM refused is final at once, and nothing exists.
#[test]
fn a_refused_creation_is_final_at_once() {
    for (status, expected) in [
        (400, FailureKind::Invalid),
        (401, FailureKind::Unauthenticated),
        (403, FailureKind::Denied),
        (404, FailureKind::Precondition),
    ] {
        let stack = Stack::new();
        let failure = stack.troubled(Kind::Put, Trouble::Status(status)).create(NAME).unwrap_err();
        assert_eq!(failure.kind, expected, "{status}: {failure}");
        assert_eq!(stack.azure.billed(), Vec::<String>::new());
        // Only a token that was not accepted is replaced and tried once more.
        assert_eq!(stack.puts(), if status == 401 { 2 } else { 1 }, "{status}");
    }
}

#[test]
fn quota_and_an_absent_group_are_told_with_what_to_do() {
    let quota = Stack::new();
    quota.azure.simulator.cloud().edit_world(|world| world.quota = 0);
    let failure = quota.healthy().create(NAME).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Exhausted);
    assert!(failure.message.contains("OperationNotAllowed") && failure.hint.is_some(), "{failure}");

    let group = Stack::new();
    group.azure.simulator.cloud().edit_world(|world| world.resource_groups = Some(vec!["other".to_owned()]));
    let failure = group.healthy().create(NAME).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Precondition);
    assert!(failure.hint.as_deref().unwrap_or_default().contains("resource-group-name"), "{failure:?}");
    assert_eq!(group.azure.billed(), Vec::<String>::new());
}

/// A proxy's page with the status of a refusal proves nothing.
#[test]
fn an_answer_that_is_not_arms_is_no_refusal() {
    for status in [400, 401, 403, 404, 409] {
        let stack = Stack::new();
        let fault = HttpFault { trouble: Trouble::Html(status), after: true };
        let put = stack.process(Box::new(move |_, kind| (kind == Kind::Put).then_some(fault)));
        put.driver.create(NAME).unwrap();
        assert_eq!((stack.puts(), stack.azure.made(NAME)), (1, 1), "{status}");
    }
}

/// A PUT in doubt is sent again only after two looks, five seconds apart, found nothing; with the same body.
#[test]
fn a_put_in_doubt_is_repeated_after_two_looks() {
    let stack = Stack::new();
    let lost = HttpFault { trouble: Trouble::Reset, after: false };
    let first = std::sync::atomic::AtomicBool::new(true);
    let plan = move |_: usize, kind: Kind| {
        (kind == Kind::Put && first.swap(false, std::sync::atomic::Ordering::Relaxed)).then_some(lost)
    };
    stack.process(Box::new(plan)).driver.create(NAME).unwrap();
    let received = stack.stub.received();
    let puts: Vec<usize> = (0..received.len()).filter(|at| received[*at].kind == Kind::Put).collect();
    let [one, two] = puts[..] else { panic!("{puts:?}") };
    let looks: Vec<Duration> = received[one..two].iter().filter(|r| r.kind == Kind::Get).map(|r| r.at).collect();
    assert!(looks.len() == 2 && looks[1] - looks[0] >= Duration::from_secs(5), "{looks:?}");
    assert_eq!(received[one].request.body, received[two].request.body);
    assert_eq!(stack.azure.made(NAME), 1);
}

/// Rule 5: once present, only a conflict or a once-ready failure is final.
#[test]
fn once_ready_and_failed_is_told_and_never_deleted() {
    let stack = Stack::new();
    stack.azure.place(NAME, &OURS, ProvisioningState::Failed, "10.0.0.4");
    let failure = stack.healthy().create(NAME).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Precondition);
    assert!(!stack.kinds().contains(&Kind::Delete));
}

/// Each code that an operation is known to fail with: told to the claim, deleted, made anew, ready.
#[test]
fn a_failed_creation_is_told_with_its_code_and_made_anew() {
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
        let volume = (0..20).find_map(|_| driver.create(NAME).ok());
        assert!(volume.is_some(), "{code}");
        assert_eq!(stack.azure.made(NAME), 2, "{code}");
        let told = stack.azure.simulator.orchestrator().events();
        let words: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.iter().any(|event| event.message.contains(&format!("{code}: {words}"))), "{code}: {told:?}");
        assert_eq!(stack.stub.counts()[&Kind::Operation], 1, "{code}: the reason is asked for once");
    }
}

/// Without the operation's URL (after a restart) the creation is still deleted and made anew.
#[test]
fn a_failure_without_a_reason_is_mended_too() {
    let stack = Stack::new();
    stack.azure.place(NAME, &OURS, ProvisioningState::Failed, "");
    let driver = stack.healthy();
    assert!((0..20).any(|_| driver.create(NAME).is_ok()), "{:?}", stack.states());
    assert_eq!(stack.azure.made(NAME), 1);
}
