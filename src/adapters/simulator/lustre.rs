//! Lustre without a kernel module: a file system is a directory tree, a mount is a bind mount or a symbolic link.
//!
//! Volumes can be published on any machine, with the behaviour that the use-cases rely on: mounts of one file system share
//! its data, a server that stopped makes mounts corrupt, mounts never stack.
//!
//! How faithful it is depends on [`Mode`]. With bind mounts the kernel itself refuses writes through a read-only mount.
//! With links only the mount table has the options: **a read-only link can be written through**, and `nosuid`, `nodev` and
//! `noexec` have no effect. Lustre's own options and `sync` are shown and have no effect in either mode.
//!
//! The mount table is in memory, and all mounts in it are unmounted when the last reference is dropped. After a crash, bind
//! mounts of an earlier process are seen and can be unmounted, but not which volume they were, so [`Mounter::published`]
//! leaves them out; a link of an earlier process is an obstruction.

mod attachment;
mod bind;
mod filesystem;
mod mount_table;
mod mounts;
mod symlink;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

pub use self::attachment::Mode;
use self::mounts::Mounts;
use super::servers::Servers;
use crate::domain::mount::MountPlan;
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind, MountOutcome, Mounter, Readiness, Usage};

/// Permissions of sub-directories that are made, unless it is set otherwise.
const SUB_DIR_MODE: u32 = 0o775;

/// The mounter port over the simulated [`Servers`]. Its work is synchronous, and each call has a thread that may block.
#[derive(Debug)]
pub struct SimulatedLustre {
    mounts: Arc<Mounts>,
    sub_dir_mode: u32,
    readiness: Mutex<Readiness>,
}

impl SimulatedLustre {
    /// A node that mounts as this process may, tried below the servers' root.
    pub fn new(servers: Arc<Servers>) -> Self {
        let mode = Mode::detect_below(servers.root());
        Self::with_mode(servers, mode)
    }

    /// A node in this mode.
    pub fn with_mode(servers: Arc<Servers>, mode: Mode) -> Self {
        let mounts = Arc::new(Mounts::new(servers, mode));
        Self { mounts, sub_dir_mode: SUB_DIR_MODE, readiness: Mutex::new(Readiness::Ready) }
    }

    /// Sets the permissions of sub-directories that it makes, which no umask restricts.
    #[must_use]
    pub fn with_sub_dir_mode(self, sub_dir_mode: u32) -> Self {
        Self { sub_dir_mode, ..self }
    }

    /// Changes what [`Mounter::readiness`] returns; a new node is ready.
    pub fn set_readiness(&self, readiness: Readiness) {
        *self.readiness.lock().unwrap_or_else(PoisonError::into_inner) = readiness;
    }

    /// Unmounts everything that this node mounted, as far as possible; the emptied target directories stay. Blocks. Also
    /// runs when the node is dropped and its last call has ended.
    pub fn close(&self) {
        self.mounts.close();
    }

    /// Runs `work` to its end on a thread that may block, also when the caller stops waiting.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        subject: String,
        work: impl FnOnce(&Mounts) -> Result<T, MountError> + Send + 'static,
    ) -> Result<T, MountError> {
        let mounts = Arc::clone(&self.mounts);
        tokio::task::spawn_blocking(move || work(&mounts)).await.unwrap_or_else(|panic| {
            let message = "the thread of the call panicked; examine the target before another try";
            Err(MountError::new(MountErrorKind::Failed, operation, subject, message).caused_by(panic))
        })
    }
}

#[async_trait]
impl Mounter for SimulatedLustre {
    async fn readiness(&self) -> Readiness {
        self.readiness.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn published(&self, plan: &MountPlan) -> Result<Vec<PathBuf>, MountError> {
        let plan = plan.clone();
        self.run("list the mounts of", plan.volume_id.clone(), move |mounts| mounts.published(&plan)).await
    }

    async fn make_sub_dir(&self, source: &MountSource) -> Result<(), MountError> {
        let (source, mode) = (source.clone(), self.sub_dir_mode);
        let subject = source.to_string();
        self.run("make the sub-directory of", subject, move |mounts| mounts.make_sub_dir(&source, mode)).await
    }

    async fn mount(&self, plan: &MountPlan) -> Result<MountOutcome, MountError> {
        let plan = plan.clone();
        self.run("mount", plan.target.display().to_string(), move |mounts| mounts.mount(&plan)).await
    }

    async fn unmount(&self, target: &Path) -> Result<(), MountError> {
        let target = target.to_owned();
        self.run("unmount", target.display().to_string(), move |mounts| mounts.unmount(&target)).await
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        let path = path.to_owned();
        self.run("statfs", path.display().to_string(), move |mounts| mounts.usage(&path)).await
    }
}

#[cfg(test)]
mod tests;
