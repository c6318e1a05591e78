//! Events on claims under fire: nothing waits for them, and the background writes them when they are due.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::app::usecase::claim_events::ClaimEvents;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::orchestrator::{ClaimEvent, EventKind, Orchestrator, OrchestratorError};
use futures_lite::future::or;

use crate::fakes::clock::ManualClock;
use crate::world::{Azure, NAME, request};

/// Keeps what is written with the time, or never answers.
#[derive(Debug)]
struct Recorder {
    clock: Arc<ManualClock>,
    written: Mutex<Vec<(u64, String)>>,
    silent: AtomicBool,
}

#[async_trait]
impl Orchestrator for Recorder {
    async fn remove_startup_taint(&self) -> Result<(), OrchestratorError> {
        Ok(())
    }

    async fn report(&self, event: &ClaimEvent) -> Result<(), OrchestratorError> {
        if self.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.written.lock().unwrap().push((self.clock.now().as_secs(), event.message.clone()));
        Ok(())
    }
}

fn event(message: &str) -> ClaimEvent {
    ClaimEvent {
        kind: EventKind::Normal,
        volume_name: "pvc-1".to_owned(),
        namespace: "team".to_owned(),
        claim: "claim".to_owned(),
        reason: "Reason",
        message: message.to_owned(),
        age: Duration::ZERO,
    }
}

fn queue() -> (Arc<ManualClock>, Arc<Recorder>, ClaimEvents) {
    let clock = Arc::new(ManualClock::default());
    let recorder =
        Arc::new(Recorder { clock: Arc::clone(&clock), written: Mutex::default(), silent: AtomicBool::new(false) });
    let events = ClaimEvents::new(Arc::clone(&recorder) as _, Arc::clone(&clock) as _);
    (clock, recorder, events)
}

#[test]
fn the_background_writes_what_is_due_and_sleeps_between() {
    let (clock, recorder, events) = queue();
    let work = async {
        clock.sleep(Duration::from_secs(10)).await;
        events.emit(event("requested"));
        for second in [12, 16, 24, 37, 50, 63, 76] {
            clock.sleep(Duration::from_secs(second) - clock.now()).await;
            events.emit(event(&format!("creating {second}")));
        }
        events.emit(event("ready"));
        clock.sleep(Duration::from_hours(1)).await;
    };
    clock.run(or(events.run(), work));
    let written = recorder.written.lock().unwrap().clone();
    let expected = [(10, "requested"), (70, "creating 63"), (130, "ready")];
    assert_eq!(written, expected.map(|(second, message)| (second, message.to_owned())));
}

#[test]
fn emitting_never_waits_for_a_cluster_that_does_not_answer() {
    let (clock, recorder, events) = queue();
    recorder.silent.store(true, Ordering::Relaxed);
    let work = async {
        for _ in 0..5000 {
            events.emit(event("creating"));
            clock.sleep(Duration::from_secs(1)).await;
        }
    };
    clock.run(or(events.run(), work));
    assert_eq!(clock.now(), Duration::from_secs(5000));
}

#[test]
fn a_creation_is_followed_on_its_claim_with_at_most_one_event_a_minute() {
    let azure = Azure::new();
    let driver = azure.healthy();
    driver.create(NAME).unwrap();
    let cluster = azure.simulator.orchestrator();
    let shown: Vec<(&str, u32)> = cluster.aggregated().iter().map(|(event, count)| (event.reason, *count)).collect();
    assert_eq!(
        shown.iter().map(|(reason, _)| *reason).collect::<Vec<_>>(),
        ["FilesystemRequested", "FilesystemCreating"]
    );
    let minutes = u32::try_from(azure.clock.now().as_secs() / 60).unwrap();
    assert!(minutes >= 10 && (minutes - 1..=minutes).contains(&shown[1].1), "{shown:?} in {minutes} minutes");
    // Within the minute after the last one nothing is written; then it is.
    azure.pass(Duration::from_mins(1));
    azure.clock.run(driver.provision.claim_events().write_due());
    let (ready, _) = cluster.aggregated().pop().unwrap();
    assert_eq!((ready.kind, ready.reason), (EventKind::Normal, "FilesystemReady"));
    assert!(ready.message.starts_with(&format!("AMLFS {NAME} is ready after ")), "{}", ready.message);
    assert_eq!((ready.namespace.as_str(), ready.claim.as_str(), ready.volume_name.as_str()), ("team", "claim", NAME));
}

#[test]
fn a_volume_that_was_ready_before_and_a_claim_that_is_not_named_give_no_events() {
    let azure = Azure::new();
    azure.volume();
    azure.pass(Duration::from_hours(1));
    let before = azure.simulator.orchestrator().events().len();
    azure.healthy().create(NAME).unwrap();
    assert_eq!(azure.simulator.orchestrator().events().len(), before);
    let mut unnamed = request("pvc-2");
    unnamed.parameters.retain(|key, _| !key.starts_with("csi.storage.k8s.io/"));
    azure.healthy().create_as(unnamed, crate::world::BUDGET).unwrap();
    assert_eq!(azure.simulator.orchestrator().events().len(), before);
}
