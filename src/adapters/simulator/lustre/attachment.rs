//! What a simulated mount is made of: a bind mount, or a symbolic link where the process may not mount.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{bind, symlink};
use crate::adapters::target::io_error;
use crate::domain::mount::Mounted;
use crate::domain::mount_options::MountOptions;
use crate::ports::mounter::MountError;

/// What a node makes its mounts of.
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
    pub(super) fn detect_below(directory: &Path) -> Self {
        if bind::is_possible(directory) { Self::Bind } else { Self::Link }
    }

    /// Shows `directory`, which is at `path`, at an empty target directory. If it fails, nothing is at the target but a
    /// directory. `staging` is a directory of this process for mounts that get their options before they are shown.
    pub(super) fn attach(
        self,
        (directory, path): (&File, PathBuf),
        target: &Path,
        options: &MountOptions,
        staging: &Path,
    ) -> Result<Attachment, MountError> {
        match self {
            Self::Bind => bind::mount(directory, target, options, staging).map(Attachment::BindMount),
            Self::Link => symlink::create(&path, target).map(|()| Attachment::Symlink(path)),
        }
    }

    /// The mounts that are seen at a target, the lowest first. In place of `own`, which is attached there, stands the mount
    /// that it shows.
    pub(super) fn mounts_at(
        self,
        target: &Path,
        own: Option<(&Attachment, &Mounted)>,
    ) -> Result<Vec<Seen>, MountError> {
        match (self, own) {
            (Self::Link, Some((Attachment::Symlink(directory), shown))) if symlink::leads_to(directory, target) => {
                Ok(vec![Seen { is_own: true, mounted: shown.clone() }])
            }
            (Self::Link, _) => Ok(vec![]),
            (Self::Bind, own) => {
                let failed = |cause| io_error("mount", target, "/proc/self/mountinfo cannot be read", cause).unknown();
                let seen = bind::at(target).map_err(failed)?.into_iter().map(|line| {
                    let own = own.filter(|(attachment, _)| **attachment == Attachment::BindMount(line.id));
                    let (source, fs_type, options) = (line.source, line.fs_type, line.options);
                    let mounted = own.map_or(Mounted { source, fs_type, options }, |(_, shown)| shown.clone());
                    Seen { is_own: own.is_some(), mounted }
                });
                Ok(seen.collect())
            }
        }
    }

    /// Unmounts whatever bind mounts are at a target, or the link that is attached there.
    pub(super) fn unmount(self, target: &Path, own: Option<&Attachment>) -> Result<(), MountError> {
        match (own, self) {
            (Some(Attachment::Symlink(directory)), _) => symlink::remove(directory, target),
            (_, Self::Bind) => bind::unmount(target),
            (_, Self::Link) => Ok(()),
        }
    }
}

/// What shows a directory of a file system at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attachment {
    /// The mount with this mount ID in mountinfo (`proc_pid_mountinfo(5)`).
    BindMount(u64),
    /// A symbolic link to this directory.
    Symlink(PathBuf),
}

impl Attachment {
    /// Unmounts a corrupt mount, in use or not.
    pub(super) fn detach(&self, target: &Path) -> Result<(), MountError> {
        let failed = |cause| io_error("unmount", target, "the corrupt mount cannot be detached", cause).unknown();
        match self {
            Self::Symlink(directory) => symlink::remove(directory, target),
            Self::BindMount(_) => bind::detach(target).map_err(failed),
        }
    }
}

/// A mount at a target.
#[derive(Debug)]
pub(super) struct Seen {
    /// Whether it is the one in the mount table.
    pub(super) is_own: bool,
    /// As a Lustre client would show it.
    pub(super) mounted: Mounted,
}
