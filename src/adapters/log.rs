//! The orchestrator port without a cluster: events go to the log.

use async_trait::async_trait;

use crate::ports::orchestrator::{ClaimEvent, EventKind, Orchestrator, OrchestratorError, OrchestratorErrorKind};

/// The orchestrator port without a cluster.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOrchestrator;

#[async_trait]
impl Orchestrator for LogOrchestrator {
    async fn remove_startup_taint(&self) -> Result<(), OrchestratorError> {
        Err(OrchestratorError {
            kind: OrchestratorErrorKind::Refused,
            operation: "remove the startup taints".to_owned(),
            message: "there is no connection to Kubernetes; remove them with `kubectl taint`".to_owned(),
            source: None,
        })
    }

    async fn report(&self, event: &ClaimEvent) -> Result<(), OrchestratorError> {
        let ClaimEvent { kind, namespace, claim, reason, message, .. } = event;
        match kind {
            EventKind::Normal => tracing::info!(%namespace, %claim, reason, "{message}"),
            EventKind::Warning => tracing::warn!(%namespace, %claim, reason, "{message}"),
        }
        Ok(())
    }
}
