//! TCP connections to an MGS: the check before a mount, and the evidence whether the servers of a mount are dead.
//!
//! "Dead" needs evidence: the client's imports show that no server of the file system is connected, or, where they cannot
//! be read, its MGS accepts no TCP connection, twice. An MDS failover is not death, and what cannot be determined is
//! unknown. statfs(2) is no evidence: the kernel removes a mount from its path before it writes back, so it would see the
//! directory beneath.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use super::blocking::BlockingMounter;
use super::client_state::servers::ServerState;
use super::errno::REACHABILITY;
use super::mgs_limit::MgsState;
use crate::adapters::lnet::ACCEPTOR_PORT;
use crate::domain::mount_source::{Host, MountSource, Nid};
use crate::ports::mounter::{MountError, MountErrorKind};

impl BlockingMounter {
    /// The servers of a mount now. `before` is their state before umount2(2) began, which removes the mount's own imports.
    /// Servers that answer now are not dead, whatever was true then.
    pub(super) fn server_state(&self, source: &str, before: ServerState) -> ServerState {
        let now = match self.client.server_state(source) {
            ServerState::Unknown => self.server_state_by_connection(source),
            known => known,
        };
        if now == ServerState::Unknown && before == ServerState::Dead { before } else { now }
    }

    fn server_state_by_connection(&self, source: &str) -> ServerState {
        let Ok(source) = MountSource::parse(source) else { return ServerState::Unknown };
        match self.connect_to_mgs(&source) {
            ServerState::Dead => {
                std::thread::sleep(self.settings.limits.recheck_after);
                self.connect_to_mgs(&source)
            }
            known => known,
        }
    }

    fn connect_to_mgs(&self, source: &MountSource) -> ServerState {
        let mut refused = 0;
        for Nid { host, network } in source.mgs.servers().iter().flatten() {
            let Some(address) = numeric(host).filter(|_| network.starts_with("tcp")) else {
                return ServerState::Unknown;
            };
            match self.syscalls.connect(SocketAddr::new(address, ACCEPTOR_PORT), self.settings.limits.connect) {
                Ok(()) => return ServerState::Answering,
                Err(error) if is_no_response(error.kind()) => refused += 1,
                Err(_) => return ServerState::Unknown,
            }
        }
        if refused > 0 { ServerState::Dead } else { ServerState::Unknown }
    }

    /// Connects to an MGS of which mounts are overdue or have failed; one server that accepts is enough.
    pub(super) fn check_reachable(
        &self,
        operation: &'static str,
        source: &MountSource,
        state: MgsState,
    ) -> Result<(), MountError> {
        let mut tried = vec![];
        for Nid { host, .. } in source.mgs.servers().iter().flatten() {
            let addresses = match host {
                Host::Name(name) => self.syscalls.resolve(name).unwrap_or_default(),
                host => numeric(host).into_iter().collect(),
            };
            for address in addresses {
                match self.syscalls.connect(SocketAddr::new(address, ACCEPTOR_PORT), self.settings.limits.connect) {
                    Ok(()) => return Ok(()),
                    Err(error) => tried.push(format!("{address}: {error}")),
                }
            }
        }
        let why = match state.overdue {
            0 => "a mount of it has just failed".to_owned(),
            1 => "1 mount of it hangs".to_owned(),
            overdue => format!("{overdue} mounts of it hang"),
        };
        let tried = if tried.is_empty() { "no address is known".to_owned() } else { tried.join(", ") };
        let message = format!(
            "the MGS {} does not answer: {why}, and no connection to its port {ACCEPTOR_PORT} can be made ({tried})",
            source.mgs
        );
        Err(MountError::new(MountErrorKind::Unreachable, operation, source.to_string(), message)
            .with_hint(REACHABILITY))
    }
}

/// The address of a host that is not a name.
fn numeric(host: &Host) -> Option<IpAddr> {
    match host {
        Host::V4(address) => Some((*address).into()),
        Host::V6(address) => Some((*address).into()),
        Host::Name(_) => None,
    }
}

/// Whether a connection failed because no server responds, and not because this process could not try (no descriptor, no
/// memory, no permission).
fn is_no_response(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TimedOut
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
    )
}
