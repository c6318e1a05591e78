//! A Kubernetes that remembers what it was told.
//!
//! Why it exists: the taint and the events are the only traces that the driver leaves in a cluster; tests and the demo
//! look at them here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::ports::orchestrator::{ClaimEvent, Orchestrator, OrchestratorError};

/// Events kept; older ones are dropped, as a cluster does.
const EVENTS_KEPT: usize = 1000;
/// Longest message of an event, in bytes.
const MESSAGE_MAX: usize = 1024;

#[derive(Debug)]
struct Memory {
    tainted: bool,
    events: VecDeque<ClaimEvent>,
}

/// The orchestrator port in memory. The node starts with the taint.
#[derive(Debug)]
pub struct SimulatedOrchestrator(Mutex<Memory>);

impl Default for SimulatedOrchestrator {
    fn default() -> Self {
        Self(Mutex::new(Memory { tainted: true, events: VecDeque::new() }))
    }
}

impl SimulatedOrchestrator {
    /// Whether the node still has the startup taint.
    pub fn is_tainted(&self) -> bool {
        self.memory().tainted
    }

    /// The events, oldest first.
    pub fn events(&self) -> Vec<ClaimEvent> {
        self.memory().events.iter().cloned().collect()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Orchestrator for SimulatedOrchestrator {
    async fn remove_startup_taint(&self) -> Result<(), OrchestratorError> {
        self.memory().tainted = false;
        Ok(())
    }

    async fn report(&self, event: &ClaimEvent) -> Result<(), OrchestratorError> {
        let mut event = event.clone();
        event.message.truncate(event.message.floor_char_boundary(MESSAGE_MAX));
        let mut memory = self.memory();
        if memory.events.len() == EVENTS_KEPT {
            memory.events.pop_front();
        }
        memory.events.push_back(event);
        Ok(())
    }
}
