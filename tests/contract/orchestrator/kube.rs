//! The Kubernetes adapter against a stub of an API server over HTTP.

#![allow(clippy::unwrap_used, reason = "a stub that cannot be set up ends the test there, saying where")]

use azurelustre_csi::adapters::kube::KubeOrchestrator;
use azurelustre_csi::adapters::kube::api::ApiServer;
use azurelustre_csi::ports::orchestrator::{EventKind, Orchestrator};
use serde_json::{Value, json};

use super::world::{OrchestratorWorld, ShownEvent};
use crate::fakes::kube::{ApiStub, DRIVER, NODE};

pub(crate) struct KubeWorld {
    stub: ApiStub,
    orchestrator: KubeOrchestrator,
    _files: tempfile::TempDir,
}

impl KubeWorld {
    pub(crate) fn boxed() -> std::io::Result<Box<dyn OrchestratorWorld>> {
        let stub = crate::harness::runtime()?.block_on(ApiStub::start());
        let files = tempfile::tempdir()?;
        let api = ApiServer::new(stub.connection(files.path(), "token-1"));
        let orchestrator = KubeOrchestrator::new(api, DRIVER, Some(NODE), "pod-1");
        Ok(Box::new(Self { stub, orchestrator, _files: files }))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl OrchestratorWorld for KubeWorld {
    fn orchestrator(&self) -> &dyn Orchestrator {
        &self.orchestrator
    }

    fn set_taints(&self, keys: &[&str]) {
        self.stub.state().taints = keys.iter().map(|key| json!({"key": key, "effect": "NoSchedule"})).collect();
    }

    fn taints(&self) -> Vec<String> {
        self.stub.state().taints.iter().map(|taint| text(&taint["key"])).collect()
    }

    fn set_registered(&self, registered: bool) {
        self.stub.state().registered = registered;
    }

    fn events(&self) -> Vec<ShownEvent> {
        let shown = self.stub.events().into_iter().map(|event| ShownEvent {
            kind: if event["type"] == "Warning" { EventKind::Warning } else { EventKind::Normal },
            namespace: text(&event["involvedObject"]["namespace"]),
            claim: text(&event["involvedObject"]["name"]),
            reason: text(&event["reason"]),
            message: text(&event["message"]),
            count: u32::try_from(event["count"].as_u64().unwrap()).unwrap(),
        });
        shown.collect()
    }
}
