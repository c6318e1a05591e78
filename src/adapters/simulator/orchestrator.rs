//! A Kubernetes in memory: the taints of one node, and the events on claims.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::ports::orchestrator::{ClaimEvent, Orchestrator, OrchestratorError, OrchestratorErrorKind};

/// Events kept; older ones are dropped, as a cluster does.
const EVENTS_KEPT: usize = 1000;
/// The startup taint that the node begins with.
const STARTUP_TAINT: &str = "azurelustre.csi.azure.com/agent-not-ready";

#[derive(Debug)]
struct Memory {
    taints: Vec<String>,
    registered: bool,
    written: VecDeque<ClaimEvent>,
}

/// The orchestrator port in memory. The node begins with the startup taint, and the driver is registered on it.
#[derive(Debug)]
pub struct SimulatedOrchestrator(Mutex<Memory>);

impl Default for SimulatedOrchestrator {
    fn default() -> Self {
        Self(Mutex::new(Memory { taints: vec![STARTUP_TAINT.to_owned()], registered: true, written: VecDeque::new() }))
    }
}

impl SimulatedOrchestrator {
    /// Whether the node still has the startup taint.
    pub fn is_tainted(&self) -> bool {
        self.memory().taints.iter().any(|key| key == STARTUP_TAINT)
    }

    /// Keys of all taints of the node.
    pub fn taints(&self) -> Vec<String> {
        self.memory().taints.clone()
    }

    /// Gives the node these taints, by key.
    pub fn set_taints(&self, keys: &[&str]) {
        self.memory().taints = keys.iter().map(|key| (*key).to_owned()).collect();
    }

    /// Registers the driver on the node, or takes it off.
    pub fn set_registered(&self, registered: bool) {
        self.memory().registered = registered;
    }

    /// Everything that was written, oldest first: a repeated event each time.
    pub fn events(&self) -> Vec<ClaimEvent> {
        self.memory().written.iter().cloned().collect()
    }

    /// The events as the cluster shows them, oldest first: a repeated event once, as it was written last, and how often.
    pub fn aggregated(&self) -> Vec<(ClaimEvent, u32)> {
        let mut shown: Vec<(ClaimEvent, u32)> = Vec::new();
        for event in &self.memory().written {
            match shown.iter_mut().find(|(earlier, _)| is_repetition(earlier, event)) {
                Some((earlier, count)) => (*earlier, *count) = (event.clone(), *count + 1),
                None => shown.push((event.clone(), 1)),
            }
        }
        shown
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_repetition(earlier: &ClaimEvent, event: &ClaimEvent) -> bool {
    (earlier.kind, &earlier.volume_name, earlier.reason) == (event.kind, &event.volume_name, event.reason)
}

#[async_trait]
impl Orchestrator for SimulatedOrchestrator {
    async fn remove_startup_taint(&self) -> Result<(), OrchestratorError> {
        let mut memory = self.memory();
        let kept: Vec<String> = memory.taints.iter().filter(|key| *key != STARTUP_TAINT).cloned().collect();
        if kept.len() < memory.taints.len() && !memory.registered {
            return Err(OrchestratorError {
                kind: OrchestratorErrorKind::NotRegistered,
                operation: "remove the startup taints of the simulated node".to_owned(),
                message: "the driver is not registered on it".to_owned(),
                source: None,
            });
        }
        memory.taints = kept;
        Ok(())
    }

    async fn report(&self, event: &ClaimEvent) -> Result<(), OrchestratorError> {
        let event = ClaimEvent { message: event.note().into_owned(), ..event.clone() };
        let mut memory = self.memory();
        if memory.written.len() == EVENTS_KEPT {
            memory.written.pop_front();
        }
        memory.written.push_back(event);
        Ok(())
    }
}
