//! The Kubernetes adapter against a stub of an API server over HTTP.
#![allow(clippy::unwrap_used)] // a world that cannot be made ends its law

use azurelustre_csi::adapters::kube::KubeOrchestrator;
use azurelustre_csi::adapters::kube::api::ApiServer;
use azurelustre_csi::ports::orchestrator::{EventKind, Orchestrator};
use serde_json::{Value, json};

use super::world::{Shown, World};
use crate::fakes::kube::{ApiStub, DRIVER, NODE};

pub(crate) struct KubeWorld {
    stub: ApiStub,
    orchestrator: KubeOrchestrator,
    _files: tempfile::TempDir,
}

impl KubeWorld {
    pub(crate) async fn start() -> Self {
        let stub = ApiStub::start().await;
        let files = tempfile::tempdir().unwrap();
        let api = ApiServer::new(stub.connection(files.path(), "token-1"));
        Self { stub, orchestrator: KubeOrchestrator::new(api, DRIVER, Some(NODE), "pod-1"), _files: files }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl World for KubeWorld {
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

    fn events(&self) -> Vec<Shown> {
        let shown = self.stub.events().into_iter().map(|event| Shown {
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
