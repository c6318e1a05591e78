//! The synchronous side: what mounts, unmounts, statfs calls and sub-directories share on their threads.
//!
//! Every system call is made on a thread that it may block, and no lock is held across any of them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use nix::fcntl::open;
use nix::sys::stat::Mode;

use super::errno;
use super::mgs_limit::{self, MgsLimit};
use super::mount_args::MountArgs;
use super::mount_records::Records;
use super::parts::{ImportsSource, Parts};
use super::propagation::Propagation;
use super::registry::Registry;
use super::settings::KernelSettings;
use super::syscalls::{SysError, Syscalls, UnmountFlags};
use super::threads::Threads;
use super::tuning::Tuner;
use crate::adapters::mountinfo::{MountEntry, Mountinfo};
use crate::adapters::target::{self, TargetError};
use crate::domain::mount_options::MountOptions;
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind};
use crate::ports::node_faults::NodeFault;

/// The state of one node: what is in progress, what was mounted, and the way to the kernel.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) settings: KernelSettings,
    pub(super) calls: Arc<dyn Syscalls>,
    pub(super) imports: ImportsSource,
    pub(super) propagation: Option<Arc<Propagation>>,
    pub(super) threads: Threads,
    pub(super) registry: Arc<Registry>,
    pub(super) mgs_limit: Arc<MgsLimit>,
    pub(super) records: Records,
    pub(super) tuner: Tuner,
    /// Whether this client has refused `unique_fsid`.
    pub(super) refuses_unique_fsid: AtomicBool,
    /// How many private mounts were made.
    pub(super) private_mounts: AtomicU64,
}

impl Node {
    pub(super) fn new(settings: KernelSettings, parts: &Parts) -> Self {
        Self {
            calls: Arc::clone(&parts.calls),
            imports: parts.imports.clone(),
            propagation: parts.propagation.clone(),
            threads: Threads::new(settings.threads),
            registry: Arc::default(),
            mgs_limit: Arc::new(MgsLimit::new(settings.mounts_per_mgs, settings.limits.mount)),
            records: Records::default(),
            tuner: Tuner::new(parts.paths.clone(), settings.tuning.clone()),
            refuses_unique_fsid: AtomicBool::default(),
            private_mounts: AtomicU64::default(),
            settings,
        }
    }

    /// All mounts of the moment.
    pub(super) fn mounts(&self, operation: &'static str, subject: &Path) -> Result<Mountinfo, MountError> {
        let failed = |cause| {
            errno::of_path(
                &cause,
                operation,
                subject,
                "/proc/self/mountinfo cannot be read, so what is mounted is unknown",
            )
        };
        self.calls.mountinfo().map(Mountinfo::new).map_err(|cause| failed(cause).unknown())
    }

    pub(super) fn is_ours(&self, line: &MountEntry) -> bool {
        line.fs_type == self.settings.fs_type
    }

    /// Refuses a target at which kubelet would not see the mount.
    pub(super) fn check_propagation(&self, target: &Path, place: &Path) -> Result<(), MountError> {
        let fault = self.propagation.as_ref().and_then(|propagation| propagation.fault_for(place));
        fault.map_or(Ok(()), |fault| {
            let NodeFault { message, hint } = fault.into();
            Err(MountError::at(MountErrorKind::NotReady, "mount", target, message).with_hint(hint))
        })
    }

    /// One mount(2) of a source without host names.
    pub(super) fn call_mount(
        &self,
        operation: &'static str,
        source: &MountSource,
        options: &MountOptions,
        place: &Path,
        directory: &File,
    ) -> Result<(), MountError> {
        let call = MountArgs::new(source, options, place, &self.settings.fs_type).map_err(|_| {
            let message = "source and options together are longer than the kernel takes";
            MountError::new(MountErrorKind::Invalid, operation, source.to_string(), message)
                .with_hint("shorten sub-dir")
        })?;
        let result = self.calls.mount(&call, directory);
        let answered = !result.is_err_and(errno::is_silence);
        self.mgs_limit.note(&mgs_limit::key(source), answered);
        result.map_err(|errno| errno::of_mount(errno, operation, source, self.calls.may_mount()))
    }

    /// Unmounts the uppermost mount at a place, and detaches what is in use. For mounts whose data nobody needs.
    pub(super) fn unmount_or_detach(&self, place: &Path) -> Result<(), SysError> {
        self.calls.unmount(place, UnmountFlags::Plain).or_else(|_| self.calls.unmount(place, UnmountFlags::Detach))
    }
}

/// Opens a directory as a place only.
pub(super) fn open_directory(operation: &'static str, path: &Path) -> Result<File, TargetError> {
    open(path, target::DIRECTORY, Mode::empty())
        .map(File::from)
        .map_err(|errno| TargetError::because(operation, path, "the directory cannot be opened", errno.into()))
}
