//! One operation a key, one end for all who wait, nothing begun for nobody, late failures heard once.

use futures_lite::future::zip;

use super::*;
use crate::domain::mount_options::MountOptions;

const LONG: Duration = Duration::from_mins(1);

fn key() -> Key {
    Key::Target("/target".into())
}

fn mount(volume: &str) -> What {
    let plan = MountPlan {
        volume_id: volume.to_owned(),
        source: MountSource::parse("10.0.0.4:/lustrefs").unwrap(),
        target: "/target".into(),
        options: MountOptions::default(),
        exclusive: false,
    };
    What::Mount { plan: Arc::new(plan), abandoned: false }
}

fn begun(registry: &Arc<Registry>) -> (Ticket, Waiter) {
    let (start, waiter) = start();
    (registry.begin(key(), mount("v"), start).unwrap(), waiter)
}

async fn met(registry: &Arc<Registry>) -> Met {
    let (start, mut waiter) = start();
    assert!(registry.begin(key(), mount("v"), start).is_none());
    let Some(Signal::Met(met)) = waiter.wait(LONG).await else { panic!("there is one already") };
    met
}

fn failed() -> MountError {
    MountError::new(MountErrorKind::Unreachable, "mount", "/target", "said no")
}

async fn ended(mut waiter: Waiter) -> Reply {
    let Some(Signal::Ended(reply)) = waiter.wait(LONG).await else { panic!("it does not end") };
    reply
}

#[tokio::test]
async fn all_who_met_an_operation_hear_its_one_end() {
    let registry = Arc::<Registry>::default();
    let (ticket, waiter) = begun(&registry);
    let mut met = met(&registry).await;
    assert!(met.waiter.wait(Duration::ZERO).await.is_none() && registry.list().len() == 1);
    assert!(ticket.finish(Ok(Answer::Done)));
    let (one, other) = zip(ended(waiter), ended(met.waiter)).await;
    assert!(matches!((one, other), (Ok(Answer::Done), Ok(Answer::Done))));
    assert!(registry.list().is_empty());
    begun(&registry);
}

#[tokio::test]
async fn a_lost_operation_is_reported_and_frees_its_key() {
    let registry = Arc::<Registry>::default();
    let (ticket, waiter) = begun(&registry);
    drop(ticket);
    assert_eq!(ended(waiter).await.unwrap_err().kind, MountErrorKind::Unknown);
    begun(&registry);
    let (never_used, waiter) = start();
    drop(never_used);
    assert_eq!(ended(waiter).await.unwrap_err().kind, MountErrorKind::Unknown);
}

#[test]
fn an_operation_that_nobody_waits_for_does_not_begin() {
    let registry = Arc::<Registry>::default();
    let (given_up, waiter) = start();
    drop(waiter);
    assert!(registry.begin(key(), mount("v"), given_up).is_none() && registry.list().is_empty());
    let (ticket, waiter) = begun(&registry);
    drop(waiter);
    assert!(registry.list().len() == 1 && !ticket.is_waited_for(), "what has begun goes on");
}

#[test]
fn an_abandoned_mount_does_not_end_as_a_success() {
    let registry = Arc::<Registry>::default();
    let (ticket, _waiter) = begun(&registry);
    let abandon = |what: &mut What| {
        if let What::Mount { abandoned, .. } = what {
            *abandoned = true;
        }
    };
    assert!(registry.update(&key(), abandon).is_some());
    let ticket = ticket.finish_unless_abandoned(Ok(Answer::Done)).unwrap_err();
    assert!(ticket.finish(Err(failed())));
    assert!(registry.update(&key(), abandon).is_none(), "it has ended");
}

#[tokio::test]
async fn a_failure_that_nobody_heard_is_given_once_to_the_same_plan() {
    let registry = Arc::<Registry>::default();
    for (volume, given) in [("v", true), ("other", false)] {
        let (ticket, waiter) = begun(&registry);
        drop(waiter);
        assert!(!ticket.finish(Err(failed())));
        let (start, waiter) = start();
        match registry.begin(key(), mount(volume), start) {
            None => assert!(given && ended(waiter).await.unwrap_err().to_string() == failed().to_string()),
            Some(_) => assert!(!given, "{volume}"),
        }
        begun(&registry);
    }
}
