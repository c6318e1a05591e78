//! Mounting Lustre on this node: mount(2) in the kernel, or the simulator's directories.
//!
//! [`Mounter::mount`] and [`Mounter::unmount`] are whole operations: after `mount` the volume is mounted, or nothing that
//! the call made is left; after `unmount` neither mount nor directory is left. An error whose kind is
//! [`MountErrorKind::may_be_mounted`] says that this is not known yet, and the caller repeats the call.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::Cause;
use crate::domain::mount::MountPlan;
use crate::domain::mount_source::MountSource;

/// What the use-cases need of a node.
#[async_trait]
pub trait Mounter: Send + Sync + std::fmt::Debug {
    /// Whether Lustre can be mounted here, and what is missing if not.
    async fn readiness(&self) -> Readiness;

    /// Targets at which the plan's volume is published on this node, those of an earlier process included, and those at
    /// which a mount of it is in progress. The plan's own target is given as the plan spells it, however it was spelled
    /// then. A directory that nothing is mounted on is no target.
    async fn published(&self, plan: &MountPlan) -> Result<Vec<PathBuf>, MountError>;

    /// Makes the source's sub-directory, parents included; existing ones are left as they are. Follows no symbolic link.
    async fn make_sub_dir(&self, source: &MountSource) -> Result<(), MountError>;

    /// Mounts as planned, unless something is mounted there already. Of the target's path only the last directory is made;
    /// its parent is the caller's (CSI, `NodePublishVolumeRequest.target_path`). A mount there whose servers have
    /// forgotten it is replaced. [`MountErrorKind::NotFound`] means that the file system or its sub-directory is absent.
    async fn mount(&self, plan: &MountPlan) -> Result<MountOutcome, MountError>;

    /// Unmounts all that is mounted at the target and removes its directory, whose parents stay. Nothing there is `Ok`. A
    /// directory that holds files is an error: they were written while nothing was mounted, and are never deleted. Waits
    /// for as long as it is not dropped; what has begun continues, and a repeated call waits for it.
    async fn unmount(&self, target: &Path) -> Result<(), MountError>;

    /// Space and inodes of the volume mounted at `path`; `None` if no volume is mounted there.
    async fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError>;
}

/// What a mount that did not fail has found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountOutcome {
    /// This call mounted the volume.
    Mounted,
    /// It was mounted as planned before.
    AlreadyMounted,
    /// Something else is mounted at the target, in words. Nothing was changed.
    Occupied(String),
}

/// Whether a node can mount Lustre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot, for each of these reasons.
    NotReady(Vec<String>),
}

/// Space and inodes of a mounted file system, as statvfs(3) counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes.
    pub bytes: Capacity,
    /// Inodes; none where the kernel counts none (0 of 0).
    pub inodes: Option<Capacity>,
}

/// How much of something there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// All.
    pub total: u64,
    /// In use.
    pub used: u64,
    /// Available to unprivileged users (`f_bavail`, `f_favail`).
    pub available: u64,
}

/// What a failed mount operation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MountErrorKind {
    /// File system or sub-directory does not exist on the server.
    NotFound,
    /// The server refuses this node.
    Denied,
    /// Options or source that the client refuses.
    Invalid,
    /// The servers do not answer.
    Unreachable,
    /// The node is not set up: module, network, directories, limits or permission of the driver itself.
    NotReady,
    /// In use by processes, other mounts or another operation. Nothing was changed.
    Busy,
    /// Not finished in time; it continues and a later call meets it.
    Stuck,
    /// What is at the target could not be determined: something may be mounted there.
    Unknown,
    /// Anything else: an input or output error, a full disk.
    Failed,
}

impl MountErrorKind {
    /// All kinds, for tables and tests.
    pub const ALL: [Self; 9] = [
        Self::NotFound,
        Self::Denied,
        Self::Invalid,
        Self::Unreachable,
        Self::NotReady,
        Self::Busy,
        Self::Stuck,
        Self::Unknown,
        Self::Failed,
    ];

    /// Whether something may be mounted at the target after a mount failed so, now or later.
    pub fn may_be_mounted(self) -> bool {
        matches!(self, Self::Busy | Self::Stuck | Self::Unknown)
    }
}

/// A failed mount operation.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} {subject}: {message}")]
pub struct MountError {
    /// What it means.
    pub kind: MountErrorKind,
    /// What was tried, such as "mount".
    pub operation: &'static str,
    /// The path or source that it was about.
    pub subject: String,
    /// What happened.
    pub message: String,
    /// What to do about it, where the adapter knows.
    pub hint: Option<String>,
    /// The cause below.
    #[source]
    pub source: Option<Cause>,
}

impl MountError {
    /// An error without hint or cause; set those fields where known.
    pub fn new(
        kind: MountErrorKind,
        operation: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, operation, subject: subject.into(), message: message.into(), hint: None, source: None }
    }

    /// An error about a path.
    pub fn at(kind: MountErrorKind, operation: &'static str, path: &Path, message: impl Into<String>) -> Self {
        Self::new(kind, operation, path.display().to_string(), message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds the cause below.
    #[must_use]
    pub fn caused_by(self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { source: Some(cause.into()), ..self }
    }

    /// The same failure where it leaves open what is at the target.
    #[must_use]
    pub fn unknown(self) -> Self {
        Self { kind: MountErrorKind::Unknown, ..self }
    }
}
