//! What the use-cases offer to a front end: volumes to a cluster ([`Provisioning`]), mounts to a node ([`Publishing`]).
//!
//! Why it exists: the CSI front end knows these traits and no use-case, so it is tested alone, and another front end can
//! take its place. Failures are outcomes with a meaning ([`FailureKind`]); which gRPC code each becomes is one table in
//! the front end.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::Cause;
use super::mounter::Usage;
use crate::domain::access::Capability;
use crate::domain::mount::PublishRequest;
use crate::domain::provisioning::{Volume, VolumeRequest};

/// Volumes of a cluster.
#[async_trait]
pub trait Provisioning: Send + Sync + std::fmt::Debug {
    /// Creates a volume, or finds it again. `budget` is the time that the caller will wait; none is 10 minutes.
    async fn create(&self, request: VolumeRequest, budget: Option<Duration>) -> Result<Volume, Failure>;

    /// Deletes a volume. One that is gone or was never ours to delete is a success.
    async fn delete(&self, volume_id: &str, budget: Option<Duration>) -> Result<(), Failure>;

    /// Whether an existing volume can be used so: `Ok(Some(reason))` says why not.
    async fn validate(
        &self,
        volume_id: &str,
        context: &std::collections::BTreeMap<String, String>,
        capabilities: &[Capability],
        budget: Option<Duration>,
    ) -> Result<Option<String>, Failure>;
}

/// Mounts of a node.
#[async_trait]
pub trait Publishing: Send + Sync + std::fmt::Debug {
    /// Mounts a volume at a target, or finds it mounted there as asked.
    async fn publish(&self, request: PublishRequest, budget: Option<Duration>) -> Result<(), Failure>;

    /// Unmounts a target and removes its directory. One that is not there is a success.
    async fn unpublish(&self, volume_id: &str, target: &Path, budget: Option<Duration>) -> Result<(), Failure>;

    /// Space and inodes of a published volume.
    async fn usage(&self, volume_id: &str, path: &Path, budget: Option<Duration>) -> Result<Usage, Failure>;
}

/// Whether the process can do its work.
#[async_trait]
pub trait Ready: Send + Sync + std::fmt::Debug {
    /// `true` once everything was ready, and from then on: a container is not to be killed for a sick network.
    async fn was_ready(&self) -> bool;
}

/// What a failure means to the caller. The first group is final for `CreateVolume`: nothing exists and nothing is on its
/// way. The second says that something may exist or still run, and the same call should be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The request is wrong.
    Invalid,
    /// The size cannot be had.
    OutOfRange,
    /// Something else has the name or the place.
    Conflict,
    /// The volume or path does not exist.
    NotFound,
    /// The world is not in the state that the request needs.
    Precondition,
    /// Quota or addresses are used up.
    Exhausted,
    /// No valid credentials for the cloud.
    Unauthenticated,
    /// A permission is missing.
    Denied,
    /// A mistake of the driver or of the node.
    Internal,
    /// Under way; ask again.
    InProgress,
    /// Cannot be told or done now; ask again.
    Unavailable,
    /// Not finished in time and still running; ask again.
    TimedOut,
}

impl FailureKind {
    /// All kinds, for tables and tests.
    pub const ALL: [Self; 12] = [
        Self::Invalid,
        Self::OutOfRange,
        Self::Conflict,
        Self::NotFound,
        Self::Precondition,
        Self::Exhausted,
        Self::Unauthenticated,
        Self::Denied,
        Self::Internal,
        Self::InProgress,
        Self::Unavailable,
        Self::TimedOut,
    ];

    /// Whether external-provisioner takes it as "finished, nothing exists" and may forget the volume.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::InProgress | Self::Unavailable | Self::TimedOut)
    }
}

/// A failed use-case: what it means, what happened to which resource, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What it means.
    pub kind: FailureKind,
    /// What happened, to which resource.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The cause below.
    #[source]
    pub source: Option<Cause>,
}

impl Failure {
    /// A failure without hint or cause.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        self.source = Some(cause.into());
        self
    }
}
