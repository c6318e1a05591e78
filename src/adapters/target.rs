//! Target directories (CSI `NodePublishVolumeRequest.target_path`): canonical path, creation, opening and removal.
//!
//! kubelet owns these paths. Only the last directory of a target is ever made (CSI: the parent is the caller's), no
//! symbolic link is followed, and only an empty directory is removed. What is mounted at a target is never touched.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

use crate::ports::mounter::{MountError, MountErrorKind};

/// Permissions of target directories, as kubelet makes them.
const TARGET_MODE: u32 = 0o750;

/// Flags of open(2) for a descriptor that only names a directory.
pub(super) const DIRECTORY: OFlag =
    OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The error of a system call on a path of this machine.
pub(super) fn io_error(operation: &'static str, path: &Path, message: &str, cause: io::Error) -> MountError {
    let (kind, hint) = match cause.kind() {
        ErrorKind::PermissionDenied => (MountErrorKind::NotReady, Some("run the driver as root")),
        ErrorKind::ResourceBusy => (MountErrorKind::Busy, Some("something is mounted there; unmount it first")),
        _ => (MountErrorKind::Failed, None),
    };
    MountError { hint: hint.map(str::to_owned), ..MountError::at(kind, operation, path, message).caused_by(cause) }
}

/// Opens a directory as a descriptor that only names it: it is not read, nor followed if it is a symbolic link.
pub(super) fn open_directory(path: &Path) -> io::Result<File> {
    Ok(open(path, DIRECTORY, Mode::empty())?.into())
}

/// Opens a directory below another one (openat2(2) with `RESOLVE_BENEATH`). No symbolic link on the way is followed.
pub(super) fn open_beneath(directory: &File, path: &str) -> Result<File, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(DIRECTORY).resolve(resolve);
    loop {
        match openat2(directory, path, how) {
            // EAGAIN: something was renamed meanwhile (openat2(2)).
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            opened => return opened.map(File::from),
        }
    }
}

/// A target as mountinfo names it: without symbolic links in its parents. The last name is not resolved. `None` where the
/// parent does not exist, so that nothing can be mounted there.
pub(super) fn canonical(operation: &'static str, target: &Path) -> Result<Option<PathBuf>, MountError> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else { return Ok(None) };
    match parent.canonicalize() {
        Ok(parent) => Ok(Some(parent.join(name))),
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(cause) => Err(io_error(operation, target, "the path of the target cannot be resolved", cause).unknown()),
    }
}

/// The error for a target whose parent does not exist in the driver's container.
pub(super) fn no_parent(operation: &'static str, target: &Path) -> MountError {
    let parent = target.parent().unwrap_or(target).display();
    let hint = "kubelet makes it: check that kubelet's root directory is mounted into the driver's container at the \
        same path, with mountPropagation Bidirectional, and that --kubelet-dir names it";
    let message = format!("its parent directory {parent} does not exist here");
    MountError::at(MountErrorKind::NotReady, operation, target, message).with_hint(hint)
}

/// Makes the target directory; `false` if there is one already. Its parents are never made.
pub(super) fn make(target: &Path) -> Result<bool, MountError> {
    match DirBuilder::new().mode(TARGET_MODE).create(target) {
        Ok(()) => Ok(true),
        Err(cause) => match cause.kind() {
            ErrorKind::AlreadyExists => Ok(false),
            ErrorKind::NotFound => Err(no_parent("mount", target)),
            _ => Err(io_error("mount", target, "the target directory cannot be made", cause)),
        },
    }
}

/// Refuses anything but a directory, without following a symbolic link. `canonical` is the target's canonical path, on
/// which nothing is mounted.
pub(super) fn check_directory(target: &Path, canonical: &Path) -> Result<(), MountError> {
    let found = match std::fs::symlink_metadata(canonical) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(found) if found.is_symlink() => "a symbolic link",
        Ok(found) if found.is_file() => "a regular file",
        Ok(_) => "a device, a socket or a pipe",
        Err(cause) => return Err(io_error("mount", target, "the target cannot be examined", cause)),
    };
    let message = format!("{found} is in the way of the target directory");
    let hint = "remove it: a volume needs a directory, and nothing but an empty directory is ever removed for it";
    Err(MountError::at(MountErrorKind::Failed, "mount", target, message).with_hint(hint))
}

/// Removes an empty directory that nothing is mounted on; one that is absent is removed already. rmdir(2) refuses a
/// directory that something is mounted on.
pub(super) fn remove(target: &Path) -> Result<(), MountError> {
    // Without a `.` or `/` at the end, which rmdir(2) refuses.
    let target: PathBuf = target.components().collect();
    let Err(cause) = std::fs::remove_dir(&target) else { return Ok(()) };
    let (message, hint) = match cause.kind() {
        ErrorKind::NotFound => return Ok(()),
        ErrorKind::DirectoryNotEmpty => (
            "it is not empty, so it stays",
            "its files were written while nothing was mounted; move them elsewhere, they are never deleted",
        ),
        ErrorKind::NotADirectory => ("it is not a directory, so it stays", "remove it by hand if it is not needed"),
        _ => return Err(io_error("remove", &target, "the target directory cannot be removed", cause)),
    };
    Err(io_error("remove", &target, message, cause).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_directory_is_made() {
        let root = tempfile::tempdir().unwrap();
        let error = make(&root.path().join("kubelet/mount")).unwrap_err();
        assert_eq!(error.kind, MountErrorKind::NotReady);
        assert!(
            error.message.contains("kubelet") && error.hint.as_deref().unwrap_or_default().contains("--kubelet-dir"),
            "{error:?}"
        );
        assert!(!root.path().join("kubelet").exists());
        assert!(make(&root.path().join("mount")).unwrap());
        assert!(!make(&root.path().join("mount")).unwrap(), "it is there already");
    }

    #[test]
    fn a_target_without_a_parent_has_no_canonical_path() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&real, real.join("alias")).unwrap();
        assert_eq!(canonical("mount", &real.join("alias/./mount")).unwrap(), Some(real.join("mount")));
        assert_eq!(canonical("mount", &real.join("absent/mount")).unwrap(), None);
    }

    #[test]
    fn nothing_but_an_empty_directory_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        std::fs::create_dir_all(target.join("kept")).unwrap();
        let error = remove(&target).unwrap_err();
        assert!(error.message.contains("not empty") && error.hint.is_some(), "{error:?}");
        std::fs::remove_dir(target.join("kept")).unwrap();
        for _ in 0..2 {
            remove(&target.join(".")).unwrap();
        }
        std::fs::write(&target, "text").unwrap();
        assert!(remove(&target).unwrap_err().message.contains("not a directory"));
        assert!(check_directory(&target, &target).unwrap_err().message.contains("a regular file"));
        assert_eq!(std::fs::read(&target).unwrap(), b"text");
    }
}
