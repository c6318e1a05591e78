//! Failed system calls as errors of the port.
//!
//! One place decides what an errno means to a caller, and none of the callers can forget path and cause.

use std::io;
use std::path::Path;

use crate::ports::mounter::{MountError, MountErrorKind};

/// A call that failed at a path. `message` says what was tried there; the cause is kept below.
pub(super) fn at(operation: &'static str, path: &Path, message: &str, cause: impl Into<io::Error>) -> MountError {
    let cause = cause.into();
    let (kind, hint) = match cause.kind() {
        io::ErrorKind::PermissionDenied => {
            (MountErrorKind::NotReady, Some("run the driver as root, or with the simulator's links instead of mounts"))
        }
        io::ErrorKind::ResourceBusy => (
            MountErrorKind::Busy,
            Some("a process works below the path or something is mounted there; fuser -vm names it"),
        ),
        _ => (MountErrorKind::Failed, None),
    };
    let error = MountError::new(kind, operation, path.display().to_string(), message);
    MountError { hint: hint.map(str::to_owned), source: Some(cause.into()), ..error }
}

/// A call whose failure leaves open what is at the path.
pub(super) fn unknown(operation: &'static str, path: &Path, message: &str, cause: io::Error) -> MountError {
    MountError { kind: MountErrorKind::Unknown, ..at(operation, path, message, cause) }
}

/// A refusal without a system call behind it.
pub(super) fn refused(
    kind: MountErrorKind,
    operation: &'static str,
    path: &Path,
    message: impl Into<String>,
    hint: &str,
) -> MountError {
    let error = MountError::new(kind, operation, path.display().to_string(), message);
    MountError { hint: Some(hint.to_owned()), ..error }
}
