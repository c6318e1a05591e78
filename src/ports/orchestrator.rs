//! The cluster around the driver: its nodes' taints and its events.
//!
//! Why it exists: pods must not start on a node before Lustre works there, and people should read in `kubectl describe`
//! what a claim is waiting for. Both are best effort: a volume never fails because an event could not be written.

use async_trait::async_trait;

use super::Cause;

/// What the use-cases need of an orchestrator.
#[async_trait]
pub trait Orchestrator: Send + Sync + std::fmt::Debug {
    /// Removes the taint that keeps pods off this node until the driver is ready. An absent taint is `Ok`.
    async fn remove_startup_taint(&self) -> Result<(), OrchestratorError>;

    /// Tells people about a claim. Texts are at most 1024 bytes; longer ones are cut.
    async fn report(&self, event: &ClaimEvent) -> Result<(), OrchestratorError>;
}

/// Something that a claim's owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimEvent {
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim.
    pub claim: String,
    /// One word in camel case, such as `FilesystemCreationFailed`.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// A failed call to the orchestrator.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct OrchestratorError {
    /// What was tried.
    pub operation: &'static str,
    /// What happened.
    pub message: String,
    /// The cause below.
    #[source]
    pub source: Option<Cause>,
}
