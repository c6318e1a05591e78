//! Whether the servers of a mounted file system answer, for the decision how to unmount it.
//!
//! Why it is careful: to force an unmount kills the mount for good, so "gone" needs evidence and "unknown" is an answer.
//! A server counts as answering if any mount of this node is connected to it. A management server that is gone takes no
//! mounted file system with it, so it alone decides nothing.

use std::collections::BTreeMap;

use super::imports::{Device, Import, ImportState};
use crate::domain::mount_source::MountSource;

/// What the client knows of a file system's servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerState {
    /// At least one is connected and none is lost. The kernel may take a while to notice that a server is gone.
    Answering,
    /// Some are lost.
    Silent {
        /// Those that are, such as `MDT0000 is DISCONN`; `MGS` is the management server.
        silent: Vec<String>,
        /// How many MDTs and OSTs are connected; idle ones tell nothing and are not counted.
        answering: usize,
    },
    /// It cannot be told, for this reason.
    Unknown(String),
}

impl ServerState {
    /// Whether servers are lost and none is left that answers. What the kernel does for such a mount waits in vain.
    pub fn all_gone(&self) -> bool {
        matches!(self, Self::Silent { answering: 0, .. })
    }
}

const MGS: &str = "MGS";

/// Whether a device may belong to this file system; the others need not be read.
pub(super) fn may_belong(device: &Device, source: &MountSource) -> bool {
    match (device.mgs_nid(), device.parts()) {
        (Some(nid), _) => first_nid(source).is_some_and(|first| same_nid(nid, &first)),
        (None, Some((file_system, ..))) => file_system == source.fs_name.as_str(),
        (None, None) => false,
    }
}

/// Judges from the imports of devices that [`may_belong`]. `mounted` is what this node has mounted: as no file connects a
/// device to a mount, two file systems of one name are only told apart by the NIDs of their servers, if at all.
pub(super) fn judge(source: &MountSource, mounted: &[MountSource], imports: &[Import]) -> ServerState {
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

fn verdict(source: &MountSource, targets: &BTreeMap<&str, Standing>) -> ServerState {
    let stores = || targets.iter().filter(|(target, _)| **target != MGS);
    let answering = stores().filter(|(_, standing)| **standing == Standing::Connected).count();
    let unknown = stores().find_map(|(target, standing)| match standing {
        Standing::Unknown(why) => Some(format!("{target}: {why}")),
        _ => None,
    });
    if stores().any(|(_, standing)| matches!(standing, Standing::Lost(_))) {
        let lost = targets.iter().filter_map(|(target, standing)| match standing {
            Standing::Lost(state) => Some(format!("{target} is {state}")),
            _ => None,
        });
        ServerState::Silent { silent: lost.collect(), answering }
    } else if let Some(why) = unknown {
        ServerState::Unknown(why)
    } else if answering > 0 {
        ServerState::Answering
    } else if stores().next().is_some() {
        ServerState::Unknown("all connections are idle".to_owned())
    } else {
        ServerState::Unknown(format!("no connection of this node can be said to belong to {source}"))
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

/// What all mounts together know of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Lost(String),
    Idle,
    Unknown(String),
    Connected,
}

impl Standing {
    fn of(state: &ImportState) -> Self {
        match state {
            ImportState::Connected => Self::Connected,
            ImportState::Idle => Self::Idle,
            ImportState::Lost(state) => Self::Lost(state.clone()),
            ImportState::Unknown(why) => Self::Unknown(why.clone()),
        }
    }

    /// Takes what another mount knows, if that speaks more against the server being gone.
    fn better(&mut self, other: &Self) {
        let rank = |standing: &Self| match standing {
            Self::Lost(_) => 0,
            Self::Idle => 1,
            Self::Unknown(_) => 2,
            Self::Connected => 3,
        };
        if rank(other) > rank(self) {
            *self = other.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kernel::facts::imports::Service;

    const A: &str = "10.0.0.4@tcp:/lustrefs";
    const B: &str = "10.0.0.5@tcp:/lustrefs";

    fn source(text: &str) -> MountSource {
        MountSource::parse(text).unwrap()
    }

    /// `mgc MGC10.0.0.4@tcp FULL [nid]`
    fn imports(lines: &[&str]) -> Vec<Import> {
        let import = |line: &&str| {
            let mut words = line.split(' ');
            let kind = words.next().unwrap();
            let service = Service::ALL.into_iter().find(|service| service.device_type() == kind).unwrap();
            let name = words.next().unwrap().to_owned();
            let state = match words.next().unwrap() {
                "FULL" => ImportState::Connected,
                "IDLE" => ImportState::Idle,
                "?" => ImportState::Unknown("odd".to_owned()),
                state => ImportState::Lost(state.to_owned()),
            };
            Import { device: Device { service, name }, state, nids: words.map(str::to_owned).collect() }
        };
        lines.iter().map(import).collect()
    }

    fn judged(text: &str, mounted: &[&str], lines: &[&str]) -> String {
        let mounted: Vec<MountSource> = mounted.iter().map(|text| source(text)).collect();
        match judge(&source(text), &mounted, &imports(lines)) {
            ServerState::Answering => "answering".to_owned(),
            ServerState::Silent { silent, answering } => format!("{}; {answering} answer", silent.join(", ")),
            ServerState::Unknown(why) => format!("unknown: {why}"),
        }
    }

    #[test]
    fn servers_answer_while_all_are_connected_or_idle() {
        let lines = ["mgc MGC10.0.0.4@tcp FULL", "mdc lustrefs-MDT0000-mdc-1 FULL", "osc lustrefs-OST0000-osc-1 IDLE"];
        assert_eq!(judged(A, &[A], &lines), "answering");
        assert_eq!(judged("10.0.0.4@tcp0:/lustrefs/sub", &[A], &lines), "answering");
        assert!(judged(A, &[A], &lines[..1]).starts_with("unknown: no connection"));
        assert!(judged(A, &[A], &[]).starts_with("unknown: no connection"));
        assert_eq!(judged(A, &[A], &lines[2..]), "unknown: all connections are idle");
        assert_eq!(judged(A, &[A], &["mgc MGC10.0.0.4@tcp DISCONN", lines[1]]), "answering", "the MGS decides nothing");
    }

    #[test]
    fn lost_ones_are_named_and_those_of_others_ignored() {
        let lines = [
            "mgc MGC10.0.0.4@tcp DISCONN",
            "mgc MGC10.0.0.9@tcp EVICTED",
            "mdc lustrefs-MDT0000-mdc-1 CONNECTING",
            "osc lustrefs-OST0000-osc-1 FULL",
            "osc lustrefs-OST0001-osc-1 ?",
            "osc otherfs-OST0002-osc-2 DISCONN",
            "osc odd DISCONN",
        ];
        assert_eq!(judged(A, &[A], &lines), "MDT0000 is CONNECTING, MGS is DISCONN; 1 answer");
        assert_eq!(judged(A, &[A], &lines[3..]), "unknown: OST0001: odd");
    }

    #[test]
    fn a_server_that_answers_any_mount_is_there() {
        let lines = ["mdc lustrefs-MDT0000-mdc-1 DISCONN", "mdc lustrefs-MDT0000-mdc-2 FULL"];
        assert_eq!(judged(A, &[A, A], &lines), "answering");
        let doubtful = ["mdc lustrefs-MDT0000-mdc-1 ?", "mdc lustrefs-MDT0000-mdc-2 DISCONN"];
        assert_eq!(judged(A, &[A, A], &doubtful), "unknown: MDT0000: odd");
    }

    #[test]
    fn all_are_gone_only_when_some_are_lost_and_none_answers() {
        let gone = |lines: &[&str]| judge(&source(A), &[source(A)], &imports(lines)).all_gone();
        let lost = "mdc lustrefs-MDT0000-mdc-1 DISCONN";
        assert!(gone(&[lost]) && gone(&[lost, "osc lustrefs-OST0000-osc-1 IDLE", "mgc MGC10.0.0.4@tcp FULL"]));
        assert!(!gone(&[lost, "osc lustrefs-OST0000-osc-1 FULL"]) && !gone(&["mdc lustrefs-MDT0000-mdc-1 ?"]));
        assert!(!gone(&[lost, "mdc lustrefs-MDT0000-mdc-2 IDLE"]) && !gone(&[]));
    }

    #[test]
    fn file_systems_of_one_name_are_told_apart_by_nids_or_not_at_all() {
        let lines = [
            "mgc MGC10.0.0.4@tcp FULL",
            "mdc lustrefs-MDT0000-mdc-1 FULL 10.0.0.4@tcp",
            "osc lustrefs-OST0000-osc-1 FULL 10.0.0.6@tcp",
            "mdc lustrefs-MDT0000-mdc-2 DISCONN 10.0.0.5@tcp0",
            "osc lustrefs-OST0000-osc-2 DISCONN 10.0.0.7@tcp",
        ];
        assert_eq!(judged(A, &[A, B], &lines), "answering");
        assert_eq!(judged(B, &[A, B], &lines), "MDT0000 is DISCONN, OST0000 is DISCONN; 0 answer");
        let elsewhere = lines.map(|line| line.replace("10.0.0.5", "10.0.1.5"));
        let elsewhere: Vec<&str> = elsewhere.iter().map(String::as_str).collect();
        assert!(judged(B, &[A, B], &elsewhere).starts_with("unknown: no connection"));
    }
}
