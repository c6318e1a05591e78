//! The system calls of mounting, one per method of a trait, so that tests can let them hang and fail, and record them.
//!
//! All of them may block, some for minutes, and none can be cancelled.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::statvfs::statvfs;
use sys_mount::Mount;

use super::mount_args::MountArgs;
use crate::ports::mounter::{Capacity, Usage};

/// The errno of a failed system call. Lustre also returns numbers that are internal to the kernel (512 to 530) and have no
/// name in libc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SysError(pub i32);

/// Names and meanings of the internal errnos (`include/linux/errno.h` of the kernel).
const INTERNAL: [(i32, &str, &str); 17] = [
    (512, "ERESTARTSYS", "interrupted system call, to be restarted"),
    (513, "ERESTARTNOINTR", "interrupted system call, to be restarted"),
    (514, "ERESTARTNOHAND", "interrupted system call, to be restarted"),
    (515, "ENOIOCTLCMD", "no such ioctl command"),
    (516, "ERESTART_RESTARTBLOCK", "interrupted system call, to be restarted"),
    (517, "EPROBE_DEFER", "the driver asks for another probe"),
    (518, "EOPENSTALE", "stale file handle on open"),
    (519, "ENOPARAM", "unknown parameter"),
    (521, "EBADHANDLE", "illegal NFS file handle"),
    (522, "ENOTSYNC", "update synchronization mismatch"),
    (523, "EBADCOOKIE", "stale cookie"),
    (524, "ENOTSUPP", "operation is not supported"),
    (525, "ETOOSMALL", "buffer or request is too small"),
    (526, "ESERVERFAULT", "an untranslatable error occurred"),
    (527, "EBADTYPE", "type not supported by the server"),
    (528, "EJUKEBOX", "the request was begun and will not complete before a timeout"),
    (529, "EIOCBQUEUED", "the request was queued"),
];

impl SysError {
    /// The number as an [`Errno`]; one that libc does not know is [`Errno::UnknownErrno`].
    pub fn errno(self) -> Errno {
        Errno::from_raw(self.0)
    }

    /// Whether the call was interrupted and is to be repeated.
    pub fn is_interrupted(self) -> bool {
        self.errno() == Errno::EINTR || matches!(self.0, 512..=514 | 516)
    }

    /// The errno of the system call that has just failed on this thread through `nix`, which maps all unknown numbers to
    /// one value.
    fn last(errno: Errno) -> Self {
        if errno == Errno::UnknownErrno { Self(Errno::last_raw()) } else { errno.into() }
    }
}

impl From<Errno> for SysError {
    fn from(errno: Errno) -> Self {
        Self(errno as i32)
    }
}

impl std::fmt::Display for SysError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = self.0;
        match (INTERNAL.iter().find(|(known, ..)| *known == number), self.errno()) {
            (Some((_, name, meaning)), _) => write!(f, "{name}: {meaning} (os error {number})"),
            (None, Errno::UnknownErrno) => write!(f, "error number {number}, which has no name (os error {number})"),
            (None, errno) => write!(f, "{errno:?}: {} (os error {number})", errno.desc()),
        }
    }
}

impl std::error::Error for SysError {}

/// Flags of umount2(2) that are used. `MNT_FORCE` is not among them: it drops unwritten pages on servers that still answer,
/// and Lustre's handler of it (`ll_umount_begin`) uses the root mount of the process that mounted, which is gone once the
/// container of an earlier driver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnmountFlags {
    /// None: fails with EBUSY while the mount is in use.
    Plain,
    /// `MNT_DETACH`: removed from its path at once; it ends with its last user, after unwritten data is written.
    Detach,
}

/// Initial size of the buffer for mountinfo, in bytes: enough for some hundred mounts.
const MOUNTINFO_SIZE: usize = 32 << 10;

/// The operating system. The default methods are the real one.
pub trait Syscalls: Send + Sync + std::fmt::Debug {
    /// mount(2) on an open directory, which is the one at the target.
    fn mount(&self, args: &MountArgs, directory: &File) -> Result<(), SysError> {
        // By its descriptor: a symbolic link that was planted at the path meanwhile has no effect.
        let target = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let builder = Mount::builder().fstype(args.fs_type.as_str()).flags(args.flags).data(&args.data);
        builder.mount(&args.source, target).map(drop).map_err(|error| errno(&error))
    }

    /// umount2(2) of the uppermost mount at the target, which is not followed if it is a symbolic link.
    fn unmount(&self, target: &Path, flags: UnmountFlags) -> Result<(), SysError> {
        let flags = match flags {
            UnmountFlags::Plain => MntFlags::empty(),
            UnmountFlags::Detach => MntFlags::MNT_DETACH,
        };
        umount2(target, flags | MntFlags::UMOUNT_NOFOLLOW).map_err(SysError::last)
    }

    /// statvfs(3): blocks in units of `f_frsize`.
    fn statfs(&self, path: &Path) -> Result<Usage, SysError> {
        let found = statvfs(path).map_err(SysError::last)?;
        let unit = found.fragment_size();
        let capacity = |total: u64, free: u64, available: u64, unit: u64| Capacity {
            total: total.saturating_mul(unit),
            used: total.saturating_sub(free).saturating_mul(unit),
            available: available.saturating_mul(unit),
        };
        Ok(Usage {
            bytes: capacity(found.blocks(), found.blocks_free(), found.blocks_available(), unit),
            inodes: (found.files() > 0)
                .then(|| capacity(found.files(), found.files_free(), found.files_available(), 1)),
        })
    }

    /// All of `/proc/self/mountinfo`.
    fn mountinfo(&self) -> io::Result<Vec<u8>> {
        // The kernel returns a page per read and reports no size: a large buffer from the start saves calls.
        let mut bytes = Vec::with_capacity(MOUNTINFO_SIZE);
        File::open("/proc/self/mountinfo")?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The addresses of a host, in the order of preference; never empty.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let addresses: Vec<IpAddr> = (host, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
        if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
    }

    /// Whether a server accepts a TCP connection, which is closed at once.
    fn connect(&self, address: SocketAddr, limit: Duration) -> io::Result<()> {
        TcpStream::connect_timeout(&address, limit).map(drop)
    }

    /// Version of the Lustre client that is loaded, as `/sys/module/lustre/version` has it; none while none is loaded.
    fn client_version(&self) -> Option<String> {
        std::fs::read_to_string("/sys/module/lustre/version").ok()
    }

    /// Whether the kernel runs `SELinux`, so that mount(2) takes labels.
    fn has_selinux(&self) -> bool {
        Path::new("/sys/fs/selinux/enforce").exists()
    }

    /// Whether this process has the capability that mount(2) requires (`CAP_SYS_ADMIN`, capabilities(7)).
    fn may_mount(&self) -> bool {
        const CAP_SYS_ADMIN: u32 = 21;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        effective
            .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
            .is_some_and(|set| set & (1 << CAP_SYS_ADMIN) != 0)
    }
}

/// The real operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kernel;

impl Syscalls for Kernel {}

fn errno(error: &io::Error) -> SysError {
    // A call that never reached the kernel, such as one with a zero byte in a text, has an invalid argument.
    error.raw_os_error().map_or(Errno::EINVAL.into(), SysError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_is_shown_with_its_name() {
        for (number, shown) in [
            (524, "ENOTSUPP: operation is not supported (os error 524)"),
            (512, "ERESTARTSYS: interrupted system call, to be restarted (os error 512)"),
            (19, "ENODEV: No such device (os error 19)"),
            (4000, "error number 4000, which has no name (os error 4000)"),
        ] {
            assert_eq!(SysError(number).to_string(), shown);
        }
        assert!([4, 512, 513, 514, 516].into_iter().all(|number| SysError(number).is_interrupted()));
        assert!(!SysError(524).is_interrupted());
    }
}
