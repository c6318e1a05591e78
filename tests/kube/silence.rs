//! What the log shows while the API server is away, and that no level shows a token.

use std::io::Write;
use std::sync::{Arc, Mutex};

use azurelustre_csi::app::settings::{self, Given};
use azurelustre_csi::app::telemetry;
use serde_json::json;

use crate::fakes::kube::status;
use crate::world::{Cluster, TOKEN};

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
    let flags = vec![("mode", "controller".to_owned()), ("cloud", "simulator".to_owned()), ("log-level", level.to_owned())];
    let settings = settings::load(&Given { flags, environment: Vec::new() }).unwrap().settings;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = telemetry::subscriber(&settings.log, false, move || writer.clone());
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
    cluster.stub.state().taints = vec![json!({"key": "azurelustre.csi.azure.com/agent-not-ready", "effect": "NoSchedule"})];
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
