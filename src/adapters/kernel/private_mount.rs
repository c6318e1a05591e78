//! Private mounts of a file system's root below the working directory, each for the duration of one operation.
//!
//! They serve to make sub-directories, and to find out whether a file system of a name exists. The mount is unmounted when
//! its value is dropped; what a killed process leaves has the prefix in its name and is removed at the next start.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use nix::unistd::geteuid;

use super::blocking::BlockingMounter;
use super::mount_call::open_directory;
use super::syscalls::UnmountFlags;
use super::{errno, working_dir};
use crate::adapters::target;
use crate::domain::mount_options::MountOptions;
use crate::domain::mount_source::{FsName, MountSource};
use crate::ports::mounter::{MountError, MountErrorKind};
use crate::ports::node_faults::NodeFault;

/// Prefix of the names of private mount points.
const PREFIX: &str = "azurelustre-csi-root-";
const CLEAN: &str = "clean";

/// Whether a path is that of a private mount, of any process and working directory.
pub(super) fn is_private(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
}

/// The same source with the name that every AMLFS file system has, if that is another.
pub(super) fn lustrefs(source: &MountSource) -> Option<MountSource> {
    let fs_name = FsName::default();
    (source.fs_name != fs_name).then(|| MountSource { fs_name, ..source.clone() })
}

/// A private mount. Dropping it unmounts it.
pub(super) struct PrivateMount<'a> {
    mounter: &'a BlockingMounter,
    path: PathBuf,
    is_mounted: bool,
}

impl<'a> PrivateMount<'a> {
    /// Mounts the root of a source without host names.
    pub(super) fn new(
        mounter: &'a BlockingMounter,
        operation: &'static str,
        source: &MountSource,
    ) -> Result<Self, MountError> {
        let path = mounter.next_private_path(operation)?;
        // A mount that a crash left there; before the path is accessed, since its servers may be dead.
        mounter.detach_private(operation, &path)?;
        make_directory(operation, &path)?;
        let mut mount = Self { mounter, path, is_mounted: false };
        let directory = open_directory(operation, &mount.path)?;
        let options = MountOptions { no_suid: true, no_dev: true, no_exec: true, ..MountOptions::default() };
        mounter.call_mount(operation, &source.root(), &options, &mount.path, &directory)?;
        mount.is_mounted = true;
        Ok(mount)
    }

    /// The root of the file system.
    pub(super) fn root(&self, operation: &'static str) -> Result<File, MountError> {
        open_directory(operation, &self.path)
    }
}

impl Drop for PrivateMount<'_> {
    fn drop(&mut self) {
        let unmounted = if self.is_mounted { self.mounter.unmount_or_detach(&self.path) } else { Ok(()) };
        let removed = unmounted.map_err(|error| error.to_string());
        let removed = removed.and_then(|()| std::fs::remove_dir(&self.path).map_err(|error| error.to_string()));
        if let Err(error) = removed {
            tracing::warn!(error, place = %self.path.display(), "a private mount stays until the next start");
        }
    }
}

impl BlockingMounter {
    /// The source to mount where mount(2) of `source` failed with ENOENT: `lustrefs`, if the MGS has no file system of the
    /// source's name; none if it has one, so that the sub-directory is missing.
    pub(super) fn existing(
        &self,
        operation: &'static str,
        source: &MountSource,
    ) -> Result<Option<MountSource>, MountError> {
        let Some(lustrefs) = lustrefs(source) else { return Ok(None) };
        if source.sub_dir.is_some() {
            match PrivateMount::new(self, operation, source) {
                Ok(_mount) => return Ok(None),
                Err(error) if error.kind == MountErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(lustrefs))
    }

    /// Removes private mounts that an earlier process left, and returns how many there were.
    pub(super) fn clean_leftovers(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(&self.settings.working_dir) else { return 0 };
        let mut cleaned = 0;
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_private(path)) {
            let removed = target::canonical(CLEAN, &path).and_then(|canonical| {
                let canonical = canonical.unwrap_or(path);
                self.detach_private(CLEAN, &canonical)?;
                target::remove(&canonical)
            });
            match removed {
                Ok(()) => cleaned += 1,
                Err(error) => tracing::warn!(fault = ?error, "a private mount of an earlier process stays"),
            }
        }
        if cleaned > 0 {
            tracing::info!(cleaned, "private mounts of an earlier process were removed");
        }
        cleaned
    }

    /// Detaches every mount of the driver's type at a private path: no data is written through one.
    fn detach_private(&self, operation: &'static str, path: &Path) -> Result<(), MountError> {
        let mut last = None;
        while let Some(top) = self.mounts(operation, path)?.at(path).pop() {
            if !self.is_ours(&top) || last == Some(top.id) {
                let message = format!("a {} mount of {} is in the way", top.fs_type, top.source);
                return Err(
                    MountError::at(MountErrorKind::Failed, operation, path, message).with_hint("unmount it by hand")
                );
            }
            last = Some(top.id);
            self.syscalls.unmount(path, UnmountFlags::Detach).map_err(|errno| errno::of_unmount(errno, path))?;
        }
        Ok(())
    }

    /// The canonical path of the next private mount.
    fn next_private_path(&self, operation: &'static str) -> Result<PathBuf, MountError> {
        let working_dir = &self.settings.working_dir;
        let failed = |cause| unusable(operation, working_dir, cause);
        DirBuilder::new().recursive(true).mode(working_dir::MODE).create(working_dir).map_err(failed)?;
        let number = self.private_mounts.fetch_add(1, Ordering::Relaxed);
        Ok(working_dir.canonicalize().map_err(failed)?.join(format!("{PREFIX}{number:08}")))
    }
}

/// Makes the directory, or takes an existing one if it is the driver's: others may write to the working directory.
fn make_directory(operation: &'static str, path: &Path) -> Result<(), MountError> {
    let failed = |cause| unusable(operation, path.parent().unwrap_or(path), cause);
    match DirBuilder::new().mode(working_dir::MODE).create(path) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(failed(cause)),
        made => drop(made),
    }
    let found = std::fs::symlink_metadata(path).map_err(failed)?;
    if found.is_dir() && found.uid() == geteuid().as_raw() {
        return Ok(());
    }
    let message = "it exists already and is no directory of the driver's";
    let hint = "remove it, or choose another working-mount-dir";
    Err(MountError::at(MountErrorKind::Failed, operation, path, message).with_hint(hint))
}

/// A fault of the container's set-up, in the words of the check at the start.
fn unusable(operation: &'static str, working_dir: &Path, cause: io::Error) -> MountError {
    let NodeFault { message, hint } = working_dir::unusable(working_dir, &cause);
    MountError::at(MountErrorKind::NotReady, operation, working_dir, message).with_hint(hint).caused_by(cause)
}
