//! Whether the servers of a mounted file system are dead, for the decision to detach a mount.
//!
//! "Dead" needs evidence: the client's imports say that no server of the file system is connected, or, where they cannot
//! be read, its MGS takes no TCP connection, twice. An MDS failover is not death, and what cannot be determined is
//! unknown. A path is never asked: the kernel removes a mount from its path before it writes back, so statfs(2) would see
//! the directory beneath.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use super::Imports;
use super::node::Node;
use super::resolve::MGS_PORT;
use crate::domain::mount_source::{Host, MountSource, Nid};

/// What is known of the servers of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Servers {
    /// At least one answers.
    Answering,
    /// None does.
    Dead,
    /// It cannot be determined.
    Unknown,
}

impl Node {
    /// What the client's imports say; cheap and local, for before umount2(2) begins.
    pub(super) fn servers_by_imports(&self, source: &str) -> Servers {
        match self.imports.ask(source) {
            Imports::Full => Servers::Answering,
            Imports::NotFull => Servers::Dead,
            Imports::Unknown => Servers::Unknown,
        }
    }

    /// Whether the servers are dead by now. `before` is what the imports said before umount2(2) began, which removes the
    /// mount's own. Servers that answer now are not dead, whatever was true then.
    pub(super) fn servers(&self, source: &str, before: Servers) -> Servers {
        let now = match self.servers_by_imports(source) {
            Servers::Unknown => self.servers_by_connection(source),
            known => known,
        };
        if now == Servers::Unknown && before == Servers::Dead { before } else { now }
    }

    fn servers_by_connection(&self, source: &str) -> Servers {
        let Ok(source) = MountSource::parse(source) else { return Servers::Unknown };
        match self.connects(&source) {
            Servers::Dead => {
                std::thread::sleep(self.settings.limits.recheck_after);
                self.connects(&source)
            }
            known => known,
        }
    }

    fn connects(&self, source: &MountSource) -> Servers {
        let mut refused = 0;
        for Nid { host, network } in source.mgs.servers().iter().flatten() {
            let address: IpAddr = match host {
                Host::V4(address) => (*address).into(),
                Host::V6(address) => (*address).into(),
                Host::Name(_) => return Servers::Unknown,
            };
            if !network.starts_with("tcp") {
                return Servers::Unknown;
            }
            match self.calls.connect(SocketAddr::new(address, MGS_PORT), self.settings.limits.connect) {
                Ok(()) => return Servers::Answering,
                Err(error) if says_dead(error.kind()) => refused += 1,
                Err(_) => return Servers::Unknown,
            }
        }
        if refused > 0 { Servers::Dead } else { Servers::Unknown }
    }
}

/// Whether a failed connection says that nothing answers, and not that this process could not try (no descriptor, no
/// memory, no permission).
fn says_dead(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TimedOut
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
    )
}
