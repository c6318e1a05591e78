//! Worlds for laws of orchestrators: a cluster with one node, simulated.

use std::sync::Arc;

use azurelustre_csi::adapters::simulator::SimulatedOrchestrator;
use azurelustre_csi::ports::orchestrator::{EventKind, Orchestrator};

/// A cluster with one node, around an adapter.
pub(crate) trait OrchestratorWorld {
    fn orchestrator(&self) -> &dyn Orchestrator;
    /// Gives the node these taints, by key.
    fn set_taints(&self, keys: &[&str]);
    fn taints(&self) -> Vec<String>;
    /// Registers the driver on the node, or unregisters it.
    fn set_registered(&self, registered: bool);
    /// The events as the cluster shows them, oldest first.
    fn events(&self) -> Vec<ShownEvent>;
}

/// An event as the cluster shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownEvent {
    pub(crate) kind: EventKind,
    pub(crate) namespace: String,
    pub(crate) claim: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) count: u32,
}

/// The simulator's cluster.
#[derive(Default)]
pub(crate) struct SimulatorWorld(Arc<SimulatedOrchestrator>);

impl OrchestratorWorld for SimulatorWorld {
    fn orchestrator(&self) -> &dyn Orchestrator {
        &*self.0
    }

    fn set_taints(&self, keys: &[&str]) {
        self.0.set_taints(keys);
    }

    fn taints(&self) -> Vec<String> {
        self.0.taints()
    }

    fn set_registered(&self, registered: bool) {
        self.0.set_registered(registered);
    }

    fn events(&self) -> Vec<ShownEvent> {
        let shown = self.0.aggregated().into_iter().map(|(event, count)| ShownEvent {
            kind: event.kind,
            namespace: event.namespace,
            claim: event.claim,
            reason: event.reason.to_owned(),
            message: event.message,
            count,
        });
        shown.collect()
    }
}
