//! LNet by its device, which is opened for each call.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use super::calls::Calls;
use super::wire::Request;
use super::{Lnet, LnetError, LocalNi, Nid, ioctl};

/// LNet's device. An open one counts as a user of the module, so it is open during a call only.
#[derive(Debug, Clone)]
pub struct Device {
    path: PathBuf,
}

/// LNet by the device at this path: [`DEVICE`](super::DEVICE), or where a container sees the node's. Nothing is opened
/// yet, so the module need not be loaded.
pub fn device(path: impl Into<PathBuf>) -> Device {
    Device { path: path.into() }
}

impl Device {
    fn opened(&self) -> Result<Calls<impl Fn(&mut Request) -> Result<(), Errno> + use<>>, LnetError> {
        // Whatever else is at the path, opening it does not block.
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&self.path);
        let file: File = file.map_err(|error| self.not_opened(&error))?;
        Ok(Calls(move |request: &mut Request| ioctl::exchange(&file, request)))
    }

    fn not_opened(&self, error: &io::Error) -> LnetError {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
        match errno {
            // The last two: a device node is left whose module is gone.
            Errno::ENOENT | Errno::ENOTDIR | Errno::ENODEV | Errno::ENXIO => {
                LnetError::NoDevice { device: self.path.clone() }
            }
            Errno::EACCES | Errno::EPERM => LnetError::Denied,
            _ => LnetError::Errno { call: "open", errno: errno as i32 },
        }
    }
}

impl Lnet for Device {
    fn local_nis(&self) -> Result<Vec<LocalNi>, LnetError> {
        self.opened()?.local_nis()
    }

    fn configure(&self) -> Result<(), LnetError> {
        self.opened()?.configure()
    }

    fn unconfigure(&self) -> Result<(), LnetError> {
        self.opened()?.unconfigure()
    }

    fn add_local_ni(&self, net: u32, interface: &str) -> Result<(), LnetError> {
        self.opened()?.add_local_ni(net, interface)
    }

    fn del_local_ni(&self, nid: Nid) -> Result<(), LnetError> {
        self.opened()?.del_local_ni(nid)
    }

    fn ping(&self, nid: Nid, limit: Duration) -> Result<(), LnetError> {
        self.opened()?.ping(nid, limit)
    }

    fn set_health(&self, nid: Nid) -> Result<(), LnetError> {
        self.opened()?.set_health(nid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_device_is_a_module_that_is_not_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let device = directory.path().join("lnet");
        assert_eq!(super::device(&device).local_nis(), Err(LnetError::NoDevice { device }));
        let below_a_file = directory.path().join("file");
        std::fs::write(&below_a_file, "").unwrap();
        let device = below_a_file.join("lnet");
        assert_eq!(super::device(&device).configure(), Err(LnetError::NoDevice { device }));
    }

    /// The system call itself, with requests of each length, on devices that know none of the numbers.
    #[test]
    fn a_file_that_is_not_lnet_refuses_every_call() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let nid = Nid::tcp([10, 0, 2, 15].into());
        for path in ["/dev/null".as_ref(), file.path()] {
            let lnet = super::device(path);
            let refused = |call| Err(LnetError::Errno { call, errno: Errno::ENOTTY as i32 });
            assert_eq!(lnet.local_nis().map(drop), refused("GET_NI"));
            assert_eq!(lnet.configure(), refused("CONFIGURE"));
            assert_eq!(lnet.unconfigure(), refused("UNCONFIGURE"));
            assert_eq!(lnet.add_local_ni(super::super::TCP, "eth0"), refused("ADD_LOCAL_NI"));
            assert_eq!(lnet.del_local_ni(nid), refused("DEL_LOCAL_NI"));
            assert_eq!(lnet.ping(nid, Duration::from_secs(1)), refused("PING_PEER"));
            assert_eq!(lnet.set_health(nid), refused("SET_HEALHV"));
        }
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let errno = Errno::EISDIR as i32;
        assert_eq!(super::device(directory.path()).local_nis(), Err(LnetError::Errno { call: "open", errno }));
        let lnet = super::device("/dev/lnet");
        for (errno, meaning) in [
            (Errno::EACCES, LnetError::Denied),
            (Errno::EPERM, LnetError::Denied),
            (Errno::ENXIO, LnetError::NoDevice { device: "/dev/lnet".into() }),
            (Errno::EMFILE, LnetError::Errno { call: "open", errno: Errno::EMFILE as i32 }),
        ] {
            assert_eq!(lnet.not_opened(&errno.into()), meaning);
        }
    }
}
