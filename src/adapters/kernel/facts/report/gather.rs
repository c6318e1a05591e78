//! From facts to the report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use super::{AddressReport, ClientReport, ConnectionReport, MountReport, NidReport, NodeReport, ServerReport, judge};
use crate::adapters::kernel::facts::NodeFacts;
use crate::adapters::kernel::facts::imports::{Import, ImportState};
use crate::adapters::kernel::facts::lnet::LocalNid;
use crate::adapters::kernel::facts::module::Health;
use crate::adapters::kernel::facts::mounts::LustreMount;
use crate::adapters::kernel::facts::reach::{Attempt, Reach};
use crate::adapters::kernel::facts::read::{Fact, one_line};
use crate::adapters::kernel::facts::readiness::NodeState;
use crate::domain::mount_source::{MgsAddress, Nid};

/// What a report is to be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The mounts to list: `/proc/self/mountinfo`, or the host's (`/proc/1/mountinfo` where the container sees the host's
    /// processes).
    pub mountinfo: PathBuf,
    /// Servers to try besides those of the mounts.
    pub servers: Vec<MgsAddress>,
    /// How to try servers.
    pub attempt: Attempt,
    /// Operations that do not end, as a running driver tells them.
    pub stuck: Vec<String>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            mountinfo: PathBuf::from("/proc/self/mountinfo"),
            servers: Vec::new(),
            attempt: Attempt::default(),
            stuck: Vec::new(),
        }
    }
}

/// Everything that was found, before it is judged.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) state: NodeState,
    pub(super) mounts: Fact<Vec<LustreMount>>,
    pub(super) imports: Fact<Vec<Import>>,
    pub(super) reach: Vec<(Nid, Reach)>,
}

/// Looks at everything and judges it. Takes a few seconds at most, unless very many servers have to be tried.
pub async fn gather(facts: &NodeFacts, request: &Request) -> NodeReport {
    let (state, mounts) = (facts.state().await, facts.mounts(&request.mountinfo).await);
    let imports = facts.imports().await;
    let servers = servers(&mounts, &request.servers);
    let mut nids: Vec<Nid> = Vec::new();
    for nid in servers.values().flat_map(|(mgs, _)| mgs).flat_map(|mgs| mgs.servers().iter().flatten()) {
        if !nids.contains(nid) {
            nids.push(nid.clone());
        }
    }
    let reach = facts.reach(nids, request.attempt).await;
    report_of(&Found { state, mounts, imports, reach }, request, SystemTime::now())
}

/// Servers by name, with their address (none for a mount whose source cannot be read) and their mounts.
type Servers<'a> = BTreeMap<String, (Option<MgsAddress>, Vec<&'a LustreMount>)>;

fn servers<'a>(mounts: &'a Fact<Vec<LustreMount>>, asked: &[MgsAddress]) -> Servers<'a> {
    let mut servers = Servers::new();
    for mgs in asked {
        servers.entry(mgs.to_string()).or_insert_with(|| (Some(mgs.clone()), Vec::new()));
    }
    for mount in mounts.known().into_iter().flatten() {
        let mgs = mount.parsed().map(|source| source.mgs);
        let name = mgs.as_ref().map_or_else(|| one_line(&mount.source), ToString::to_string);
        servers.entry(name).or_insert_with(|| (mgs, Vec::new())).1.push(mount);
    }
    servers
}

/// The report of what was found. Pure; `now` is for the age of mounts.
pub(super) fn report_of(found: &Found, request: &Request, now: SystemTime) -> NodeReport {
    let assessment = found.state.assess();
    let (mut reasons, mut notes) = (assessment.missing, assessment.notes);
    let servers: Vec<ServerReport> = servers(&found.mounts, &request.servers)
        .into_iter()
        .map(|(name, (mgs, mounts))| ServerReport {
            reachable: mgs.as_ref().and_then(|mgs| reachable(mgs, &found.reach)),
            addresses: mgs.iter().flat_map(|mgs| addresses(mgs, &found.reach)).collect(),
            mounts: mounts.into_iter().map(|mount| mount_report(mount, now)).collect(),
            mgs: name,
        })
        .collect();
    judge::servers(&servers, request.attempt.port, &mut reasons, &mut notes);
    judge::connections(&found.imports, &servers, &mut reasons, &mut notes);
    if let Fact::Unknown(why) = &found.mounts {
        notes.push(format!("the mounts of this node are unknown: {why}"));
    }
    let stuck: Vec<String> = request.stuck.iter().map(|operation| one_line(operation)).collect();
    if !stuck.is_empty() {
        reasons.push(format!("{} mount operations do not end: look at the servers that they name", stuck.len()));
    }
    let nid = |nid: &LocalNid| NidReport { nid: one_line(&nid.nid), status: one_line(&nid.status) };
    NodeReport {
        healthy: reasons.is_empty(),
        reasons,
        notes,
        client: client(&found.state),
        nids: found.state.nids.known().map(|nids| nids.iter().map(nid).collect()),
        mounts: found.mounts.known().map(Vec::len),
        servers,
        connections: found.imports.known().map(|imports| imports.iter().map(connection).collect()),
        stuck,
    }
}

/// Whether one of the addresses can be reached; one that is unknown leaves it open.
fn reachable(mgs: &MgsAddress, reach: &[(Nid, Reach)]) -> Option<bool> {
    let of = addresses(mgs, reach);
    if of.iter().any(|address| address.reachable == Some(true)) {
        Some(true)
    } else if of.iter().any(|address| address.reachable.is_none()) {
        None
    } else {
        Some(false)
    }
}

fn addresses(mgs: &MgsAddress, reach: &[(Nid, Reach)]) -> Vec<AddressReport> {
    let address = |nid: &Nid| {
        let found = reach.iter().find(|(tried, _)| tried == nid).map(|(_, reach)| reach);
        let (reachable, detail) = match found {
            Some(Reach::Reached) => (Some(true), None),
            Some(Reach::Failed(why)) => (Some(false), Some(why.clone())),
            Some(Reach::Unknown(why)) => (None, Some(why.clone())),
            None => (None, Some("not tried".to_owned())),
        };
        AddressReport { nid: nid.to_string(), reachable, detail }
    };
    mgs.servers().iter().flatten().map(address).collect()
}

fn mount_report(mount: &LustreMount, now: SystemTime) -> MountReport {
    let owner = mount.owner.as_ref();
    let since = owner.and_then(|owner| owner.since);
    MountReport {
        path: one_line(&mount.point.to_string_lossy()),
        source: one_line(&mount.source),
        read_only: mount.read_only,
        volume: owner.map(|owner| one_line(&owner.volume)),
        volume_id: owner.and_then(|owner| owner.volume_id.as_deref()).map(one_line),
        pod_uid: owner.map(|owner| one_line(&owner.pod_uid)),
        age_seconds: since.and_then(|since| now.duration_since(since).ok()).map(|age| age.as_secs()),
    }
}

fn client(state: &NodeState) -> ClientReport {
    ClientReport {
        loaded: state.client.loaded.known().copied(),
        version: state.client.version.clone(),
        health: state.client.health.known().map(|health| match health {
            Health::Healthy => "healthy".to_owned(),
            Health::Broken => "LBUG".to_owned(),
            Health::Unhealthy(about) => about.clone(),
        }),
    }
}

fn connection(import: &Import) -> ConnectionReport {
    let (state, well) = match &import.state {
        ImportState::Connected | ImportState::Idle => (Some(import.state.to_string()), Some(true)),
        ImportState::Lost(state) => (Some(state.clone()), Some(false)),
        ImportState::Unknown(_) => (None, None),
    };
    ConnectionReport { device: one_line(&import.device.name), kind: import.device.service.device_type(), state, well }
}
