//! The node's way to Lustre: mount(2) in the kernel, or the simulator's directories.
//!
//! Why it is shaped so: the use-cases decide from one look at the target's path, and each act is a call of its own with
//! its own time limit, so that a mount that hangs can be told from one that failed and hurts no other volume.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::Cause;
use crate::domain::mount::{MountPlan, MountState};
use crate::domain::mount_source::MountSource;

/// What the use-cases need of a node.
#[async_trait]
pub trait Mounter: Send + Sync + std::fmt::Debug {
    /// Whether Lustre can be mounted here, and what is missing if not.
    async fn readiness(&self) -> Readiness;

    /// Looks at a target path without touching what is mounted there more than needed.
    async fn inspect(&self, target: &Path) -> Result<MountState, MountError>;

    /// Looks at a plan's target as [`Mounter::inspect`] does. A mount of the plan's own source is shown as the plan spells
    /// it, also where the plan names a host and the mount has its address. For adapters whose mounts lose host names.
    async fn inspect_for(&self, plan: &MountPlan) -> Result<MountState, MountError> {
        self.inspect(&plan.target).await
    }

    /// Targets at which this volume is published on this node, also those of an earlier process.
    async fn published(&self, volume_id: &str) -> Result<Vec<PathBuf>, MountError>;

    /// Makes the source's sub-directory, parents included; existing ones are left as they are. Follows no symbolic link.
    async fn make_sub_dir(&self, source: &MountSource) -> Result<(), MountError>;

    /// Makes the target directory if it is absent, its parents included, and returns whether this call made it.
    async fn make_target(&self, target: &Path) -> Result<bool, MountError>;

    /// Mounts. The target is an existing directory that nothing is mounted on.
    async fn mount(&self, plan: &MountPlan) -> Result<(), MountError>;

    /// Makes the target and mounts, as one act, if nothing is mounted or under way there: the way of nearly every mount, for
    /// adapters to whom steps are dear. `None`, without a change, whenever anything is to be looked at or waited for.
    async fn mount_fresh(&self, _plan: &MountPlan) -> Option<Fresh> {
        None
    }

    /// Takes away what is mounted at the target, all of it. Nothing mounted, or nothing there, is `Ok`. The directory
    /// stays.
    async fn unmount(&self, target: &Path) -> Result<(), MountError>;

    /// Takes away what is mounted at the target, for the sake of a new mount there. As [`Mounter::unmount`], but the
    /// volume's other mounts on this node must survive it: an adapter that can end a file system for all who use it does
    /// not do so here.
    async fn clear(&self, target: &Path) -> Result<(), MountError> {
        self.unmount(target).await
    }

    /// Removes the empty directory that a mount was on. Absent is `Ok`; its parents stay.
    async fn remove_target(&self, target: &Path) -> Result<(), MountError>;

    /// [`Mounter::unmount`] and then [`Mounter::remove_target`], for adapters to whom steps are dear.
    async fn take_away(&self, target: &Path) -> Result<(), MountError> {
        self.unmount(target).await?;
        self.remove_target(target).await
    }

    /// Space and inodes of the file system mounted at `path`; `None` if nothing is mounted there.
    async fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError>;
}

/// What came of a mount in one act.
#[derive(Debug)]
pub struct Fresh {
    /// Whether this call made the target directory.
    pub made_target: bool,
    /// Whether it is mounted.
    pub result: Result<(), MountError>,
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
    pub bytes: Amount,
    /// Inodes.
    pub inodes: Amount,
}

/// How much of something there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// All.
    pub total: u64,
    /// In use.
    pub used: u64,
    /// For the taking; may be less than the rest.
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
    /// The node is not set up: module, network, permission of the driver itself.
    NotReady,
    /// In use by processes or other mounts.
    Busy,
    /// Not finished in time; it goes on and a later call meets it.
    Stuck,
    /// Anything else: an input or output error, a full disk.
    Failed,
}

impl MountErrorKind {
    /// All kinds, for tables and tests.
    pub const ALL: [Self; 8] = [
        Self::NotFound,
        Self::Denied,
        Self::Invalid,
        Self::Unreachable,
        Self::NotReady,
        Self::Busy,
        Self::Stuck,
        Self::Failed,
    ];
}

/// A failed mount operation.
#[derive(Debug, thiserror::Error)]
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
}
