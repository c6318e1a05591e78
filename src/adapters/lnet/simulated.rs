//! Simulated LNet whose state is a small file: for clusters without Lustre, where node-setup has to configure something.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Ipv4Nid, Lnet, LnetError, LocalNi, TCP};

/// LNet whose NIs are the lines of a file (`10.0.2.15 eth0`). Without the file LNet is not started, so the state outlives
/// the process.
pub struct SimulatedLnet {
    file: PathBuf,
    address: Box<AddressOf>,
}

/// The first IPv4 address of an interface that is up.
type AddressOf = dyn Fn(&str) -> Option<Ipv4Addr> + Send + Sync;

/// Simulated LNet whose state is in this file, whose directory must exist. `address` is the first IPv4 address of an
/// interface that is up.
pub fn device(file: &Path, address: impl Fn(&str) -> Option<Ipv4Addr> + Send + Sync + 'static) -> SimulatedLnet {
    SimulatedLnet { file: file.to_owned(), address: Box::new(address) }
}

impl fmt::Debug for SimulatedLnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedLnet").field("file", &self.file).finish_non_exhaustive()
    }
}

impl SimulatedLnet {
    /// Interfaces by address; `None` if LNet is not started.
    fn read(&self) -> Result<Option<BTreeMap<Ipv4Addr, String>>, LnetError> {
        let text = match fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &error)),
        };
        let ni = |line: &str| {
            let (address, interface) = line.split_once(' ')?;
            Some((address.parse().ok()?, interface.to_owned()))
        };
        Ok(Some(text.lines().filter_map(ni).collect()))
    }

    fn started(&self) -> Result<BTreeMap<Ipv4Addr, String>, LnetError> {
        self.read()?.ok_or(LnetError::NotStarted)
    }

    fn write(&self, nis: &BTreeMap<Ipv4Addr, String>) -> Result<(), LnetError> {
        let lines: Vec<String> = nis.iter().map(|(address, interface)| format!("{address} {interface}")).collect();
        fs::write(&self.file, lines.join("\n")).map_err(|error| io_error("write", &error))
    }
}

impl Lnet for SimulatedLnet {
    fn local_nis(&self) -> Result<Vec<LocalNi>, LnetError> {
        let ni = |(address, interface): (Ipv4Addr, String)| {
            let up = (self.address)(&interface) == Some(address);
            LocalNi { nid: Ipv4Nid::tcp(address), interface: Some(interface), up: Some(up) }
        };
        Ok(self.started()?.into_iter().map(ni).collect())
    }

    fn configure(&self) -> Result<(), LnetError> {
        let nis = self.read()?.unwrap_or_default();
        self.write(&nis)
    }

    fn unconfigure(&self) -> Result<(), LnetError> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("remove", &error)),
            _ => Ok(()),
        }
    }

    fn add_local_ni(&self, net: u32, interface: &str) -> Result<(), LnetError> {
        let mut nis = self.started()?;
        if net != TCP {
            return Err(LnetError::Errno { call: "ADD_LOCAL_NI", errno: nix::libc::EINVAL });
        }
        if nis.values().any(|known| known == interface) {
            return Err(LnetError::Exists { what: interface.to_owned() });
        }
        let missing = || LnetError::NoInterface { interface: interface.to_owned() };
        nis.insert((self.address)(interface).ok_or_else(missing)?, interface.to_owned());
        self.write(&nis)
    }

    fn del_local_ni(&self, nid: Ipv4Nid) -> Result<(), LnetError> {
        let mut nis = self.started()?;
        nis.remove(&nid.address()).filter(|_| nid.net() == TCP).ok_or(LnetError::NotFound { nid })?;
        self.write(&nis)
    }

    fn ping(&self, nid: Ipv4Nid, _limit: Duration) -> Result<(), LnetError> {
        let replies = self.local_nis()?.iter().any(|ni| ni.nid == nid && ni.up == Some(true));
        if replies { Ok(()) } else { Err(LnetError::Unreachable { nid }) }
    }

    fn set_health(&self, nid: Ipv4Nid) -> Result<(), LnetError> {
        let known = self.local_nis()?.iter().any(|ni| ni.nid == nid);
        if known { Ok(()) } else { Err(LnetError::NotFound { nid }) }
    }
}

fn io_error(call: &'static str, error: &io::Error) -> LnetError {
    LnetError::Errno { call, errno: error.raw_os_error().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nis_are_added_and_removed_and_outlive_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lnet");
        let address = |name: &str| (name == "eth0").then(|| Ipv4Addr::new(10, 0, 2, 15));
        let (lnet, nid) = (device(&file, address), Ipv4Nid::tcp([10, 0, 2, 15].into()));
        assert_eq!(lnet.local_nis(), Err(LnetError::NotStarted));
        assert_eq!(lnet.add_local_ni(TCP, "eth0"), Err(LnetError::NotStarted));
        lnet.configure().unwrap();
        assert_eq!(lnet.local_nis(), Ok(Vec::new()));
        assert_eq!(lnet.add_local_ni(TCP, "eth9"), Err(LnetError::NoInterface { interface: "eth9".to_owned() }));
        assert_eq!(lnet.ping(nid, Duration::ZERO), Err(LnetError::Unreachable { nid }));
        lnet.add_local_ni(TCP, "eth0").unwrap();
        lnet.configure().unwrap();
        assert_eq!(lnet.add_local_ni(TCP, "eth0"), Err(LnetError::Exists { what: "eth0".to_owned() }));
        let next = device(&file, address);
        let ni = LocalNi { nid, interface: Some("eth0".to_owned()), up: Some(true) };
        assert_eq!(next.local_nis(), Ok(vec![ni]));
        assert_eq!((next.ping(nid, Duration::ZERO), next.set_health(nid)), (Ok(()), Ok(())));
        // The address has changed: the NI stays and is down.
        let moved = device(&file, |_| Some(Ipv4Addr::new(10, 0, 2, 16)));
        assert_eq!(moved.local_nis().unwrap()[0].up, Some(false));
        next.del_local_ni(nid).unwrap();
        assert_eq!(next.del_local_ni(nid), Err(LnetError::NotFound { nid }));
        next.unconfigure().unwrap();
        assert_eq!(next.local_nis(), Err(LnetError::NotStarted));
    }
}
