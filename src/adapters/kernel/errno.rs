//! What the errno of a failed system call means: one table for each kind of call.
//!
//! Lustre reports a wrong name, a missing module and a dead network by an errno only, and some errnos mean several things
//! (mount(2): `lustre/llite/llite_lib.c`, `mount_lustre.c`). Nothing else chooses a [`MountErrorKind`] for an errno.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use super::syscalls::SysError;
use super::threads::NoThread;
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind};

/// What to check when servers do not answer.
pub(super) const REACHABILITY: &str = "check that the file system exists, and on the way to it the VNet peering, the \
    network security groups and firewalls: TCP port 988 in both directions, from source ports 1019 to 1023";

/// The errno of the system call that failed, where there was one.
pub(super) fn errno(error: &MountError) -> Option<SysError> {
    error.source.as_deref()?.downcast_ref().copied()
}

/// An operation that goes on.
pub(super) fn stuck(operation: &'static str, subject: String, waited: Duration) -> MountError {
    let message =
        format!("not finished after {waited:.1?}; it goes on, and a repeated call waits for it or gets its result");
    tracing::warn!(operation, subject, ?waited, "an operation takes longer than its limit");
    MountError::new(MountErrorKind::Stuck, operation, subject, message).with_hint(REACHABILITY)
}

/// A sub-directory that the client cuts off.
pub(super) fn cut_at_comma(operation: &'static str, source: &MountSource) -> MountError {
    let message = "the Lustre client of this node (2.17 and newer) ends the source at a comma, so a sub-directory with a \
        comma in its name cannot be mounted";
    MountError::new(MountErrorKind::Invalid, operation, source.to_string(), message)
        .with_hint("rename the directory without a comma, and give the new name as sub-dir")
}

/// No thread for an operation, within the time that it has.
pub(super) fn no_thread(none: &NoThread, operation: &'static str, subject: String) -> MountError {
    let why = match &none.refused {
        Some(why) => format!("the system refuses another ({why})"),
        None => "that is the driver's own bound".to_owned(),
    };
    let message = format!("no thread is free: {} are occupied by other operations, and {why}", none.occupied);
    let hint = "raise the limit of processes of the driver's container (pids.max of its cgroup, podPidsLimit of kubelet, \
        ulimit -u), or find out which operations do not end (`azurelustre-csi doctor node`)";
    MountError::new(MountErrorKind::NotReady, operation, subject, message).with_hint(hint)
}

/// mount(2) of a file system. `may_mount` says whether the process itself may.
pub(super) fn of_mount(errno: SysError, operation: &'static str, source: &MountSource, may_mount: bool) -> MountError {
    use MountErrorKind::{Denied, Failed, Invalid, NotFound, NotReady, Unknown, Unreachable};
    let dir = source.sub_dir.as_ref().map(|dir| format!("the directory `{dir}`"));
    let or_dir = dir.as_ref().map(|dir| format!(", or it has not {dir}")).unwrap_or_default();
    let (kind, message, hint) = match errno.errno() {
        Errno::ENOENT => (
            NotFound,
            format!("the servers have no file system named {}{or_dir}", source.fs_name),
            "check fs-name (AMLFS file systems are named lustrefs) and sub-dir",
        ),
        Errno::ENOTDIR | Errno::ELOOP => (
            Invalid,
            format!("{} is no directory on the servers", dir.unwrap_or_else(|| "what is to be mounted".into())),
            "remove what is in the way, or choose another sub-dir; symbolic links are not followed",
        ),
        Errno::ENODEV => (
            NotReady,
            "this node cannot mount Lustre: its kernel module cannot be loaded, or LNet finds no network interface"
                .into(),
            "install the Lustre client modules for the running kernel, and check LNet's networks and interfaces",
        ),
        Errno::EPERM if !may_mount => (
            NotReady,
            "the driver itself may not mount".into(),
            "run the container of the driver privileged, in the host's user namespace",
        ),
        Errno::EPERM | Errno::EACCES => (
            Denied,
            "the servers refuse this node".into(),
            "check the nodemap and the root squash settings of the file system",
        ),
        Errno::EROFS => (Denied, "the servers allow reading only".into(), "publish the volume read-only"),
        Errno::EINVAL if dir.as_ref().is_some_and(|dir| dir.contains(',')) => {
            return cut_at_comma(operation, source).caused_by(errno);
        }
        Errno::EINVAL => (
            Invalid,
            "the Lustre client of this node refuses a mount option or the address".into(),
            "check mountOptions against the client's version, and that LNet has the network of the address (tcp)",
        ),
        Errno::ENAMETOOLONG | Errno::E2BIG => {
            (Invalid, "a name in the source is too long".into(), "shorten sub-dir or fs-name")
        }
        Errno::EBUSY => (
            Unreachable,
            "the servers are recovering and take no new clients yet".into(),
            "nothing to do; the call is repeated",
        ),
        Errno::ENOMEDIUM => {
            (Unreachable, "no storage target is available".into(), "check the health of the file system in Azure")
        }
        _ if is_silence(errno) => (Unreachable, format!("the servers at {} do not answer", source.mgs), REACHABILITY),
        _ if errno.is_interrupted() => {
            (Unknown, "the mount was interrupted".into(), "nothing to do; the call is repeated")
        }
        _ => {
            (Failed, format!("the kernel refuses the mount with {errno}"), "the kernel's log (dmesg) has more about it")
        }
    };
    MountError::new(kind, operation, source.to_string(), message).with_hint(hint).caused_by(errno)
}

/// umount2(2); EBUSY is reported elsewhere, with who uses the mount.
pub(super) fn of_unmount(errno: SysError, target: &Path) -> MountError {
    let (kind, message, hint) = match errno.errno() {
        Errno::EPERM => (
            MountErrorKind::NotReady,
            "the driver itself may not unmount",
            "run the container of the driver privileged, in the host's user namespace",
        ),
        Errno::EINVAL => (
            MountErrorKind::Failed,
            "the mount belongs to an outer mount namespace and cannot be unmounted from here",
            "unmount it where it was mounted",
        ),
        _ if errno.is_interrupted() => {
            (MountErrorKind::Unknown, "it was interrupted", "nothing to do; the call is repeated")
        }
        _ => (MountErrorKind::Failed, "the kernel refuses it", "the kernel's log (dmesg) has more about it"),
    };
    MountError::at(kind, "unmount", target, message).with_hint(hint).caused_by(errno)
}

/// statvfs(3) of a mount.
pub(super) fn of_statfs(errno: SysError, path: &Path) -> MountError {
    if is_silence(errno) || is_corrupt(errno) {
        let message = "the servers of the file system do not answer";
        return MountError::at(MountErrorKind::Unreachable, "statfs", path, message)
            .with_hint(REACHABILITY)
            .caused_by(errno);
    }
    let kind = if errno.is_interrupted() { MountErrorKind::Unknown } else { MountErrorKind::Failed };
    MountError::at(kind, "statfs", path, format!("the kernel cannot say how full it is: {errno}")).caused_by(errno)
}

/// A call about a path of this machine.
pub(super) fn of_path(cause: &io::Error, operation: &'static str, path: &Path, message: &str) -> MountError {
    let (kind, hint) = match cause.kind() {
        io::ErrorKind::PermissionDenied => (MountErrorKind::NotReady, Some("run the driver as root")),
        io::ErrorKind::ResourceBusy => (MountErrorKind::Busy, Some("something is mounted there; unmount it first")),
        _ => (MountErrorKind::Failed, None),
    };
    MountError { hint: hint.map(str::to_owned), ..of_errno(cause, MountError::at(kind, operation, path, message)) }
}

/// The error with the errno of `cause` below it, where `cause` has one.
pub(super) fn of_errno(cause: &io::Error, error: MountError) -> MountError {
    match cause.raw_os_error() {
        Some(errno) => error.caused_by(SysError(errno)),
        None => error,
    }
}

/// Whether an errno says that servers do not answer.
pub(super) fn is_silence(errno: SysError) -> bool {
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

/// Whether an errno says that a mount will not come back by itself: its servers have forgotten it, or its
/// connections were deactivated.
pub(super) fn is_corrupt(errno: SysError) -> bool {
    matches!(errno.errno(), Errno::ENOTCONN | Errno::ESHUTDOWN | Errno::ESTALE | Errno::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(errno: Errno, source: &str) -> MountError {
        of_mount(errno.into(), "mount", &MountSource::parse(source).unwrap(), true)
    }

    #[test]
    fn every_errno_that_lustre_was_seen_to_answer_has_a_meaning() {
        use MountErrorKind::{Denied, Failed, Invalid, NotFound, NotReady, Unreachable};
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
            let fault = fault(errno, "10.0.0.4:/lustrefs/team");
            assert_eq!(fault.kind, kind, "{errno}");
            assert!(fault.message.contains(word), "{errno}: {}", fault.message);
            assert!(fault.hint.is_some() && fault.subject == "10.0.0.4@tcp:/lustrefs/team", "{errno}");
        }
        assert!(!fault(Errno::ENOENT, "10.0.0.4:/lustrefs").message.contains("directory"));
        assert!(fault(Errno::ETIMEDOUT, "10.0.0.4:/lustrefs").hint.unwrap().contains("1019"));
    }

    #[test]
    fn a_driver_without_privileges_is_not_told_that_the_servers_refuse_it() {
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
    fn the_cause_is_kept() {
        use std::error::Error;
        let error = fault(Errno::ENODEV, "10.0.0.4:/lustrefs").clone();
        assert!(error.source().unwrap().to_string().contains("os error 19"), "{:?}", error.source);
        assert_eq!(errno(&error), Some(Errno::ENODEV.into()));
    }
}
