//! Resolution of the host names in a mount source, which the kernel does not do, and comparison of two sources.
//!
//! A name may get another address while a mount made with the old one stays. So a mount is compared with all the addresses
//! that the names of its plan have now, and only if the two sources are not equal as they are written.

use std::net::IpAddr;

use super::syscalls::Syscalls;
use crate::domain::mount_source::{Host, MgsAddress, MountSource, Nid, SourceError};
use crate::ports::mounter::{MountError, MountErrorKind};

/// The source with addresses only; of several addresses of a host the first IPv4 address, or else the first.
pub(super) fn resolve(
    syscalls: &dyn Syscalls,
    operation: &'static str,
    source: &MountSource,
) -> Result<MountSource, MountError> {
    let mut texts = vec![];
    for server in source.mgs.servers() {
        let nids = server.iter().map(|nid| resolve_nid(syscalls, operation, source, nid));
        texts.push(nids.collect::<Result<Vec<_>, _>>()?.join(","));
    }
    let invalid =
        |error: SourceError| MountError::new(MountErrorKind::Invalid, operation, source.to_string(), error.to_string());
    Ok(MountSource { mgs: MgsAddress::parse(&texts.join(":")).map_err(invalid)?, ..source.clone() })
}

fn resolve_nid(
    syscalls: &dyn Syscalls,
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
    let addresses = syscalls.resolve(name).map_err(|error| failed(&error.to_string()))?;
    let best = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    best.map(|address| format!("{address}@{}", nid.network)).ok_or_else(|| failed("it has no address"))
}

/// Whether a mount of `mounted` is one of `planned`: the same file system and directory, and the same servers in the same
/// order, where a name stands for any of its addresses. `None` if that depends on a name that cannot be resolved now.
pub(super) fn is_same_source(syscalls: &dyn Syscalls, planned: &MountSource, mounted: &MountSource) -> Option<bool> {
    let (left, right) = (planned.mgs.servers(), mounted.mgs.servers());
    let alike = (&planned.fs_name, &planned.sub_dir) == (&mounted.fs_name, &mounted.sub_dir)
        && left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| left.len() == right.len());
    if !alike {
        return Some(false);
    }
    let pairs = left.iter().flatten().zip(right.iter().flatten());
    let found: Vec<Option<bool>> = pairs.map(|(planned, mounted)| same_nid(syscalls, planned, mounted)).collect();
    if found.contains(&Some(false)) { Some(false) } else { found.into_iter().collect::<Option<Vec<_>>>().map(|_| true) }
}

fn same_nid(syscalls: &dyn Syscalls, planned: &Nid, mounted: &Nid) -> Option<bool> {
    if planned.network != mounted.network {
        return Some(false);
    }
    match (&planned.host, &mounted.host) {
        (planned, mounted) if planned == mounted => Some(true),
        // The mount helper shows the name that it was given; this driver the address.
        (Host::Name(one), Host::Name(other)) => share_an_address(syscalls, one, other),
        (Host::Name(name), address) | (address, Host::Name(name)) => {
            let addresses = syscalls.resolve(name).ok()?;
            Some(addresses.iter().any(|found| is_host(*found, address)))
        }
        _ => Some(false),
    }
}

fn share_an_address(syscalls: &dyn Syscalls, one: &str, other: &str) -> Option<bool> {
    let (one, other) = (syscalls.resolve(one).ok()?, syscalls.resolve(other).ok()?);
    Some(one.iter().any(|address| other.contains(address)))
}

fn is_host(address: IpAddr, host: &Host) -> bool {
    match (address, host) {
        (IpAddr::V4(address), Host::V4(host)) => address == *host,
        (IpAddr::V6(address), Host::V6(host)) => address == *host,
        _ => false,
    }
}
