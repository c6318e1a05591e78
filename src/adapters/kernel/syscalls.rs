//! What is asked of the operating system, as narrow as it can be, so that tests can hang it, fail it and record it.
//!
//! Why a seam here: everything above it is the same for Lustre, for tmpfs and for stand-ins; everything below it is one
//! system call a function. All of them may block, some for minutes, and none can be cancelled.

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

use super::call::MountCall;
use crate::ports::mounter::{Amount, Usage};

/// How something is unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// If nobody uses it.
    Plain,
    /// `MNT_FORCE`: all that waits for the servers fails, for good, on every mount of the same super block.
    Force,
    /// `MNT_DETACH`: out of sight at once; it ends with its last user.
    Detach,
}

/// Room for some hundred mounts, in bytes.
const MOUNTINFO_ROOM: usize = 32 << 10;

/// The operating system: the real one, unless a stand-in says otherwise.
pub trait Syscalls: Send + Sync + std::fmt::Debug {
    /// mount(2) on an open directory, which is the one at the call's target.
    fn mount(&self, call: &MountCall, directory: &File) -> Result<(), Errno> {
        // By number: a symbolic link that is planted at the path by now leads nowhere.
        let target = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let builder = Mount::builder().fstype(call.fs_type.as_str()).flags(call.flags).data(&call.data);
        builder.mount(&call.source, target).map(drop).map_err(|error| errno(&error))
    }

    /// umount2(2) of the uppermost mount at the target, which is not followed if it is a symbolic link.
    fn unmount(&self, target: &Path, how: How) -> Result<(), Errno> {
        let how = match how {
            How::Plain => MntFlags::empty(),
            How::Force => MntFlags::MNT_FORCE,
            How::Detach => MntFlags::MNT_DETACH,
        };
        umount2(target, how | MntFlags::UMOUNT_NOFOLLOW)
    }

    /// statvfs(3).
    fn statfs(&self, path: &Path) -> Result<Usage, Errno> {
        let found = statvfs(path)?;
        let unit = found.fragment_size();
        let amount = |total: u64, free: u64, available: u64, unit: u64| Amount {
            total: total.saturating_mul(unit),
            used: total.saturating_sub(free).saturating_mul(unit),
            available: available.saturating_mul(unit),
        };
        Ok(Usage {
            bytes: amount(found.blocks(), found.blocks_free(), found.blocks_available(), unit),
            inodes: amount(found.files(), found.files_free(), found.files_available(), 1),
        })
    }

    /// All of `/proc/self/mountinfo`.
    fn mountinfo(&self) -> io::Result<Vec<u8>> {
        // The kernel hands out a page at a time, and has no size to tell: room from the start saves calls.
        let mut bytes = Vec::with_capacity(MOUNTINFO_ROOM);
        File::open("/proc/self/mountinfo")?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The addresses of a host, in the order of preference; never empty.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let addresses: Vec<IpAddr> = (host, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
        if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
    }

    /// Whether something listens there.
    fn connect(&self, address: SocketAddr, limit: Duration) -> io::Result<()> {
        TcpStream::connect_timeout(&address, limit).map(drop)
    }

    /// Whether this process has what mount(2) asks for.
    fn may_mount(&self) -> bool {
        const CAP_SYS_ADMIN: u32 = 21;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        effective
            .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
            .is_some_and(|set| set & (1 << CAP_SYS_ADMIN) != 0)
    }
}

/// The real one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kernel;

impl Syscalls for Kernel {}

fn errno(error: &io::Error) -> Errno {
    // What never reached the kernel, such as a zero byte in a text, is an invalid argument.
    error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw)
}
