//! What a failed system call means, in words: one table for each kind of call.
//!
//! Why it exists: Lustre tells a wrong name, a missing module and a dead network apart by an errno only, and some errnos
//! mean several things. Here is the one place that knows; nothing else chooses a [`MountErrorKind`] for an errno.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind};

/// What to look at when servers do not answer.
pub(super) const REACHABILITY: &str = "check that the file system exists, and on the way to it the VNet peering, the \
    network security groups and firewalls: TCP port 988 in both directions, from source ports 1019 to 1023";

/// A failed operation that several callers can be told of: a [`MountError`] that can be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: MountErrorKind,
    pub(super) operation: &'static str,
    pub(super) subject: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) errno: Option<Errno>,
}

impl Fault {
    pub(super) fn new(
        kind: MountErrorKind,
        operation: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, operation, subject: subject.into(), message: message.into(), hint: None, errno: None }
    }

    /// A fault about a path.
    pub(super) fn at(kind: MountErrorKind, operation: &'static str, path: &Path, message: impl Into<String>) -> Self {
        Self::new(kind, operation, path.display().to_string(), message)
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn because(self, errno: Errno) -> Self {
        Self { errno: Some(errno), ..self }
    }
}

impl From<Fault> for MountError {
    fn from(fault: Fault) -> Self {
        let error = Self::new(fault.kind, fault.operation, fault.subject, fault.message);
        let source = fault.errno.map(|errno| Box::new(io::Error::from(errno)) as _);
        Self { hint: fault.hint, source, ..error }
    }
}

/// mount(2) of a file system. `may_mount` tells whether the process itself may.
pub(super) fn of_mount(errno: Errno, operation: &'static str, source: &MountSource, may_mount: bool) -> Fault {
    use MountErrorKind::{Denied, Failed, Invalid, NotFound, NotReady, Unreachable};
    let dir = source.sub_dir.as_ref().map(|dir| format!("the directory `{dir}`"));
    let or_dir = dir.as_ref().map(|dir| format!(", or it has not {dir}")).unwrap_or_default();
    let (kind, message, hint) = match errno {
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
        errno if is_silence(errno) => {
            (Unreachable, format!("the servers at {} do not answer", source.mgs), REACHABILITY)
        }
        _ => (Failed, "the kernel refuses the mount".into(), "the kernel's log (dmesg) has more about it"),
    };
    Fault::new(kind, operation, source.to_string(), message).hint(hint).because(errno)
}

/// umount2(2); EBUSY is told elsewhere, with who holds the mount.
pub(super) fn of_unmount(errno: Errno, target: &Path) -> Fault {
    let (kind, message, hint) = match errno {
        Errno::EPERM => (
            MountErrorKind::NotReady,
            "the driver itself may not unmount",
            "run the container of the driver privileged, in the host's user namespace",
        ),
        Errno::EINVAL => (
            MountErrorKind::Failed,
            "the mount belongs to an outer mount namespace and cannot be taken away from here",
            "unmount it where it was mounted",
        ),
        _ => (MountErrorKind::Failed, "the kernel refuses it", "the kernel's log (dmesg) has more about it"),
    };
    Fault::at(kind, "unmount", target, message).hint(hint).because(errno)
}

/// statvfs(3) of a mount.
pub(super) fn of_statfs(errno: Errno, path: &Path) -> Fault {
    if is_silence(errno) || is_corrupt(errno) {
        let message = "the servers of the file system do not answer";
        return Fault::at(MountErrorKind::Unreachable, "measure", path, message).hint(REACHABILITY).because(errno);
    }
    Fault::at(MountErrorKind::Failed, "measure", path, "the file system cannot be measured").because(errno)
}

/// A call about a path of this machine.
pub(super) fn of_path(cause: &io::Error, operation: &'static str, path: &Path, message: &str) -> Fault {
    let (kind, hint) = match cause.kind() {
        io::ErrorKind::PermissionDenied => (MountErrorKind::NotReady, Some("run the driver as root")),
        io::ErrorKind::ResourceBusy => (MountErrorKind::Busy, Some("something is mounted there; unmount it first")),
        _ => (MountErrorKind::Failed, None),
    };
    let errno = cause.raw_os_error().map(Errno::from_raw);
    Fault { hint: hint.map(str::to_owned), errno, ..Fault::at(kind, operation, path, message) }
}

/// Whether an errno says that servers do not answer.
pub(super) fn is_silence(errno: Errno) -> bool {
    matches!(
        errno,
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

/// Whether an errno says that a mount will not come back by itself: its servers have forgotten it, or it was forced.
pub(super) fn is_corrupt(errno: Errno) -> bool {
    matches!(errno, Errno::ENOTCONN | Errno::ESHUTDOWN | Errno::ESTALE | Errno::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(errno: Errno, source: &str) -> Fault {
        of_mount(errno, "mount", &MountSource::parse(source).unwrap(), true)
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
        assert_eq!(of_mount(Errno::EPERM, "mount", &source, false).kind, MountErrorKind::NotReady);
    }

    #[test]
    fn the_cause_is_kept() {
        use std::error::Error;
        let error = MountError::from(fault(Errno::ENODEV, "10.0.0.4:/lustrefs"));
        assert!(error.source().unwrap().to_string().contains("os error 19"), "{:?}", error.source);
    }
}
