//! The adapter in front of a stub.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::adapters::kube::KubeOrchestrator;
use azurelustre_csi::adapters::kube::api::ApiServer;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::inbound::ReadinessProbe;
use azurelustre_csi::ports::orchestrator::{ClaimEvent, EventKind, Orchestrator, OrchestratorError};
use serde_json::Value;

use crate::fakes::kube::{ApiStub, DRIVER, NODE};

/// What no log and no error may show.
pub(crate) const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.secret.signature";
pub(crate) const UID: &str = "0b5ad9ea-5f5d-4f0e-9f5e-0d1f7e3b6c21";

pub(crate) struct Cluster {
    pub(crate) stub: ApiStub,
    pub(crate) orchestrator: KubeOrchestrator,
    /// The service account's directory.
    pub(crate) files: tempfile::TempDir,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::of_node(NODE).await
    }

    pub(crate) async fn of_node(node: &str) -> Self {
        let stub = ApiStub::start().await;
        let files = tempfile::tempdir().unwrap();
        let api = ApiServer::new(stub.connection(files.path(), TOKEN));
        Self { stub, orchestrator: KubeOrchestrator::new(api, DRIVER, Some(node), "pod-1"), files }
    }

    /// Lets requests fail: `fault` is asked with the number of a request and its method and path.
    pub(crate) fn fail(&self, fault: impl Fn(usize, &str) -> Option<(u16, Value)> + Send + Sync + 'static) {
        self.stub.state().fault =
            Some(Box::new(move |number, seen| fault(number, &format!("{} {}", seen.method, seen.path))));
    }

    pub(crate) async fn remove(&self) -> Result<(), OrchestratorError> {
        self.orchestrator.remove_startup_taint().await
    }

    pub(crate) async fn report(&self, reason: &'static str, message: &str) -> Result<(), OrchestratorError> {
        self.orchestrator.report(&event(reason, message)).await
    }
}

pub(crate) fn event(reason: &'static str, message: &str) -> ClaimEvent {
    ClaimEvent {
        kind: EventKind::Normal,
        volume_name: format!("pvc-{UID}"),
        namespace: "team".to_owned(),
        claim: "claim".to_owned(),
        reason,
        message: message.to_owned(),
        age: Duration::ZERO,
    }
}

/// A clock on which every sleep is over at once; it remembers how long each was.
#[derive(Debug, Default)]
pub(crate) struct SkippingClock(Mutex<Vec<Duration>>);

impl SkippingClock {
    pub(crate) fn sleeps(&self) -> Vec<Duration> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Clock for SkippingClock {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().iter().sum()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.lock().unwrap().push(duration);
        tokio::task::yield_now().await;
    }
}

/// A process that is ready.
#[derive(Debug)]
pub(crate) struct IsReady;

#[async_trait]
impl ReadinessProbe for IsReady {
    async fn is_ready(&self) -> bool {
        true
    }
}
