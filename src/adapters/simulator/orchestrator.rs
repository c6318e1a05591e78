//! The simulated Kubernetes cluster: the taints of one node, and events on claims.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::ports::orchestrator::{ClaimEvent, Orchestrator, OrchestratorError, OrchestratorErrorKind};

/// Events kept; older ones are removed, so that memory is bounded (a cluster removes them after an hour).
const EVENTS_KEPT: usize = 1000;
/// The startup taint that the node begins with.
const STARTUP_TAINT: &str = "azurelustre.csi.azure.com/agent-not-ready";

#[derive(Debug)]
struct State {
    taints: Vec<String>,
    registered: bool,
    events: VecDeque<ClaimEvent>,
}

/// The orchestrator port in state. The node begins with the startup taint, and the driver is registered on it.
#[derive(Debug)]
pub struct SimulatedOrchestrator(Mutex<State>);

impl Default for SimulatedOrchestrator {
    fn default() -> Self {
        Self(Mutex::new(State { taints: vec![STARTUP_TAINT.to_owned()], registered: true, events: VecDeque::new() }))
    }
}

impl SimulatedOrchestrator {
    /// Whether the node still has the startup taint.
    pub fn is_tainted(&self) -> bool {
        self.state().taints.iter().any(|key| key == STARTUP_TAINT)
    }

    /// Keys of all taints of the node.
    pub fn taints(&self) -> Vec<String> {
        self.state().taints.clone()
    }

    /// Sets the node's taints, by key.
    pub fn set_taints(&self, keys: &[&str]) {
        self.state().taints = keys.iter().map(|key| (*key).to_owned()).collect();
    }

    /// Registers the driver on the node, or unregisters it.
    pub fn set_registered(&self, registered: bool) {
        self.state().registered = registered;
    }

    /// Every event that was reported, oldest first.
    pub fn events(&self) -> Vec<ClaimEvent> {
        self.state().events.iter().cloned().collect()
    }

    /// The events as the cluster shows them, oldest first: repetitions as one event, with the newest text and their count.
    pub fn aggregated(&self) -> Vec<(ClaimEvent, u32)> {
        let mut shown: Vec<(ClaimEvent, u32)> = Vec::new();
        for event in &self.state().events {
            match shown.iter_mut().find(|(earlier, _)| is_repetition(earlier, event)) {
                Some((earlier, count)) => (*earlier, *count) = (event.clone(), *count + 1),
                None => shown.push((event.clone(), 1)),
            }
        }
        shown
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_repetition(earlier: &ClaimEvent, event: &ClaimEvent) -> bool {
    (earlier.kind, &earlier.volume_name, earlier.reason) == (event.kind, &event.volume_name, event.reason)
}

#[async_trait]
impl Orchestrator for SimulatedOrchestrator {
    async fn remove_startup_taint(&self) -> Result<(), OrchestratorError> {
        let mut state = self.state();
        let others: Vec<String> = state.taints.iter().filter(|key| *key != STARTUP_TAINT).cloned().collect();
        if others.len() < state.taints.len() && !state.registered {
            return Err(OrchestratorError {
                kind: OrchestratorErrorKind::NotRegistered,
                operation: "remove the startup taints of the simulated node".to_owned(),
                message: "the driver is not registered on it".to_owned(),
                source: None,
            });
        }
        state.taints = others;
        Ok(())
    }

    async fn report(&self, event: &ClaimEvent) -> Result<(), OrchestratorError> {
        let event = ClaimEvent { message: event.note().into_owned(), ..event.clone() };
        let mut state = self.state();
        if state.events.len() == EVENTS_KEPT {
            state.events.pop_front();
        }
        state.events.push_back(event);
        Ok(())
    }
}
