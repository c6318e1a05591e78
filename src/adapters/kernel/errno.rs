//! Meaning of the errno of mount(2), umount2(2) and statfs(2): one table for each call.
//!
//! Lustre reports a wrong name, a missing module and a dead network by an errno only, and some errnos mean several things
//! (mount(2): `lustre/llite/llite_lib.c`, `mount_lustre.c`). Nothing else chooses a [`MountErrorKind`] for an errno.

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use super::syscalls::SysError;
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::MountError;
use crate::ports::mounter::MountErrorKind::{self, Denied, Failed, Invalid, NotFound, NotReady, Unknown, Unreachable};

/// What to check when servers do not answer. The ports are those of LNet's acceptor (Lustre manual, `accept_port` and the
/// reserved ports of connections).
pub(super) const REACHABILITY: &str = "check that the file system exists, and on the way to it the VNet peering, the \
    network security groups and firewalls: TCP port 988 in both directions, from source ports 1019 to 1023";

const NOTHING_TO_DO: &str = "nothing to do; the call is repeated";
const RUN_PRIVILEGED: &str = "run the container of the driver privileged, in the host's user namespace";

/// Errnos of mount(2) that mean one thing for every source: kind, message, hint.
const OF_MOUNT: [(&[Errno], MountErrorKind, &str, &str); 7] = [
    (
        &[Errno::ENODEV],
        NotReady,
        "this node cannot mount Lustre: its kernel module cannot be loaded, or LNet finds no network interface",
        "install the Lustre client modules for the running kernel, and check LNet's networks and interfaces",
    ),
    (
        &[Errno::EPERM, Errno::EACCES],
        Denied,
        "the servers refuse this node",
        "check the nodemap and the root squash settings of the file system",
    ),
    (&[Errno::EROFS], Denied, "the servers allow reading only", "publish the volume read-only"),
    (
        &[Errno::EINVAL],
        Invalid,
        "the Lustre client of this node refuses a mount option or the address",
        "check mountOptions against the client's version, and that LNet has the network of the address (tcp)",
    ),
    (&[Errno::ENAMETOOLONG, Errno::E2BIG], Invalid, "a name in the source is too long", "shorten sub-dir or fs-name"),
    (&[Errno::EBUSY], Unreachable, "the servers are recovering and take no new clients yet", NOTHING_TO_DO),
    (
        &[Errno::ENOMEDIUM],
        Unreachable,
        "no storage target is available",
        "check the health of the file system in Azure",
    ),
];

/// The errno below an error, where a system call failed.
pub(super) fn of(error: &MountError) -> Option<SysError> {
    error.source.as_deref()?.downcast_ref().copied()
}

/// An operation that is not finished in time and stays in progress.
pub(super) fn stuck(operation: &'static str, subject: String, waited: Duration) -> MountError {
    let message = format!(
        "not finished after {waited:.1?}; it is still in progress, and a repeated call waits for it or gets its result"
    );
    tracing::warn!(operation, subject, ?waited, "an operation takes longer than its limit");
    MountError::new(MountErrorKind::Stuck, operation, subject, message).with_hint(REACHABILITY)
}

/// A sub-directory whose name the client ends at a comma.
pub(super) fn cut_at_comma(operation: &'static str, source: &MountSource) -> MountError {
    let message = "the Lustre client of this node (2.17 and newer) ends the source at a comma, so a sub-directory with a \
        comma in its name cannot be mounted";
    MountError::new(Invalid, operation, source.to_string(), message)
        .with_hint("rename the directory without a comma, and give the new name as sub-dir")
}

/// mount(2) of a source. `may_mount` is whether the process itself has the capability.
pub(super) fn of_mount(errno: SysError, operation: &'static str, source: &MountSource, may_mount: bool) -> MountError {
    let dir = source.sub_dir.as_ref().map(|dir| format!("the directory `{dir}`"));
    let (kind, message, hint) = match errno.errno() {
        Errno::EINVAL if dir.as_ref().is_some_and(|dir| dir.contains(',')) => {
            return cut_at_comma(operation, source).caused_by(errno);
        }
        Errno::ENOENT => {
            let or_dir = dir.map(|dir| format!(", or it has not {dir}")).unwrap_or_default();
            let message = format!("the servers have no file system named {}{or_dir}", source.fs_name);
            (NotFound, message, "check fs-name (AMLFS file systems are named lustrefs) and sub-dir")
        }
        Errno::ENOTDIR | Errno::ELOOP => (
            Invalid,
            format!("{} is no directory on the servers", dir.as_deref().unwrap_or("what is to be mounted")),
            "remove what is in the way, or choose another sub-dir; symbolic links are not followed",
        ),
        Errno::EPERM if !may_mount => (NotReady, "the driver itself may not mount".into(), RUN_PRIVILEGED),
        number => match OF_MOUNT.iter().find(|(numbers, ..)| numbers.contains(&number)) {
            Some((_, kind, message, hint)) => (*kind, (*message).to_owned(), *hint),
            None => of_any_mount(errno, source),
        },
    };
    MountError::new(kind, operation, source.to_string(), message).with_hint(hint).caused_by(errno)
}

fn of_any_mount(errno: SysError, source: &MountSource) -> (MountErrorKind, String, &'static str) {
    if is_no_response(errno) {
        (Unreachable, format!("the servers at {} do not answer", source.mgs), REACHABILITY)
    } else if errno.is_interrupted() {
        (Unknown, "the mount was interrupted".into(), NOTHING_TO_DO)
    } else {
        (Failed, format!("the kernel refuses the mount with {errno}"), "the kernel's log (dmesg) has more about it")
    }
}

/// umount2(2), without EBUSY, which is reported with the users of the mount.
pub(super) fn of_unmount(errno: SysError, target: &Path) -> MountError {
    let (kind, message, hint) = match errno.errno() {
        Errno::EPERM => (NotReady, "the driver itself may not unmount", RUN_PRIVILEGED),
        Errno::EINVAL => (
            Failed,
            "the mount belongs to an outer mount namespace and cannot be unmounted from here",
            "unmount it where it was mounted",
        ),
        _ if errno.is_interrupted() => (Unknown, "it was interrupted", NOTHING_TO_DO),
        _ => (Failed, "the kernel refuses it", "the kernel's log (dmesg) has more about it"),
    };
    MountError::at(kind, "unmount", target, message).with_hint(hint).caused_by(errno)
}

/// statfs(2) of a mount.
pub(super) fn of_statfs(errno: SysError, path: &Path) -> MountError {
    if is_no_response(errno) || is_corrupt(errno) {
        let message = "the servers of the file system do not answer";
        return MountError::at(Unreachable, "statfs", path, message).with_hint(REACHABILITY).caused_by(errno);
    }
    let kind = if errno.is_interrupted() { Unknown } else { Failed };
    MountError::at(kind, "statfs", path, format!("the usage cannot be read: {errno}")).caused_by(errno)
}

/// Whether an errno means that servers do not answer.
pub(super) fn is_no_response(errno: SysError) -> bool {
    matches!(
        errno.errno(),
        Errno::ETIMEDOUT
            | Errno::EIO
            | Errno::EAGAIN
            | Errno::ENOTCONN
            | Errno::ESHUTDOWN
            | Errno::ECONNREFUSED
            | Errno::ECONNRESET
            | Errno::ECONNABORTED
            | Errno::EHOSTDOWN
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::ENETDOWN
    )
}

/// Whether an errno of statfs(2) means that a mount will not work again by itself: its servers have evicted it for good, or
/// its connections were deactivated.
pub(super) fn is_corrupt(errno: SysError) -> bool {
    matches!(errno.errno(), Errno::ENOTCONN | Errno::ESHUTDOWN | Errno::ESTALE | Errno::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(errno: Errno, source: &str) -> MountError {
        of_mount(errno.into(), "mount", &MountSource::parse(source).unwrap(), true)
    }

    #[test]
    fn every_errno_that_lustre_was_observed_to_return_has_a_meaning() {
        for (errno, kind, word) in [
            (Errno::ENOENT, NotFound, "has not the directory `team`"),
            (Errno::ENOTDIR, Invalid, "`team` is no directory"),
            (Errno::ENODEV, NotReady, "kernel module"),
            (Errno::ETIMEDOUT, Unreachable, "10.0.0.4@tcp do not answer"),
            (Errno::EIO, Unreachable, "do not answer"),
            (Errno::EINVAL, Invalid, "option"),
            (Errno::EACCES, Denied, "refuse this node"),
            (Errno::EPERM, Denied, "refuse this node"),
            (Errno::EROFS, Denied, "reading only"),
            (Errno::EBUSY, Unreachable, "recovering"),
            (Errno::ENAMETOOLONG, Invalid, "too long"),
            (Errno::E2BIG, Invalid, "too long"),
            (Errno::ENOMEDIUM, Unreachable, "storage target"),
            (Errno::ENOMEM, Failed, "kernel"),
        ] {
            let error = error(errno, "10.0.0.4:/lustrefs/team");
            assert_eq!(error.kind, kind, "{errno}");
            assert!(error.message.contains(word), "{errno}: {}", error.message);
            assert!(error.hint.is_some() && error.subject == "10.0.0.4@tcp:/lustrefs/team", "{errno}");
        }
        assert!(!error(Errno::ENOENT, "10.0.0.4:/lustrefs").message.contains("directory"));
        assert!(error(Errno::ETIMEDOUT, "10.0.0.4:/lustrefs").hint.unwrap().contains("1019"));
    }

    #[test]
    fn a_driver_without_privileges_is_not_reported_as_refused_by_the_servers() {
        let source = MountSource::parse("10.0.0.4:/lustrefs").unwrap();
        assert_eq!(of_mount(Errno::EPERM.into(), "mount", &source, false).kind, MountErrorKind::NotReady);
    }

    #[test]
    fn numbers_without_a_name_in_libc_are_named() {
        let source = MountSource::parse("10.0.0.4:/lustrefs").unwrap();
        let unsupported = of_mount(SysError(524), "mount", &source, true);
        assert!(unsupported.kind == MountErrorKind::Failed && unsupported.message.contains("ENOTSUPP"));
        for interrupted in [4, 512, 516] {
            assert_eq!(of_mount(SysError(interrupted), "mount", &source, true).kind, MountErrorKind::Unknown);
            assert_eq!(of_unmount(SysError(interrupted), "/t".as_ref()).kind, MountErrorKind::Unknown);
            assert_eq!(of_statfs(SysError(interrupted), "/t".as_ref()).kind, MountErrorKind::Unknown);
        }
    }

    #[test]
    fn the_errno_is_kept_as_the_cause() {
        use std::error::Error;
        let error = error(Errno::ENODEV, "10.0.0.4:/lustrefs").clone();
        assert!(error.source().unwrap().to_string().contains("os error 19"), "{:?}", error.source);
        assert_eq!(of(&error), Some(Errno::ENODEV.into()));
    }
}
