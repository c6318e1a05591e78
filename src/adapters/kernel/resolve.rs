//! Host names of servers, which the kernel does not know, and whether two sources name the same servers.
//!
//! Why not once and for all: a name may get another address while a mount made with the old one stays. So a mount is
//! compared with all the addresses that its plan's names have now, and only if the two are not equal as they stand.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::failure::{Fault, REACHABILITY};
use super::syscalls::Syscalls;
use crate::domain::mount_source::{Host, MgsAddress, MountSource, Nid};
use crate::ports::mounter::MountErrorKind;

/// Where an MGS listens.
const MGS_PORT: u16 = 988;

/// The source with addresses only; of several addresses of a host the first IPv4 address, or else the first.
pub(super) fn numeric(
    calls: &dyn Syscalls,
    operation: &'static str,
    source: &MountSource,
) -> Result<MountSource, Fault> {
    let mut texts = vec![];
    for server in source.mgs.servers() {
        let nids = server.iter().map(|nid| numeric_nid(calls, operation, source, nid));
        texts.push(nids.collect::<Result<Vec<_>, _>>()?.join(","));
    }
    let invalid = |error: crate::domain::mount_source::SourceError| {
        Fault::new(MountErrorKind::Invalid, operation, source.to_string(), error.to_string())
    };
    Ok(MountSource { mgs: MgsAddress::parse(&texts.join(":")).map_err(invalid)?, ..source.clone() })
}

fn numeric_nid(
    calls: &dyn Syscalls,
    operation: &'static str,
    source: &MountSource,
    nid: &Nid,
) -> Result<String, Fault> {
    let Host::Name(name) = &nid.host else { return Ok(nid.to_string()) };
    let failed = |cause: &str| {
        let message = format!("the host name {name} of the MGS cannot be resolved: {cause}");
        Fault::new(MountErrorKind::Unreachable, operation, source.to_string(), message)
            .hint("check the name and the node's DNS, or give the address as a number")
    };
    let addresses = calls.resolve(name).map_err(|error| failed(&error.to_string()))?;
    let best = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    best.map(|address| format!("{address}@{}", nid.network)).ok_or_else(|| failed("it has no address"))
}

/// Whether a mount of `mounted` is one of `planned`: the same file system and directory, and the same servers in the same
/// order, where a name stands for any of its addresses.
pub(super) fn names_same(calls: &dyn Syscalls, planned: &MountSource, mounted: &MountSource) -> bool {
    let (left, right) = (planned.mgs.servers(), mounted.mgs.servers());
    let same_nid = |(planned, mounted): (&Nid, &Nid)| {
        planned.network == mounted.network
            && (planned.host == mounted.host || same_host(calls, &planned.host, &mounted.host))
    };
    (&planned.fs_name, &planned.sub_dir) == (&mounted.fs_name, &mounted.sub_dir)
        && left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| left.len() == right.len())
        && left.iter().flatten().zip(right.iter().flatten()).all(same_nid)
}

fn same_host(calls: &dyn Syscalls, planned: &Host, mounted: &Host) -> bool {
    let Host::Name(name) = planned else { return false };
    let is_mounted = |address: &IpAddr| match (address, mounted) {
        (IpAddr::V4(address), Host::V4(mounted)) => address == mounted,
        (IpAddr::V6(address), Host::V6(mounted)) => address == mounted,
        _ => false,
    };
    calls.resolve(name).is_ok_and(|addresses| addresses.iter().any(is_mounted))
}

/// Tries to connect to the servers while mounts of them are stuck; one that listens is enough.
pub(super) fn check_reachable(
    calls: &dyn Syscalls,
    operation: &'static str,
    source: &MountSource,
    stuck: usize,
    limit: Duration,
) -> Result<(), Fault> {
    let mut tried = vec![];
    for Nid { host, .. } in source.mgs.servers().iter().flatten() {
        let addresses = match host {
            Host::V4(address) => vec![IpAddr::from(*address)],
            Host::V6(address) => vec![IpAddr::from(*address)],
            Host::Name(name) => calls.resolve(name).unwrap_or_default(),
        };
        for address in addresses {
            match calls.connect(SocketAddr::new(address, MGS_PORT), limit) {
                Ok(()) => return Ok(()),
                Err(error) => tried.push(format!("{address}: {error}")),
            }
        }
    }
    let message = format!(
        "the MGS {} does not answer: {stuck} mounts of it hang, and no connection to its port {MGS_PORT} can be made ({})",
        source.mgs,
        if tried.is_empty() { "no address is known".to_owned() } else { tried.join(", ") }
    );
    Err(Fault::new(MountErrorKind::Unreachable, operation, source.to_string(), message).hint(REACHABILITY))
}
