//! A cluster that is only told in the log.
//!
//! Why it exists: without access to Kubernetes the driver still creates and mounts; what a claim's owner should know goes
//! where an operator can find it.

use async_trait::async_trait;

use crate::ports::orchestrator::{ClaimEvent, Orchestrator, OrchestratorError};

/// The orchestrator port without a cluster.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOrchestrator;

#[async_trait]
impl Orchestrator for LogOrchestrator {
    async fn remove_startup_taint(&self) -> Result<(), OrchestratorError> {
        Err(OrchestratorError {
            operation: "remove the startup taint",
            message: "this build does not talk to Kubernetes; remove it with `kubectl taint`".to_owned(),
            source: None,
        })
    }

    async fn report(&self, event: &ClaimEvent) -> Result<(), OrchestratorError> {
        let ClaimEvent { namespace, claim, reason, message } = event;
        tracing::warn!(%namespace, %claim, reason, "{message}");
        Ok(())
    }
}
