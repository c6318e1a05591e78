//! The target path itself: how it is named, what is there when nothing is mounted, and what may not be done with it.
//!
//! Why it exists: kubelet owns these paths and people do odd things to them. Whatever is found is told in words, never
//! followed and never deleted.

use std::io;
use std::path::{Path, PathBuf};

use super::failure;
use crate::domain::mount::MountState;
use crate::ports::mounter::{MountError, MountErrorKind};

/// A target as mountinfo names it: without symbolic links in its parents. The target itself is not followed.
pub(super) fn place(target: &Path) -> PathBuf {
    let real =
        target.parent().zip(target.file_name()).map(|(parent, name)| parent.canonicalize().map(|real| real.join(name)));
    real.and_then(Result::ok).unwrap_or_else(|| target.to_owned())
}

/// What is at a place that nothing is mounted on.
pub(super) fn unmounted(place: &Path) -> Result<MountState, MountError> {
    let what = match std::fs::symlink_metadata(place) {
        Err(cause) => match cause.kind() {
            io::ErrorKind::NotFound => return Ok(MountState::Absent),
            io::ErrorKind::NotADirectory => "a path below something that is no directory",
            _ => return Err(failure::at("inspect", place, "the path cannot be looked at", cause)),
        },
        Ok(found) if found.is_dir() => return Ok(MountState::Directory),
        Ok(found) if found.is_symlink() => "a symbolic link",
        Ok(found) if found.is_file() => "a regular file",
        Ok(_) => "a device, a socket or a pipe",
    };
    Ok(MountState::Obstructed { what: what.to_owned() })
}

/// Refuses to mount on anything but a directory that nothing is mounted on.
pub(super) fn free(target: &Path, state: MountState) -> Result<(), MountError> {
    use MountErrorKind::{Busy, Failed};
    let (kind, message, hint) = match state {
        MountState::Directory => return Ok(()),
        MountState::Obstructed { what } => return Err(obstructed("mount", target, &what)),
        MountState::Absent => (Failed, "there is no such directory", "make it first"),
        MountState::Mounted(_) => {
            (Busy, "something is mounted there already", "unmount it, or leave it if it is right")
        }
        MountState::Corrupt { .. } => (Busy, "a mount whose servers are gone is still there", "unmount it first"),
    };
    Err(failure::refused(kind, "mount", target, message, hint))
}

/// The error for a path that holds what is no directory.
pub(super) fn obstructed(operation: &'static str, target: &Path, what: &str) -> MountError {
    let hint = "remove it: a volume needs a directory, and nothing but an empty directory is ever removed for it";
    failure::refused(MountErrorKind::Failed, operation, target, format!("{what} is in the way"), hint)
}

/// The error for a path that rmdir(2) refused.
pub(super) fn not_removed(target: &Path, cause: io::Error) -> MountError {
    let hint = match cause.kind() {
        io::ErrorKind::DirectoryNotEmpty => {
            "its files were written while nothing was mounted; move them away, they are never deleted"
        }
        io::ErrorKind::NotADirectory => "it is no directory; remove it by hand if nobody needs it",
        _ => return failure::at("remove", target, "the directory cannot be removed", cause),
    };
    let error = failure::at("remove", target, "it is no empty directory, so it stays", cause);
    MountError { hint: Some(hint.to_owned()), ..error }
}
