//! LNet by the ioctls of its device: the requests of each operation in their order, and the meaning of each errno.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use super::wire::{self, Request};
use super::{Ipv4Nid, Lnet, LnetError, LocalNi, ioctl};

/// Most NIs that are listed; more than any node has, so that a list without an end ends.
const MOST_NIS: u32 = 1024;

/// Longest name of an interface in bytes (`IFNAMSIZ` without its end).
const LONGEST_INTERFACE: usize = 15;

/// LNet by the device at this path: [`DEVICE`](super::DEVICE), or the node's device as a container sees it. It is opened for
/// each request, since an open device counts as a user of the module; the module need not be loaded yet.
pub fn device(path: PathBuf) -> impl Lnet {
    Ioctls(move |request: &mut Request| Ok(ioctl::exchange(&open(&path)?, request)))
}

fn open(path: &Path) -> Result<File, LnetError> {
    // Opening does not block, also where the path is another kind of file.
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
    file.map_err(|error| not_opened(path, &error))
}

fn not_opened(path: &Path, error: &io::Error) -> LnetError {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
    match errno {
        // The last two: the device node of a module that was removed.
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENODEV | Errno::ENXIO => {
            LnetError::NoDevice { device: path.to_owned() }
        }
        Errno::EACCES | Errno::EPERM => LnetError::Denied,
        _ => LnetError::Errno { call: "open", errno: errno as i32 },
    }
}

/// Result of the ioctl of a request; an error if there is no device for it.
type Exchanged = Result<Result<(), Errno>, LnetError>;

/// LNet over a function that sends one request and puts the kernel's answer in its place.
struct Ioctls<F>(F);

impl<F> fmt::Debug for Ioctls<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ioctls")
    }
}

impl<F: Fn(&mut Request) -> Exchanged> Ioctls<F> {
    /// The answers to a request by index until ENOENT, without the loopback and without NIs that have no IPv4 NID.
    fn list(&self, request: fn(u32) -> Request, parse: fn(&Request) -> LocalNi) -> Result<Vec<LocalNi>, LnetError> {
        let mut nis: Vec<LocalNi> = Vec::new();
        for index in 0..MOST_NIS {
            let mut request = request(index);
            match (self.0)(&mut request)? {
                Ok(()) => {}
                Err(Errno::ENOENT) => break,
                Err(errno) => return Err(error_of(request.name, errno)),
            }
            let ni = parse(&request);
            if !ni.nid.is_loopback_or_none() && !nis.iter().any(|other| other.nid == ni.nid) {
                nis.push(ni);
            }
        }
        Ok(nis)
    }

    /// One request without an answer; `meaning` is the error that an errno means to this request alone.
    fn send(&self, mut request: Request, meaning: impl FnOnce(Errno) -> Option<LnetError>) -> Result<(), LnetError> {
        let name = request.name;
        (self.0)(&mut request)?.map_err(|errno| meaning(errno).unwrap_or_else(|| error_of(name, errno)))
    }
}

impl<F: Fn(&mut Request) -> Exchanged + Send + Sync> Lnet for Ioctls<F> {
    /// `GET_NI` shows whether LNet is started, `GET_NET` has interface and status of each NI.
    fn local_nis(&self) -> Result<Vec<LocalNi>, LnetError> {
        let plain = self.list(wire::get_ni, wire::ni_of_get_ni)?;
        // A client that answers the first alone still has its NIDs.
        let mut found = self.list(wire::get_net, wire::ni_of_get_net).unwrap_or_default();
        for ni in plain {
            if !found.iter().any(|other| other.nid == ni.nid) {
                found.push(ni);
            }
        }
        Ok(found)
    }

    fn configure(&self) -> Result<(), LnetError> {
        self.send(wire::configure(), |_| None)
    }

    fn unconfigure(&self) -> Result<(), LnetError> {
        self.send(wire::unconfigure(), |errno| (errno == Errno::EBUSY).then_some(LnetError::Busy))
    }

    fn add_local_ni(&self, net: u32, interface: &str) -> Result<(), LnetError> {
        let no_interface = LnetError::NoInterface { interface: interface.to_owned() };
        let valid = (1..=LONGEST_INTERFACE).contains(&interface.len()) && !interface.contains('\0');
        if !valid {
            return Err(no_interface);
        }
        self.send(wire::add_local_ni(net, interface), |errno| match errno {
            Errno::EEXIST => Some(LnetError::Exists { what: interface.to_owned() }),
            Errno::ENETDOWN | Errno::ENODEV => Some(no_interface),
            _ => None,
        })
    }

    fn del_local_ni(&self, nid: Ipv4Nid) -> Result<(), LnetError> {
        self.send(wire::del_local_ni(nid), |errno| (errno == Errno::ENOENT).then_some(LnetError::NotFound { nid }))
    }

    fn ping(&self, nid: Ipv4Nid, limit: Duration) -> Result<(), LnetError> {
        self.send(wire::ping_peer(nid, limit), |errno| match errno {
            Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ECONNREFUSED | Errno::ETIMEDOUT | Errno::EIO => {
                Some(LnetError::Unreachable { nid })
            }
            _ => None,
        })
    }

    fn set_health(&self, nid: Ipv4Nid) -> Result<(), LnetError> {
        self.send(wire::set_health(nid), |errno| (errno == Errno::ENOENT).then_some(LnetError::NotFound { nid }))
    }
}

/// The error that an errno means to any request.
fn error_of(call: &'static str, errno: Errno) -> LnetError {
    match errno {
        Errno::EACCES | Errno::EPERM => LnetError::Denied,
        Errno::ENETDOWN => LnetError::NotStarted,
        _ => LnetError::Errno { call, errno: errno as i32 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::lnet::TCP;

    fn nid(last: u8) -> Ipv4Nid {
        Ipv4Nid::tcp([10, 0, 2, last].into())
    }

    /// LNet whose lists are these tables.
    fn listing(
        nids: &'static [u64],
        nets: Result<&'static [(u64, &'static str, u32)], Errno>,
    ) -> Ioctls<impl Fn(&mut Request) -> Exchanged> {
        let answer = move |request: &mut Request| {
            let bytes = request.bytes_mut();
            if bytes.len() == 128 {
                let index = u32::from_le_bytes(bytes[28..32].try_into().unwrap());
                let nid = nids.get(index as usize).ok_or(Errno::ENOENT)?;
                bytes[8..16].copy_from_slice(&nid.to_le_bytes());
            } else {
                let index = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
                let (nid, interface, status) = nets?.get(index as usize).ok_or(Errno::ENOENT)?;
                bytes[16..24].copy_from_slice(&nid.to_le_bytes());
                bytes[180..180 + interface.len()].copy_from_slice(interface.as_bytes());
                bytes[308..312].copy_from_slice(&status.to_le_bytes());
            }
            Ok(())
        };
        Ioctls(move |request: &mut Request| Ok(answer(request)))
    }

    #[test]
    fn nis_are_listed_with_interface_and_status_and_without_the_loopback() {
        const LO: u64 = 9 << 48;
        const A: u64 = 0x0002_0000_0a00_020f;
        const B: u64 = 0x0002_0000_0a00_0210;
        let ni = |nid, interface: Option<&str>, up| LocalNi { nid, interface: interface.map(str::to_owned), up };
        let nets: &[_] = &[(0, "", 0x15aa_c0de), (A, "eth0", 0x15aa_c0de), (B, "eth1", 0xdead_face)];
        let found = listing(&[LO, A, B], Ok(nets)).local_nis();
        assert_eq!(found, Ok(vec![ni(nid(15), Some("eth0"), Some(true)), ni(nid(16), Some("eth1"), Some(false))]));
        // An NI in one of the two lists is listed too.
        let found = listing(&[LO, A, B], Ok(&[(B, "", 7)])).local_nis();
        assert_eq!(found, Ok(vec![ni(nid(16), None, None), ni(nid(15), None, None)]));
        let found = listing(&[A], Err(Errno::EINVAL)).local_nis();
        assert_eq!(found, Ok(vec![ni(nid(15), None, None)]));
        assert_eq!(listing(&[LO], Ok(&[])).local_nis(), Ok(Vec::new()));
    }

    #[test]
    fn a_list_without_an_end_ends() {
        let endless = Ioctls(|request: &mut Request| {
            request.bytes_mut()[8..24].fill(7);
            Ok(Ok(()))
        });
        assert_eq!(endless.local_nis().unwrap().len(), 1);
    }

    #[test]
    fn every_errno_of_the_kernel_has_a_meaning() {
        let interface = || "eth9".to_owned();
        let (nid, limit) = (nid(15), Duration::from_secs(10));
        let failing = |errno| Ioctls(move |_: &mut Request| Ok(Err(errno)));
        let other = |call, errno: Errno| Err(LnetError::Errno { call, errno: errno as i32 });
        assert_eq!(failing(Errno::ENETDOWN).local_nis(), Err(LnetError::NotStarted));
        assert_eq!(failing(Errno::EACCES).local_nis(), Err(LnetError::Denied));
        assert_eq!(failing(Errno::EACCES).set_health(nid), Err(LnetError::Denied));
        assert_eq!(failing(Errno::EBUSY).unconfigure(), Err(LnetError::Busy));
        assert_eq!(failing(Errno::EEXIST).add_local_ni(TCP, "eth9"), Err(LnetError::Exists { what: interface() }));
        let missing = Err(LnetError::NoInterface { interface: interface() });
        assert_eq!(failing(Errno::ENETDOWN).add_local_ni(TCP, "eth9"), missing);
        assert_eq!(failing(Errno::EINVAL).add_local_ni(TCP, "eth9"), other("ADD_LOCAL_NI", Errno::EINVAL));
        assert_eq!(failing(Errno::ENOENT).del_local_ni(nid), Err(LnetError::NotFound { nid }));
        for errno in [Errno::EHOSTUNREACH, Errno::ECONNREFUSED, Errno::EIO] {
            assert_eq!(failing(errno).ping(nid, limit), Err(LnetError::Unreachable { nid }));
        }
        assert_eq!(failing(Errno::EPROTO).ping(nid, limit), other("PING_PEER", Errno::EPROTO));
        assert_eq!(failing(Errno::ENOMEM).configure(), other("CONFIGURE", Errno::ENOMEM));
    }

    #[test]
    fn an_invalid_name_of_an_interface_is_not_sent() {
        let never = Ioctls(|_: &mut Request| panic!("nothing may be sent"));
        for name in ["", "sixteen-letters-", "et\0h"] {
            let missing = LnetError::NoInterface { interface: name.to_owned() };
            assert_eq!(never.add_local_ni(TCP, name), Err(missing), "{name:?}");
        }
    }

    #[test]
    fn an_absent_device_is_a_module_that_is_not_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lnet");
        assert_eq!(device(path.clone()).local_nis(), Err(LnetError::NoDevice { device: path }));
        let below_a_file = directory.path().join("file");
        std::fs::write(&below_a_file, "").unwrap();
        let path = below_a_file.join("lnet");
        assert_eq!(device(path.clone()).configure(), Err(LnetError::NoDevice { device: path }));
    }

    /// The system call itself, with requests of each length, on devices that know none of the numbers.
    #[test]
    fn a_file_that_is_not_lnet_refuses_every_request() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let nid = Ipv4Nid::tcp([10, 0, 2, 15].into());
        for path in ["/dev/null".into(), file.path().to_owned()] {
            let lnet = device(path);
            let refused = |call| Err(LnetError::Errno { call, errno: Errno::ENOTTY as i32 });
            assert_eq!(lnet.local_nis().map(drop), refused("GET_NI"));
            assert_eq!(lnet.configure(), refused("CONFIGURE"));
            assert_eq!(lnet.unconfigure(), refused("UNCONFIGURE"));
            assert_eq!(lnet.add_local_ni(TCP, "eth0"), refused("ADD_LOCAL_NI"));
            assert_eq!(lnet.del_local_ni(nid), refused("DEL_LOCAL_NI"));
            assert_eq!(lnet.ping(nid, Duration::from_secs(1)), refused("PING_PEER"));
            assert_eq!(lnet.set_health(nid), refused("SET_HEALHV"));
        }
    }

    #[test]
    fn a_device_that_cannot_be_opened_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let errno = Errno::EISDIR as i32;
        assert_eq!(device(directory.path().into()).local_nis(), Err(LnetError::Errno { call: "open", errno }));
        let path = Path::new("/dev/lnet");
        for (errno, meaning) in [
            (Errno::EACCES, LnetError::Denied),
            (Errno::EPERM, LnetError::Denied),
            (Errno::ENXIO, LnetError::NoDevice { device: "/dev/lnet".into() }),
            (Errno::EMFILE, LnetError::Errno { call: "open", errno: Errno::EMFILE as i32 }),
        ] {
            assert_eq!(not_opened(path, &errno.into()), meaning);
        }
    }
}
