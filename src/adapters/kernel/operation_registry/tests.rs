//! One operation per key, one end for every waiter, no beginning without a caller, unreported errors returned once.

use futures_lite::future::zip;

use super::*;
use crate::domain::mount_options::MountOptions;

const LONG: Duration = Duration::from_mins(1);

fn key() -> OperationKey {
    OperationKey::Target("/target".into())
}

fn mount(volume: &str) -> TargetOperation {
    let plan = MountPlan {
        volume_id: volume.to_owned(),
        source: MountSource::parse("10.0.0.4:/lustrefs").unwrap(),
        target: "/target".into(),
        options: MountOptions::default(),
        exclusive: false,
    };
    TargetOperation::Mount { plan: Arc::new(plan), abandoned: false }
}

fn begun(registry: &Arc<OperationRegistry>) -> (OperationGuard, OperationWaiter) {
    let (operation, waiter) = pending();
    (registry.begin(key(), mount("v"), operation).unwrap(), waiter)
}

async fn conflict(registry: &Arc<OperationRegistry>) -> RunningOperation {
    let (operation, mut waiter) = pending();
    assert!(registry.begin(key(), mount("v"), operation).is_none());
    let Some(OperationEvent::Conflict(conflict)) = waiter.wait(LONG).await else { panic!("there is one already") };
    conflict
}

fn failed() -> MountError {
    MountError::new(MountErrorKind::Unreachable, "mount", "/target", "refused")
}

async fn ended(mut waiter: OperationWaiter) -> OperationResult {
    let Some(OperationEvent::Ended(result)) = waiter.wait(LONG).await else { panic!("it does not end") };
    result
}

#[tokio::test]
async fn every_caller_with_the_same_key_gets_the_same_end() {
    let registry = Arc::<OperationRegistry>::default();
    let (guard, waiter) = begun(&registry);
    let mut conflict = conflict(&registry).await;
    assert!(conflict.waiter.wait(Duration::ZERO).await.is_none() && registry.list().len() == 1);
    assert!(guard.end(Ok(OperationOutput::Done)));
    let (one, other) = zip(ended(waiter), ended(conflict.waiter)).await;
    assert!(matches!((one, other), (Ok(OperationOutput::Done), Ok(OperationOutput::Done))));
    assert!(registry.list().is_empty());
    begun(&registry);
}

#[tokio::test]
async fn a_lost_operation_is_reported_and_frees_its_key() {
    let registry = Arc::<OperationRegistry>::default();
    let (guard, waiter) = begun(&registry);
    drop(guard);
    assert_eq!(ended(waiter).await.unwrap_err().kind, MountErrorKind::Unknown);
    begun(&registry);
    let (never_used, waiter) = pending();
    drop(never_used);
    assert_eq!(ended(waiter).await.unwrap_err().kind, MountErrorKind::Unknown);
}

#[test]
fn an_operation_without_a_waiting_caller_does_not_begin() {
    let registry = Arc::<OperationRegistry>::default();
    let (left, waiter) = pending();
    drop(waiter);
    assert!(registry.begin(key(), mount("v"), left).is_none() && registry.list().is_empty());
    let (guard, waiter) = begun(&registry);
    drop(waiter);
    assert!(registry.list().len() == 1 && !guard.is_waited_for(), "what has begun is continued");
}

#[test]
fn an_abandoned_mount_does_not_end_as_a_success() {
    let registry = Arc::<OperationRegistry>::default();
    let (guard, _waiter) = begun(&registry);
    assert!(registry.update(&key(), TargetOperation::abandon).is_some());
    let guard = guard.end_unless_abandoned(Ok(OperationOutput::Done)).unwrap_err();
    assert!(guard.end(Err(failed())));
    assert!(registry.update(&key(), TargetOperation::abandon).is_none(), "it has ended");
}

#[tokio::test]
async fn an_unreported_error_is_returned_once_to_the_same_plan() {
    let registry = Arc::<OperationRegistry>::default();
    for (volume, given) in [("v", true), ("other", false)] {
        let (guard, waiter) = begun(&registry);
        drop(waiter);
        assert!(!guard.end(Err(failed())));
        let (operation, waiter) = pending();
        match registry.begin(key(), mount(volume), operation) {
            None => assert!(given && ended(waiter).await.unwrap_err().to_string() == failed().to_string()),
            Some(_) => assert!(!given, "{volume}"),
        }
        begun(&registry);
    }
}
