//! The blocking half of the mounter: the state and the steps that operations share on their threads.
//!
//! Every system call is made on a thread that it may block, and no lock is held across any of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::client_state::KernelFiles;
use super::lustre_client::{LustreClient, UnobservedClient};
use super::mgs_limit::MgsLimit;
use super::mount_records::MountRecords;
use super::operation_registry::OperationRegistry;
use super::propagation::Propagation;
use super::settings::KernelSettings;
use super::syscalls::{Kernel, SysError, Syscalls, UnmountFlags};
use super::threads::Threads;
use super::tuning::Tuner;
use crate::adapters::mountinfo::{MountEntry, Mountinfo};
use crate::adapters::target;
use crate::ports::mounter::MountError;

/// What a mounter works with, besides its settings. The default is the real kernel, with a client that is not observed.
#[derive(Debug, Clone)]
pub struct Dependencies {
    /// The operating system.
    pub syscalls: Arc<dyn Syscalls>,
    /// Where the tunables of the client are.
    pub files: KernelFiles,
    /// The state of the Lustre client.
    pub client: Arc<dyn LustreClient>,
    /// Whether kubelet sees the mounts, checked first at each publish. Without it, that is assumed.
    pub propagation: Option<Arc<Propagation>>,
}

impl Default for Dependencies {
    fn default() -> Self {
        Self {
            syscalls: Arc::new(Kernel),
            files: KernelFiles::default(),
            client: Arc::new(UnobservedClient),
            propagation: None,
        }
    }
}

/// Operations in progress, mounts made so far, and the way to the kernel.
#[derive(Debug)]
pub(super) struct BlockingMounter {
    pub(super) settings: KernelSettings,
    pub(super) syscalls: Arc<dyn Syscalls>,
    pub(super) client: Arc<dyn LustreClient>,
    pub(super) propagation: Option<Arc<Propagation>>,
    pub(super) threads: Threads,
    pub(super) registry: Arc<OperationRegistry>,
    pub(super) mgs_limit: Arc<MgsLimit>,
    pub(super) records: MountRecords,
    pub(super) tuner: Tuner,
    /// Whether this client has refused `unique_fsid`.
    pub(super) refuses_unique_fsid: AtomicBool,
    /// How many private mounts were made.
    pub(super) private_mounts: AtomicU64,
}

impl BlockingMounter {
    pub(super) fn new(settings: KernelSettings, dependencies: Dependencies) -> Self {
        let Dependencies { syscalls, files, client, propagation } = dependencies;
        Self {
            syscalls,
            client,
            propagation,
            threads: Threads::new(settings.threads),
            registry: Arc::default(),
            mgs_limit: Arc::new(MgsLimit::new(settings.mounts_per_mgs, settings.limits.mount)),
            records: MountRecords::default(),
            tuner: Tuner::new(files, settings.tuning.clone()),
            refuses_unique_fsid: AtomicBool::default(),
            private_mounts: AtomicU64::default(),
            settings,
        }
    }

    /// All mounts of this moment.
    pub(super) fn mounts(&self, operation: &'static str, subject: &Path) -> Result<Mountinfo, MountError> {
        const MESSAGE: &str = "/proc/self/mountinfo cannot be read, so what is mounted is unknown";
        let bytes = self.syscalls.mountinfo();
        bytes.map(Mountinfo::new).map_err(|cause| target::io_error(operation, subject, MESSAGE, cause).unknown())
    }

    /// Whether a mount is of the type that the driver mounts and unmounts.
    pub(super) fn is_ours(&self, mount: &MountEntry) -> bool {
        mount.fs_type == self.settings.fs_type
    }

    /// The uppermost mount at a canonical target, if it is of the driver's type.
    pub(super) fn mounted_at(
        &self,
        operation: &'static str,
        target: &Path,
        canonical: &Path,
    ) -> Result<Option<MountEntry>, MountError> {
        Ok(self.mounts(operation, target)?.at(canonical).pop().filter(|top| self.is_ours(top)))
    }

    /// Unmounts the uppermost mount, and detaches one that is in use. For mounts that hold no data to write back.
    pub(super) fn unmount_or_detach(&self, canonical: &Path) -> Result<(), SysError> {
        let unmount = |flags| self.syscalls.unmount(canonical, flags);
        unmount(UnmountFlags::Plain).or_else(|_| unmount(UnmountFlags::Detach))
    }
}
