//! What the use-cases offer to a front end: volumes to a cluster ([`Provisioning`]), mounts to a node ([`Publishing`]).
//!
//! The CSI front end knows these traits and no use-case, so it is tested alone, and another front end can
//! take its place. Failures are outcomes with a meaning ([`FailureKind`]); which gRPC code each becomes is one table in
//! the front end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;

use super::Cause;
use super::mounter::Usage;
use crate::domain::access::Capability;
use crate::domain::mount::PublishRequest;
use crate::domain::provisioning::{Volume, VolumeRequest};
use crate::domain::text::error_chain;

/// Volumes of a cluster.
#[async_trait]
pub trait Provisioning: Send + Sync + std::fmt::Debug {
    /// Creates a volume, or finds it again. A call that meets an unfinished one for the same volume and content shares its
    /// outcome. Nothing new begins once `caller` is gone.
    async fn create(&self, request: VolumeRequest, caller: Caller) -> Result<Volume, Failure>;

    /// Deletes a volume. One that is gone, or whose file system was not made for it, is a success. A call that meets an unfinished one for
    /// the same volume shares its outcome.
    async fn delete(&self, volume_id: &str, caller: Caller) -> Result<(), Failure>;

    /// Whether an existing volume can be used so: `Ok(Some(reason))` if not.
    async fn validate(&self, question: ValidateRequest, timeout: Option<Duration>) -> Result<Option<String>, Failure>;
}

/// Who waits for a call: how long, and whether still. Clones are about the same caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// How long the caller will wait for the answer; none is 10 minutes.
    pub timeout: Option<Duration>,
    /// Empty for one that never leaves.
    presence: Option<Weak<()>>,
}

/// Dropped when the caller goes away: its connection is lost, or its deadline passed.
#[derive(Debug)]
pub struct CallerGuard {
    _presence: Arc<()>,
}

impl Caller {
    /// A caller that waits until the guard is dropped.
    pub fn new(timeout: Option<Duration>) -> (Self, CallerGuard) {
        let presence = Arc::new(());
        (Self { timeout, presence: Some(Arc::downgrade(&presence)) }, CallerGuard { _presence: presence })
    }

    /// A caller that stays to the end, such as a program that embeds the use-cases.
    pub fn staying(timeout: Option<Duration>) -> Self {
        Self { timeout, presence: None }
    }

    /// Whether the caller still waits for the answer.
    pub fn waits(&self) -> bool {
        self.presence.as_ref().is_none_or(|presence| presence.strong_count() > 0)
    }
}

/// A request of CSI's `ValidateVolumeCapabilities`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidateRequest {
    /// The volume.
    pub volume_id: String,
    /// Its context, as CreateVolume answered it or as a static PersistentVolume has it.
    pub context: BTreeMap<String, String>,
    /// How it is to be used.
    pub capabilities: Vec<Capability>,
    /// Parameters of a `StorageClass` that it must have been made with; may be empty.
    pub parameters: BTreeMap<String, String>,
}

/// Mounts of a node.
#[async_trait]
pub trait Publishing: Send + Sync + std::fmt::Debug {
    /// Mounts a volume at a target, or finds it mounted there as asked.
    async fn publish(&self, request: PublishRequest, timeout: Option<Duration>) -> Result<(), Failure>;

    /// Unmounts a target and removes its directory. One that is not there is a success.
    async fn unpublish(&self, volume_id: &str, target: &Path, timeout: Option<Duration>) -> Result<(), Failure>;

    /// Space and inodes of a published volume.
    async fn usage(&self, volume_id: &str, path: &Path, timeout: Option<Duration>) -> Result<Usage, Failure>;
}

/// Readiness of the process, as CSI's Probe reports it.
#[async_trait]
pub trait ReadinessProbe: Send + Sync + std::fmt::Debug {
    /// `true` once everything was ready, and from then on: a container is not to be killed for a broken network.
    async fn is_ready(&self) -> bool;
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
    /// Something is not in the state that the request needs.
    Precondition,
    /// Quota or addresses are used up.
    Exhausted,
    /// No valid credentials for the cloud.
    Unauthenticated,
    /// A permission is missing.
    Denied,
    /// A fault of the driver or of the node.
    Internal,
    /// In progress; ask again.
    InProgress,
    /// Cannot be known or done now; ask again.
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
#[derive(Debug, Clone, thiserror::Error)]
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

    /// The message and its causes, each said once.
    pub fn chain(&self) -> String {
        error_chain(self)
    }

    /// The same failure with more text behind the message and its causes.
    #[must_use]
    pub fn followed_by(&self, more: &str) -> Self {
        Self { message: format!("{}{more}", self.chain()), ..self.clone() }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { source: Some(cause.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::ports::cloud::{CloudError, CloudErrorKind};

    #[test]
    fn a_caller_waits_until_its_guard_is_dropped() {
        let (caller, guard) = Caller::new(None);
        let same = caller.clone();
        assert!(caller.waits() && same.waits());
        drop(guard);
        assert!(!caller.waits() && !same.waits());
        assert!(Caller::staying(None).waits());
    }

    #[test]
    fn a_clone_of_a_failure_keeps_its_typed_causes() {
        let cause = CloudError::new(CloudErrorKind::Unavailable, "create file system", "x", "connection reset");
        let cause = CloudError { source: Some(std::io::Error::from_raw_os_error(104).into()), ..cause };
        let failure = Failure::new(FailureKind::Unavailable, "cannot create x").caused_by(cause).with_hint("wait");
        let clone = failure.clone();
        assert_eq!(clone.hint.as_deref(), Some("wait"));
        let chain = "cannot create x: create file system x: connection reset: Connection reset by peer (os error 104)";
        assert_eq!(clone.chain(), chain);
        let cloud = clone.source().unwrap().downcast_ref::<CloudError>().unwrap();
        let reset = cloud.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!((cloud.kind, reset.raw_os_error()), (CloudErrorKind::Unavailable, Some(104)));
    }
}
