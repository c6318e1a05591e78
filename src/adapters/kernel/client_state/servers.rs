//! Whether the servers of one mount answer, judged from its imports: full, partly, dead, or unknown.
//!
//! The judgement decides whether a mount that cannot be unmounted may be detached, so "dead" needs evidence from every
//! import and "unknown" is a result of its own:
//!
//! | MDTs and OSTs of the mount | its MGS | result |
//! |---|---|---|
//! | one `FULL` or recovering, none lost, recovering or unknown | any | [`ServerState::Answering`] |
//! | one `FULL` or recovering, another lost, recovering or unknown: a failover | any | [`ServerState::Partial`] |
//! | none answers, one unknown | any | [`ServerState::Unknown`] |
//! | all idle (they are connected again when needed), or none found | any | [`ServerState::Unknown`] |
//! | one lost, the others lost or idle | `FULL`, recovering or unknown: the targets may be failing over | [`ServerState::Unknown`] |
//! | one lost, the others lost or idle | lost or not found | [`ServerState::Dead`] |
//!
//! A server answers if it answers any mount of this node. An MGS that is gone takes no mounted file system with it, so
//! alone it decides nothing; one that answers is a server of the same file system (AMLFS has one file system per MGS).
//! An OST goes idle after 20 seconds without requests, so on a quiet node a failing MDT is often the only import that is
//! not idle: then the MGS decides. The judgement is of one moment: a node whose network is interrupted shows the same as
//! one whose servers are gone, until the imports connect again.

use std::collections::BTreeMap;

use super::bounded::BoundedReads;
use super::imports::{self, Device, Import, ImportState};
use super::read::{ClientStatePaths, Observed};
use crate::domain::mount_source::MountSource;

/// What the client knows about the servers of one mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerState {
    /// Every server that is needed is connected.
    Answering,
    /// Some servers answer and others do not, as during a failover.
    Partial {
        /// Those that do not, such as `MDT0000 is DISCONN`; `MGS` is the management server.
        not_full: Vec<String>,
    },
    /// No server answers.
    Dead {
        /// The lost imports, as in [`ServerState::Partial`].
        lost: Vec<String>,
    },
    /// Not known, for this reason. Never a reason to give a mount up.
    Unknown(String),
}

impl ServerState {
    /// Whether no server answers, as far as that is known.
    pub fn is_dead(&self) -> bool {
        matches!(self, Self::Dead { .. })
    }
}

/// The servers of a mount of `source`, from its imports, within the limit of `reads`. Reads files of the kernel only and
/// touches no mount. `mounted` holds the sources of all Lustre mounts of the node ([`super::mounted_sources`]).
pub fn read(
    reads: &BoundedReads,
    paths: &ClientStatePaths,
    source: &MountSource,
    mounted: &[MountSource],
) -> ServerState {
    let wanted = source.clone();
    match imports::read_all(reads, paths, move |device| may_belong(device, &wanted)) {
        Observed::Known(imports) => judge(source, mounted, &imports),
        Observed::Unknown(why) => ServerState::Unknown(why),
    }
}

const MGS: &str = "MGS";

/// Whether a device may belong to this file system; the others need not be read.
fn may_belong(device: &Device, source: &MountSource) -> bool {
    match (device.mgs_nid(), device.parts()) {
        (Some(nid), _) => first_nid(source).is_some_and(|first| same_nid(nid, &first)),
        (None, Some((file_system, ..))) => file_system == source.fs_name.as_str(),
        (None, None) => false,
    }
}

/// Judges from the imports of devices that [`may_belong`]. No file connects a device to a mount, so two file systems of one
/// name can only be distinguished by the NIDs of their servers, if at all.
fn judge(source: &MountSource, mounted: &[MountSource], imports: &[Import]) -> ServerState {
    let unique = mounted.iter().all(|other| other.fs_name != source.fs_name || other.mgs == source.mgs);
    let own = mounts_at(source, imports);
    let mut targets: BTreeMap<&str, Standing> = BTreeMap::new();
    for import in imports.iter().filter(|import| may_belong(&import.device, source)) {
        let target = match import.device.parts() {
            None => MGS,
            Some((_, target, mount)) if unique || own.contains(&mount) => target,
            Some(_) => continue,
        };
        let standing = Standing::of(&import.state);
        targets.entry(target).and_modify(|known| known.better(&standing)).or_insert(standing);
    }
    verdict(source, &targets)
}

/// The table of the module's documentation.
fn verdict(source: &MountSource, targets: &BTreeMap<&str, Standing>) -> ServerState {
    let stores = || targets.iter().filter(|(target, _)| **target != MGS).map(|(target, standing)| (*target, standing));
    let not_full =
        || -> Vec<String> { targets.iter().filter_map(|(target, standing)| standing.not_full(target)).collect() };
    let unknown = stores().find_map(|(target, standing)| match standing {
        Standing::Unknown(why) => Some(format!("{target}: {why}")),
        _ => None,
    });
    if stores().any(|(_, standing)| standing.answers()) {
        let whole = stores().all(|(_, standing)| matches!(standing, Standing::Full | Standing::Idle));
        return if whole { ServerState::Answering } else { ServerState::Partial { not_full: not_full() } };
    }
    if let Some(why) = unknown {
        return ServerState::Unknown(why);
    }
    if !stores().any(|(_, standing)| matches!(standing, Standing::Lost(_))) {
        let idle = stores().next().is_some();
        return ServerState::Unknown(if idle {
            "all imports are idle".to_owned()
        } else {
            format!("no import of this node can be attributed to {source}")
        });
    }
    match targets.get(MGS) {
        Some(Standing::Unknown(why)) => ServerState::Unknown(format!("{MGS}: {why}")),
        Some(mgs) if mgs.answers() => ServerState::Unknown(format!("{}, but the MGS answers", not_full().join(", "))),
        _ => ServerState::Dead { lost: not_full() },
    }
}

/// The mounts, by the kernel's number, that have a connection to one of the MGS's own addresses. On many file systems the
/// first MDT is served from there.
fn mounts_at<'a>(source: &MountSource, imports: &'a [Import]) -> Vec<&'a str> {
    let nids: Vec<String> = source.mgs.servers().iter().flatten().map(ToString::to_string).collect();
    let is_there = |import: &&Import| import.nids.iter().any(|nid| nids.iter().any(|own| same_nid(nid, own)));
    imports.iter().filter(is_there).filter_map(|import| Some(import.device.parts()?.2)).collect()
}

fn first_nid(source: &MountSource) -> Option<String> {
    source.mgs.servers().first()?.first().map(ToString::to_string)
}

/// Whether two NIDs are one; `tcp0` is `tcp`.
fn same_nid(left: &str, right: &str) -> bool {
    let plain = |nid: &str| nid.strip_suffix("@tcp0").map_or_else(|| nid.to_owned(), |host| format!("{host}@tcp"));
    plain(left) == plain(right)
}

/// What all mounts together know about one server, the weakest evidence that it lives first.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Lost(String),
    Idle,
    Unknown(String),
    Recovering(String),
    Full,
}

impl Standing {
    fn of(state: &ImportState) -> Self {
        match state {
            ImportState::Full => Self::Full,
            ImportState::Idle => Self::Idle,
            ImportState::Recovering(state) => Self::Recovering(state.clone()),
            ImportState::Lost(state) => Self::Lost(state.clone()),
            ImportState::Unknown(why) => Self::Unknown(why.clone()),
        }
    }

    fn answers(&self) -> bool {
        matches!(self, Self::Full | Self::Recovering(_))
    }

    /// `MDT0000 is DISCONN`, unless it is full or idle.
    fn not_full(&self, target: &str) -> Option<String> {
        match self {
            Self::Full | Self::Idle => None,
            Self::Lost(state) | Self::Recovering(state) => Some(format!("{target} is {state}")),
            Self::Unknown(_) => Some(format!("{target} is unknown")),
        }
    }

    /// Takes what another mount knows, if that is better evidence that the server lives.
    fn better(&mut self, other: &Self) {
        let rank = |standing: &Self| match standing {
            Self::Lost(_) => 0,
            Self::Idle => 1,
            Self::Unknown(_) => 2,
            Self::Recovering(_) => 3,
            Self::Full => 4,
        };
        if rank(other) > rank(self) {
            *self = other.clone();
        }
    }
}

#[cfg(test)]
mod tests;
