//! LNet of the kernel by the ioctls of `/dev/lnet`: local NIDs, configuring a network, adding an interface, ping.
//!
//! No lnetctl and no debugfs is needed: the ioctls also work on a kernel in lockdown. They are the same in Lustre 2.15 to
//! 2.17 (`lnet/include/uapi/linux/lnet/lnet-dlc.h` and `libcfs_ioctl.h` of lustre-release).
//!
//! ```text
//!   wire     requests and answers as bytes, pure
//!   ioctl    the system call; the only file of the crate that may hold `unsafe`
//!   device   Lnet over these: the order of requests, and the meaning of each errno
//! ```

mod device;
mod ioctl;
mod ipv4_nid;
#[cfg(feature = "simulator")]
pub mod simulated;
mod wire;

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use self::device::device;
pub use self::ipv4_nid::{Ipv4Nid, TCP};

/// TCP port at which the LNet of a server accepts connections: the default of `accept_port` (`lnet/lnet/acceptor.c`).
pub const ACCEPTOR_PORT: u16 = 988;

/// LNet's device as the host names it.
pub const DEVICE: &str = "/dev/lnet";

/// One network interface (NI) of this node in LNet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalNi {
    /// Its address.
    pub nid: Ipv4Nid,
    /// Name of the network interface when the NI was added; none if LNet does not report it.
    pub interface: Option<String>,
    /// LNet's own status; none if LNet does not report it. Lustre 2.17.0 still reports `down` after the link has come
    /// back, so a `down` alone means nothing.
    pub up: Option<bool>,
}

/// LNet of this node. Calls take LNet's own lock and may wait for another call in progress; callers that must not block
/// use a thread with a time limit.
pub trait Lnet: Debug + Send + Sync {
    /// The IPv4 NIs without the loopback. [`LnetError::NotStarted`] if LNet is loaded and has no network yet.
    fn local_nis(&self) -> Result<Vec<LocalNi>, LnetError>;

    /// Takes a reference on LNet and starts it without an NI if it is stopped (`lnetctl lnet configure`).
    /// Needed before [`Lnet::add_local_ni`] in the life of the module.
    fn configure(&self) -> Result<(), LnetError>;

    /// Releases the reference of [`Lnet::configure`], and stops LNet if it was the last one. [`LnetError::Busy`] means that
    /// other modules (ptlrpc) still use LNet; the reference is released all the same.
    fn unconfigure(&self) -> Result<(), LnetError>;

    /// Adds an interface with its first IPv4 address to a network such as [`TCP`]. [`LnetError::Exists`] if the network
    /// has the interface already, [`LnetError::NoInterface`] if it is missing, down or without an IPv4 address.
    fn add_local_ni(&self, net: u32, interface: &str) -> Result<(), LnetError>;

    /// Removes an NI; takes up to 1 s. Never call this while Lustre is mounted. [`LnetError::NotFound`] if there is none.
    fn del_local_ni(&self, nid: Ipv4Nid) -> Result<(), LnetError>;

    /// Sends an LNet ping and waits for the reply up to `limit` (at least 1 ms). [`LnetError::Unreachable`] if none came.
    fn ping(&self, nid: Ipv4Nid, limit: Duration) -> Result<(), LnetError>;

    /// Sets the health of an NI to the maximum, after which Lustre 2.17 reports its status as up again. Without effect on
    /// Lustre 2.15.
    fn set_health(&self, nid: Ipv4Nid) -> Result<(), LnetError>;
}

/// Why a call of LNet failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LnetError {
    /// There is no device: the module `lnet` is not loaded, or the container does not see the node's `/dev`.
    #[error("{} is not there: load the module lnet, and give the container the node's /dev", device.display())]
    NoDevice {
        /// The device that was opened.
        device: PathBuf,
    },
    /// The device or a call was refused (EACCES, EPERM): it takes `CAP_SYS_ADMIN` of the initial user namespace.
    #[error("LNet refuses this process: run it privileged (CAP_SYS_ADMIN of the initial user namespace)")]
    Denied,
    /// LNet is loaded and has no network (ENETDOWN).
    #[error("LNet is not started: load the module lustre, or configure LNet")]
    NotStarted,
    /// The interface is missing, down, or has no IPv4 address (ENETDOWN).
    #[error("the interface {interface} is missing, down or without an IPv4 address: check `ip address`")]
    NoInterface {
        /// Name of the interface.
        interface: String,
    },
    /// LNet has this NI already (EEXIST).
    #[error("LNet has an NI of {what} already")]
    Exists {
        /// Interface or NID.
        what: String,
    },
    /// LNet has no such NI (ENOENT).
    #[error("LNet has no NI {nid}")]
    NotFound {
        /// The NID.
        nid: Ipv4Nid,
    },
    /// Other modules use LNet (EBUSY).
    #[error("LNet is in use by other modules")]
    Busy,
    /// No reply to a ping within its limit, or a refusal (EHOSTUNREACH, ECONNREFUSED, ETIMEDOUT, EIO).
    #[error("{nid} does not reply to an LNet ping: check routes, firewalls and TCP port 988")]
    Unreachable {
        /// The NID.
        nid: Ipv4Nid,
    },
    /// Any other errno.
    #[error("LNet {call}: {}", io::Error::from_raw_os_error(*errno))]
    Errno {
        /// The ioctl, by its name in the kernel source without the prefix `IOC_LIBCFS_`.
        call: &'static str,
        /// Number of the error (`errno(3)`).
        errno: i32,
    },
}
