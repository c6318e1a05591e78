//! Host names of servers, which the kernel does not know, and whether two sources name the same servers.
//!
//! Why not once and for all: a name may get another address while a mount made with the old one stays. So a mount is
//! compared with all the addresses that its plan's names have now, and only if the two are not equal as they stand.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::errno::REACHABILITY;
use super::mgs_limit::Standing;
use super::syscalls::Syscalls;
use crate::adapters::lnet::ACCEPTOR_PORT;
use crate::domain::mount_source::{Host, MgsAddress, MountSource, Nid};
use crate::ports::mounter::{MountError, MountErrorKind};

/// The source with addresses only; of several addresses of a host the first IPv4 address, or else the first.
pub(super) fn numeric(
    calls: &dyn Syscalls,
    operation: &'static str,
    source: &MountSource,
) -> Result<MountSource, MountError> {
    let mut texts = vec![];
    for server in source.mgs.servers() {
        let nids = server.iter().map(|nid| numeric_nid(calls, operation, source, nid));
        texts.push(nids.collect::<Result<Vec<_>, _>>()?.join(","));
    }
    let invalid = |error: crate::domain::mount_source::SourceError| {
        MountError::new(MountErrorKind::Invalid, operation, source.to_string(), error.to_string())
    };
    Ok(MountSource { mgs: MgsAddress::parse(&texts.join(":")).map_err(invalid)?, ..source.clone() })
}

fn numeric_nid(
    calls: &dyn Syscalls,
    operation: &'static str,
    source: &MountSource,
    nid: &Nid,
) -> Result<String, MountError> {
    let Host::Name(name) = &nid.host else { return Ok(nid.to_string()) };
    let failed = |cause: &str| {
        let message = format!("the host name {name} of the MGS cannot be resolved: {cause}");
        MountError::new(MountErrorKind::Unreachable, operation, source.to_string(), message)
            .with_hint("check the name and the node's DNS, or give the address as a number")
    };
    let addresses = calls.resolve(name).map_err(|error| failed(&error.to_string()))?;
    let best = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    best.map(|address| format!("{address}@{}", nid.network)).ok_or_else(|| failed("it has no address"))
}

/// Whether a mount of `mounted` is one of `planned`: the same file system and directory, and the same servers in the same
/// order, where a name stands for any of its addresses. `None` if that hangs on a name that cannot be resolved now.
pub(super) fn names_same(calls: &dyn Syscalls, planned: &MountSource, mounted: &MountSource) -> Option<bool> {
    let (left, right) = (planned.mgs.servers(), mounted.mgs.servers());
    let alike = (&planned.fs_name, &planned.sub_dir) == (&mounted.fs_name, &mounted.sub_dir)
        && left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| left.len() == right.len());
    if !alike {
        return Some(false);
    }
    let pairs = left.iter().flatten().zip(right.iter().flatten());
    let found: Vec<Option<bool>> = pairs.map(|(planned, mounted)| same_nid(calls, planned, mounted)).collect();
    if found.contains(&Some(false)) { Some(false) } else { found.into_iter().collect::<Option<Vec<_>>>().map(|_| true) }
}

fn same_nid(calls: &dyn Syscalls, planned: &Nid, mounted: &Nid) -> Option<bool> {
    if planned.network != mounted.network {
        return Some(false);
    }
    match (&planned.host, &mounted.host) {
        (planned, mounted) if planned == mounted => Some(true),
        // As the mount helper of another driver shows its mounts, or as this driver does.
        (Host::Name(one), Host::Name(other)) => share_an_address(calls, one, other),
        (Host::Name(name), address) | (address, Host::Name(name)) => {
            let addresses = calls.resolve(name).ok()?;
            Some(addresses.iter().any(|found| is_host(*found, address)))
        }
        _ => Some(false),
    }
}

fn share_an_address(calls: &dyn Syscalls, one: &str, other: &str) -> Option<bool> {
    let (one, other) = (calls.resolve(one).ok()?, calls.resolve(other).ok()?);
    Some(one.iter().any(|address| other.contains(address)))
}

fn is_host(address: IpAddr, host: &Host) -> bool {
    match (address, host) {
        (IpAddr::V4(address), Host::V4(host)) => address == *host,
        (IpAddr::V6(address), Host::V6(host)) => address == *host,
        _ => false,
    }
}

/// Tries to connect to servers of which mounts are overdue or have failed; one that listens is enough.
pub(super) fn check_reachable(
    calls: &dyn Syscalls,
    operation: &'static str,
    source: &MountSource,
    standing: Standing,
    limit: Duration,
) -> Result<(), MountError> {
    let mut tried = vec![];
    for Nid { host, .. } in source.mgs.servers().iter().flatten() {
        let addresses = match host {
            Host::V4(address) => vec![IpAddr::from(*address)],
            Host::V6(address) => vec![IpAddr::from(*address)],
            Host::Name(name) => calls.resolve(name).unwrap_or_default(),
        };
        for address in addresses {
            match calls.connect(SocketAddr::new(address, ACCEPTOR_PORT), limit) {
                Ok(()) => return Ok(()),
                Err(error) => tried.push(format!("{address}: {error}")),
            }
        }
    }
    let why = match standing.overdue {
        0 => "a mount of it has just failed".to_owned(),
        1 => "1 mount of it hangs".to_owned(),
        overdue => format!("{overdue} mounts of it hang"),
    };
    let message = format!(
        "the MGS {} does not answer: {why}, and no connection to its port {ACCEPTOR_PORT} can be made ({})",
        source.mgs,
        if tried.is_empty() { "no address is known".to_owned() } else { tried.join(", ") }
    );
    Err(MountError::new(MountErrorKind::Unreachable, operation, source.to_string(), message).with_hint(REACHABILITY))
}
