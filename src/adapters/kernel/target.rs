//! The target path itself: how it is named, what is there when nothing is mounted, and what may not be done with it.
//!
//! Why it exists: kubelet owns these paths and people do odd things to them. Whatever is found is told in words, never
//! followed and never deleted. Nothing here touches what is mounted at a target.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::failure::{self, Fault};
use crate::domain::mount::MountState;
use crate::ports::mounter::MountErrorKind;

/// Permissions of target directories, as kubelet makes them.
const TARGET_MODE: u32 = 0o750;

pub(super) const DIRECTORY: OFlag =
    OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// A target as mountinfo names it: without symbolic links in its parents. The target itself is not looked at.
pub(super) fn place(target: &Path) -> PathBuf {
    certain_place(target).unwrap_or_else(|| target.components().collect())
}

/// [`place`] of a target whose parent is there; without one it is not known where the target will be.
pub(super) fn certain_place(target: &Path) -> Option<PathBuf> {
    Some(target.parent()?.canonicalize().ok()?.join(target.file_name()?))
}

/// What is at a place that nothing is mounted on.
pub(super) fn unmounted(operation: &'static str, place: &Path) -> Result<MountState, Fault> {
    let what = match std::fs::symlink_metadata(place) {
        Err(cause) => match cause.kind() {
            io::ErrorKind::NotFound => return Ok(MountState::Absent),
            io::ErrorKind::NotADirectory => "a path below something that is no directory",
            _ => return Err(failure::of_path(&cause, operation, place, "the path cannot be looked at")),
        },
        Ok(found) if found.is_dir() => return Ok(MountState::Directory),
        Ok(found) if found.is_symlink() => "a symbolic link",
        Ok(found) if found.is_file() => "a regular file",
        Ok(_) => "a device, a socket or a pipe",
    };
    Ok(MountState::Obstructed { what: what.to_owned() })
}

/// Refuses to mount on anything but a directory.
pub(super) fn check_directory(target: &Path, place: &Path) -> Result<(), Fault> {
    match unmounted("mount", place)? {
        MountState::Obstructed { what } => Err(obstructed("mount", target, &what)),
        MountState::Absent => {
            Err(Fault::at(MountErrorKind::Failed, "mount", target, "there is no such directory").hint("make it first"))
        }
        _ => Ok(()),
    }
}

/// Opens a directory as a place only: neither read nor followed if it is a symbolic link.
pub(super) fn open_directory(operation: &'static str, path: &Path) -> Result<File, Fault> {
    open(path, DIRECTORY, Mode::empty())
        .map(File::from)
        .map_err(|errno| failure::of_path(&errno.into(), operation, path, "the directory cannot be opened"))
}

/// Makes a target directory, with its parents; `false` if something is there already.
pub(super) fn make(target: &Path) -> Result<bool, Fault> {
    let failed = |cause: io::Error| failure::of_path(&cause, "make", target, "the target directory cannot be made");
    let make = || DirBuilder::new().mode(TARGET_MODE).create(target);
    let result = make().or_else(|cause| match (cause.kind(), target.parent()) {
        (io::ErrorKind::NotFound, Some(parent)) => {
            DirBuilder::new().recursive(true).mode(TARGET_MODE).create(parent)?;
            make()
        }
        _ => Err(cause),
    });
    match result {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(cause) => Err(failed(cause)),
    }
}

/// Removes an empty directory that nothing is mounted on; one that is absent is removed already. The kernel looks at the
/// name in its parent only, and refuses what something is mounted on by itself.
pub(super) fn remove(target: &Path) -> Result<(), Fault> {
    // Without a `.` or `/` at the end, which rmdir(2) refuses.
    let target: PathBuf = target.components().collect();
    let Err(cause) = std::fs::remove_dir(&target) else { return Ok(()) };
    let hint = match cause.kind() {
        io::ErrorKind::NotFound => return Ok(()),
        io::ErrorKind::ResourceBusy => {
            let message = "something is still mounted on it";
            return Err(Fault::at(MountErrorKind::Busy, "remove", &target, message).hint("unmount it first"));
        }
        io::ErrorKind::DirectoryNotEmpty => {
            "its files were written while nothing was mounted; move them away, they are never deleted"
        }
        io::ErrorKind::NotADirectory => "it is no directory; remove it by hand if nobody needs it",
        _ => return Err(failure::of_path(&cause, "remove", &target, "the directory cannot be removed")),
    };
    Err(failure::of_path(&cause, "remove", &target, "it is no empty directory, so it stays").hint(hint))
}

/// The fault of a path that holds what is no directory.
pub(super) fn obstructed(operation: &'static str, target: &Path, what: &str) -> Fault {
    let hint = "remove it: a volume needs a directory, and nothing but an empty directory is ever removed for it";
    Fault::at(MountErrorKind::Failed, operation, target, format!("{what} is in the way")).hint(hint)
}
