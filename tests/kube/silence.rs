//! An API server that is unreachable, or refuses: the driver continues, logs it once, and no level of its log shows a token.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azurelustre_csi::app::settings::{self, RawSettings};
use azurelustre_csi::app::telemetry;
use azurelustre_csi::app::usecase::claim_events::ClaimEvents;
use azurelustre_csi::app::usecase::readiness::remove_taint_when_ready;
use azurelustre_csi::ports::clock::Clock;
use serde_json::json;

use crate::fakes::kube::status;
use crate::world::{Cluster, IsReady, SkippingClock, TOKEN, event};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log of some work at this level.
async fn log(level: &str, work: impl Future<Output = ()>) -> String {
    let flags =
        vec![("mode", "controller".to_owned()), ("cloud", "simulator".to_owned()), ("log-level", level.to_owned())];
    let settings = settings::load(&RawSettings { flags, environment: Vec::new() }).unwrap();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = telemetry::subscriber(&settings.log(), false, move || writer.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    work.await;
    drop(guard);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn the_client_itself_logs_no_failure() {
    let cluster = Cluster::start().await;
    cluster.fail(|_, _| Some(status(503, "ServiceUnavailable", "down")));
    let shown = log("info", async {
        for _ in 0..3 {
            cluster.remove().await.unwrap_err();
            cluster.report("A", "1").await.unwrap_err();
        }
    });
    assert_eq!(shown.await, "");
}

#[tokio::test]
async fn no_level_shows_a_token() {
    let cluster = Cluster::start().await;
    cluster.stub.state().taints =
        vec![json!({"key": "azurelustre.csi.azure.com/agent-not-ready", "effect": "NoSchedule"})];
    let shown = log("trace,h2=trace,hyper=trace,hyper_util=trace,reqwest=trace,rustls=trace", async {
        cluster.remove().await.unwrap();
        cluster.report("A", "1").await.unwrap();
        cluster.fail(|_, _| Some(status(401, "Unauthorized", "Unauthorized")));
        cluster.remove().await.unwrap_err();
    });
    let shown = shown.await;
    assert!(shown.contains("hyper_util"), "the client is not logged at all: {shown}");
    assert!(!shown.contains(TOKEN) && !shown.contains("secret"), "{shown}");
}

fn startup_taint() -> serde_json::Value {
    json!({"key": "azurelustre.csi.azure.com/agent-not-ready", "effect": "NoSchedule"})
}

#[tokio::test]
async fn a_taint_is_removed_after_an_hour_without_an_api_server_and_that_is_said_once() {
    let cluster = Cluster::start().await;
    cluster.stub.state().taints = vec![startup_taint()];
    cluster.fail(|number, _| (number < 65).then(|| status(503, "ServiceUnavailable", &format!("down {number}"))));
    let clock = SkippingClock::default();
    let shown = log("info", remove_taint_when_ready(&IsReady, &cluster.orchestrator, &clock)).await;
    assert_eq!(cluster.stub.state().taints, Vec::<serde_json::Value>::new());
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(shown.contains("WARN") && shown.contains("down 0"), "{shown}");
    assert!(clock.now() > Duration::from_hours(1), "{:?}", clock.now());
    assert!(clock.sleeps().iter().all(|pause| *pause <= Duration::from_mins(1)));
}

#[tokio::test]
async fn a_denial_is_logged_once_with_its_text_and_another_failure_once_more() {
    let cluster = Cluster::start().await;
    cluster.stub.state().taints = vec![startup_taint()];
    cluster.fail(|number, _| match number {
        0..20 => Some(status(403, "Forbidden", "admission webhook \"w\" denied the request: no edits of nodes")),
        20..40 => Some(status(500, "InternalError", "etcd")),
        _ => None,
    });
    let shown = log("info", remove_taint_when_ready(&IsReady, &cluster.orchestrator, &SkippingClock::default())).await;
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert_eq!(shown.matches("no edits of nodes").count(), 1, "{shown}");
    assert_eq!(cluster.stub.state().taints, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn events_wait_for_an_unreachable_api_server_and_that_is_logged_once() {
    let Cluster { stub, orchestrator, files: _files } = Cluster::start().await;
    stub.state().fault = Some(Box::new(|number, _| (number < 10).then(|| status(503, "ServiceUnavailable", "down"))));
    let clock = Arc::new(SkippingClock::default());
    let events = ClaimEvents::new(Arc::new(orchestrator), Arc::clone(&clock) as _);
    let shown = log("info", async {
        for minute in 0..15 {
            events.emit(event("FilesystemCreating", &format!("{minute}m00s so far")));
            events.write_due().await;
            clock.sleep(Duration::from_mins(1)).await;
        }
    });
    let shown = shown.await;
    assert_eq!(shown.matches("WARN").count(), 1, "{shown}");
    assert_eq!(shown.matches("written again").count(), 1, "{shown}");
    let written = stub.events();
    assert_eq!((written.len(), &written[0]["message"]), (1, &json!("14m00s so far")));
}

#[tokio::test]
async fn an_event_that_is_denied_is_said_once_and_does_not_hold_the_others() {
    let Cluster { stub, orchestrator, files: _files } = Cluster::start().await;
    stub.state().fault = Some(Box::new(|_, seen| {
        seen.path.contains("/closed/").then(|| status(403, "Forbidden", "events is forbidden"))
    }));
    let clock = Arc::new(SkippingClock::default());
    let events = ClaimEvents::new(Arc::new(orchestrator), Arc::clone(&clock) as _);
    let shown = log("info", async {
        for _ in 0..5 {
            events.emit(azurelustre_csi::ports::orchestrator::ClaimEvent {
                namespace: "closed".to_owned(),
                volume_name: "pvc-2".to_owned(),
                ..event("A", "1")
            });
            events.write_due().await;
            clock.sleep(Duration::from_mins(1)).await;
        }
        events.emit(event("A", "2"));
        events.write_due().await;
    });
    let shown = shown.await;
    assert_eq!(shown.matches("events is forbidden").count(), 1, "{shown}");
    assert_eq!(stub.events().len(), 1);
    assert_eq!(stub.requests().len(), 6);
}
