//! Lustre without a kernel module: a file system is a directory tree, a mount is a bind mount or a symbolic link.
//!
//! Publishing can be tried, demonstrated and tested on any machine, with the behaviour that the use-cases rely on: mounts
//! of one file system share its data, a server that is gone makes mounts corrupt, nothing stacks.
//!
//! How faithful it is depends on [`Mode`]. With bind mounts the kernel itself refuses writes through a read-only mount.
//! With links only the table of mounts knows the options: **a read-only link can be written through**, and `nosuid`,
//! `nodev` and `noexec` have no effect. Lustre's own options and `sync` are shown and not acted on in either mode.
//!
//! The table is kept in memory and all that is in it is taken away with the last reference. After a crash, bind mounts
//! that an earlier process left are seen and can be unmounted, but not which volume they were, so
//! [`Mounter::published`] leaves them out; a link of an earlier process is an obstruction.
//!
//! The behaviour is synchronous, in `node`; here each call is moved to a thread that may block.

mod bind;
mod failure;
mod filesystem;
mod link;
mod node;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use self::node::Node;
use super::servers::Servers;
use crate::domain::mount::MountPlan;
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind, MountOutcome, Mounter, Readiness, Usage};

/// Permissions of sub-directories that are made, unless it is set otherwise.
const SUB_DIR_MODE: u32 = 0o775;

/// What a simulated mount is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bind mounts, where the process may mount: as root, or in a user namespace of its own.
    Bind,
    /// Symbolic links, anywhere. Options are shown, not enforced.
    Link,
}

impl Mode {
    /// Tries a read-only bind mount in the system's directory for temporary files: capabilities alone do not decide it, since
    /// a container's seccomp or `AppArmor` profile may refuse it all the same. Blocks for a moment.
    pub fn detect() -> Self {
        Self::detect_below(&std::env::temp_dir())
    }

    /// The same in another directory, for processes that have no directory for temporary files.
    fn detect_below(directory: &Path) -> Self {
        if bind::is_possible(directory) { Self::Bind } else { Self::Link }
    }
}

/// A node that mounts the simulated [`Servers`].
#[derive(Debug)]
pub struct SimulatedLustre {
    node: Arc<Node>,
}

impl SimulatedLustre {
    /// A node in the best mode that this process may use; see [`Mode::detect`]. Tried below the servers' root.
    pub fn new(servers: Arc<Servers>) -> Self {
        let mode = Mode::detect_below(servers.root());
        Self::with_mode(servers, mode)
    }

    /// A node in this mode.
    pub fn with_mode(servers: Arc<Servers>, mode: Mode) -> Self {
        Self { node: Arc::new(Node::new(servers, mode, SUB_DIR_MODE)) }
    }

    /// The same node, which gives sub-directories that it makes these permissions, whatever the process's umask. For a
    /// node that nobody uses yet: a new one, without mounts.
    #[must_use]
    pub fn with_sub_dir_mode(self, sub_dir_mode: u32) -> Self {
        Self { node: Arc::new(self.node.with_sub_dir_mode(sub_dir_mode)) }
    }

    /// The mode in use.
    pub fn mode(&self) -> Mode {
        self.node.mode()
    }

    /// Changes what [`Mounter::readiness`] answers; a new node is ready.
    pub fn set_readiness(&self, readiness: Readiness) {
        self.node.set_readiness(readiness);
    }

    /// Unmounts all that this node mounted, as far as possible; the emptied target directories stay. Blocks. Happens by
    /// itself once the node is dropped and its last call has ended.
    pub fn close(&self) {
        self.node.close();
    }

    /// Runs `work` to its end on a thread that may block, also when the caller stops waiting.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        subject: String,
        work: impl FnOnce(&Node) -> Result<T, MountError> + Send + 'static,
    ) -> Result<T, MountError> {
        let node = Arc::clone(&self.node);
        tokio::task::spawn_blocking(move || work(&node)).await.unwrap_or_else(|lost| {
            let message = "the thread that did it was lost; examine the target before another try";
            let error = MountError::new(MountErrorKind::Failed, operation, subject, message);
            Err(MountError { source: Some(lost.into()), ..error })
        })
    }

    /// [`Self::run`] for what is about one path.
    async fn run_at<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &Path,
        work: fn(&Node, &Path) -> Result<T, MountError>,
    ) -> Result<T, MountError> {
        let path = path.to_owned();
        self.run(operation, path.display().to_string(), move |node| work(node, &path)).await
    }
}

#[async_trait]
impl Mounter for SimulatedLustre {
    async fn readiness(&self) -> Readiness {
        self.node.readiness()
    }

    async fn published(&self, plan: &MountPlan) -> Result<Vec<PathBuf>, MountError> {
        let plan = plan.clone();
        self.run("list the mounts of", plan.volume_id.clone(), move |node| node.published(&plan)).await
    }

    async fn make_sub_dir(&self, source: &MountSource) -> Result<(), MountError> {
        let source = source.clone();
        self.run("make the sub-directory of", source.to_string(), move |node| node.make_sub_dir(&source)).await
    }

    async fn mount(&self, plan: &MountPlan) -> Result<MountOutcome, MountError> {
        let plan = plan.clone();
        self.run("mount", plan.target.display().to_string(), move |node| node.mount(&plan)).await
    }

    async fn unmount(&self, target: &Path) -> Result<(), MountError> {
        self.run_at("unmount", target, Node::unmount).await
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        self.run_at("statfs", path, Node::usage).await
    }
}

#[cfg(test)]
mod tests;
