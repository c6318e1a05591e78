//! System calls that failed, as errors of the mounter port: what an errno means to a caller.

use std::io;
use std::path::Path;

use crate::ports::mounter::{MountError, MountErrorKind};

/// A call that failed at a path. `message` says what was tried there; the cause is kept below.
pub(super) fn failed(operation: &'static str, path: &Path, message: &str, cause: impl Into<io::Error>) -> MountError {
    let cause = cause.into();
    let (kind, hint) = match cause.kind() {
        io::ErrorKind::PermissionDenied => {
            (MountErrorKind::NotReady, "run the driver as root, or with the simulator's links instead of mounts")
        }
        io::ErrorKind::ResourceBusy => {
            (MountErrorKind::Busy, "a process works below the path or something is mounted there; fuser -vm names it")
        }
        _ => return MountError::at(MountErrorKind::Failed, operation, path, message).caused_by(cause),
    };
    MountError::at(kind, operation, path, message).with_hint(hint).caused_by(cause)
}

/// A call whose failure leaves open what is at the path.
pub(super) fn unknown(operation: &'static str, path: &Path, message: &str, cause: io::Error) -> MountError {
    failed(operation, path, message, cause).unknown()
}
