//! Whether the servers of a mounted file system are dead, for the decision to detach a mount.
//!
//! "Dead" needs evidence: the client's imports say that no server of the file system is connected, or, where they cannot
//! be read, its MGS takes no TCP connection, twice. An MDS failover is not death, and what cannot be determined is
//! unknown. A path is never asked: the kernel removes a mount from its path before it writes back, so statfs(2) would see
//! the directory beneath.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use super::client_state::servers::ServerState;
use super::node::Node;
use crate::adapters::lnet::ACCEPTOR_PORT;
use crate::domain::mount_source::{Host, MountSource, Nid};

impl Node {
    /// What the client's imports say; cheap and local, for before umount2(2) begins.
    pub(super) fn servers_by_imports(&self, source: &str) -> ServerState {
        self.imports.ask(source)
    }

    /// Whether the servers are dead by now. `before` is what the imports said before umount2(2) began, which removes the
    /// mount's own. Servers that answer now are not dead, whatever was true then.
    pub(super) fn servers(&self, source: &str, before: ServerState) -> ServerState {
        let now = match self.servers_by_imports(source) {
            ServerState::Unknown => self.servers_by_connection(source),
            known => known,
        };
        if now == ServerState::Unknown && before == ServerState::Dead { before } else { now }
    }

    fn servers_by_connection(&self, source: &str) -> ServerState {
        let Ok(source) = MountSource::parse(source) else { return ServerState::Unknown };
        match self.connects(&source) {
            ServerState::Dead => {
                std::thread::sleep(self.settings.limits.recheck_after);
                self.connects(&source)
            }
            known => known,
        }
    }

    fn connects(&self, source: &MountSource) -> ServerState {
        let mut refused = 0;
        for Nid { host, network } in source.mgs.servers().iter().flatten() {
            let address: IpAddr = match host {
                Host::V4(address) => (*address).into(),
                Host::V6(address) => (*address).into(),
                Host::Name(_) => return ServerState::Unknown,
            };
            if !network.starts_with("tcp") {
                return ServerState::Unknown;
            }
            match self.calls.connect(SocketAddr::new(address, ACCEPTOR_PORT), self.settings.limits.connect) {
                Ok(()) => return ServerState::Answering,
                Err(error) if says_dead(error.kind()) => refused += 1,
                Err(_) => return ServerState::Unknown,
            }
        }
        if refused > 0 { ServerState::Dead } else { ServerState::Unknown }
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
