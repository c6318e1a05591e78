//! State of the servers of one mount (answering, dead or unknown), derived from its imports.
//!
//! It decides whether a mount that cannot be unmounted may be detached, so "dead" needs evidence from every import:
//!
//! | MDTs and OSTs of the mount | its MGS | result |
//! |---|---|---|
//! | one `FULL` or recovering (if another is not: a failover) | any | [`ServerState::Answering`] |
//! | none answers, one unknown | any | [`ServerState::Unknown`] |
//! | all idle (they are connected again when needed), or none found | any | [`ServerState::Unknown`] |
//! | one lost, the others lost or idle | `FULL`, recovering or unknown: the targets may be failing over | [`ServerState::Unknown`] |
//! | one lost, the others lost or idle | lost or not found | [`ServerState::Dead`] |
//!
//! A server answers if it answers any mount of this node. An MGS that is gone takes no mounted file system with it, so
//! alone it decides nothing; one that answers is a server of the same file system (AMLFS has one file system per MGS).
//! An OST goes idle after 20 seconds without requests (`osc.*.idle_timeout`), so on a quiet node a failing MDT is often the only import that is
//! not idle: then the MGS decides. The state is of one moment: a node whose network is interrupted shows the same as one
//! whose servers are gone, until the imports connect again.

use std::collections::BTreeMap;

use super::blocking_calls::BlockingCalls;
use super::files::KernelFiles;
use super::imports::{self, Device, Import, ImportState};
use crate::domain::mount_source::MountSource;

/// Whether the servers of one mount answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// At least one server answers, though others may be failing over.
    Answering,
    /// No server answers.
    Dead,
    /// It cannot be determined. Never a reason to detach a mount.
    Unknown,
}

/// The servers of a mount of `source`, from its imports, within the limit of `calls`. Reads files of the kernel only and
/// touches no mount. `mounted` holds the sources of all Lustre mounts of the node ([`super::mounted_sources`]).
pub fn read(calls: &BlockingCalls, files: &KernelFiles, source: &MountSource, mounted: &[MountSource]) -> ServerState {
    let wanted = source.clone();
    let imports = imports::read_all(calls, files, move |device| may_belong(device, &wanted));
    imports.map_or(ServerState::Unknown, |imports| state(source, mounted, &imports))
}

/// Whether a device may belong to this file system; the others need not be read.
fn may_belong(device: &Device, source: &MountSource) -> bool {
    match (device.mgs_nid(), device.parts()) {
        (Some(nid), _) => first_nid(source).is_some_and(|first| same_nid(nid, &first)),
        (None, Some((file_system, ..))) => file_system == source.fs_name.as_str(),
        (None, None) => false,
    }
}

/// The table of the module's documentation. No file connects a device to a mount, so two file systems of one name can only
/// be distinguished by the NIDs of their servers, if at all.
fn state(source: &MountSource, mounted: &[MountSource], imports: &[Import]) -> ServerState {
    const MGS: &str = "MGS";
    let unique = mounted.iter().all(|other| other.fs_name != source.fs_name || other.mgs == source.mgs);
    let own = instances_at(source, imports);
    let mut targets: BTreeMap<&str, Evidence> = BTreeMap::new();
    for import in imports.iter().filter(|import| may_belong(&import.device, source)) {
        let target = match import.device.parts() {
            None => MGS,
            Some((_, target, instance)) if unique || own.contains(&instance) => target,
            Some(_) => continue,
        };
        let evidence = Evidence::of(&import.state);
        targets.entry(target).and_modify(|known| *known = evidence.max(*known)).or_insert(evidence);
    }
    let mgs = targets.remove(MGS).unwrap_or(Evidence::Lost);
    let any = |evidence| targets.values().any(|found| *found == evidence);
    if any(Evidence::Answers) {
        ServerState::Answering
    } else if any(Evidence::Unknown) || !any(Evidence::Lost) || mgs >= Evidence::Unknown {
        ServerState::Unknown
    } else {
        ServerState::Dead
    }
}

/// What the imports of one server show; the greater of two holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    Lost,
    Idle,
    Unknown,
    Answers,
}

impl Evidence {
    fn of(state: &ImportState) -> Self {
        match state {
            ImportState::Full | ImportState::Recovering(_) => Self::Answers,
            ImportState::Idle => Self::Idle,
            ImportState::Lost(_) => Self::Lost,
            ImportState::Unknown(_) => Self::Unknown,
        }
    }
}

/// The mounts, by the kernel's instance number, that have a connection to one of the MGS's own addresses. On many file
/// systems the first MDT is served from there.
fn instances_at<'a>(source: &MountSource, imports: &'a [Import]) -> Vec<&'a str> {
    let nids: Vec<String> = source.mgs.servers().iter().flatten().map(ToString::to_string).collect();
    let is_there = |import: &&Import| import.nids.iter().any(|nid| nids.iter().any(|own| same_nid(nid, own)));
    imports.iter().filter(is_there).filter_map(|import| Some(import.device.parts()?.2)).collect()
}

fn first_nid(source: &MountSource) -> Option<String> {
    source.mgs.servers().first()?.first().map(ToString::to_string)
}

/// Whether two NIDs are equal; `tcp0` is `tcp`.
fn same_nid(left: &str, right: &str) -> bool {
    let plain = |nid: &str| nid.strip_suffix("@tcp0").map_or_else(|| nid.to_owned(), |host| format!("{host}@tcp"));
    plain(left) == plain(right)
}

#[cfg(test)]
mod tests;
