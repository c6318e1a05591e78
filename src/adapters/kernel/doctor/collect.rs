//! Collecting everything about a node, and the report of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::connectivity::{self, Attempt, Reach};
use super::mounts::{self, LustreMount};
use super::targets::{self, LeftEntries};
use super::threads::{self, BlockedThread};
use super::{
    AddressReport, ClientReport, ConnectionReport, MountReport, NidReport, NodeReport, OperationReport, ServerReport,
    SetupReport, findings,
};
use crate::adapters::kernel::client_state::imports::{self, Import, ImportState};
use crate::adapters::kernel::client_state::lnet::{self, LocalNid};
use crate::adapters::kernel::client_state::module::Health;
use crate::adapters::kernel::client_state::readiness::NodeState;
use crate::adapters::kernel::client_state::{BlockingCalls, KernelFiles, one_line};
use crate::adapters::kernel::propagation::Propagation;
use crate::adapters::kernel::surroundings::Surroundings;
use crate::domain::mount_source::{MgsAddress, Nid};
use crate::ports::node_faults::{NodeFault, NodeFaults};
use crate::ports::operations::Operation;

/// What a report is to be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where the kernel's files are.
    pub paths: KernelFiles,
    /// The mounts to list: `/proc/self/mountinfo`, or the host's (`/proc/1/mountinfo` where the container sees the host's
    /// processes).
    pub mountinfo: PathBuf,
    /// Servers to try besides those of the mounts.
    pub servers: Vec<MgsAddress>,
    /// How to try servers.
    pub attempt: Attempt,
    /// What a running driver reports. Without one the node's faults are looked for from here.
    pub driver: Result<DriverStatus, String>,
    /// How node-setup ended.
    pub node_setup: Option<SetupReport>,
    /// kubelet's directory as kubelet spells it.
    pub kubelet_dir: PathBuf,
    /// Directory for private mounts.
    pub working_dir: PathBuf,
    /// What people know its setting by, such as `--working-mount-dir`.
    pub working_dir_setting: &'static str,
    /// CSI name of the driver whose targets are looked at.
    pub driver_name: String,
}

/// What a running driver reports about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DriverStatus {
    /// Its operations in progress.
    pub operations: Vec<Operation>,
    /// Faults of its surroundings.
    pub faults: Vec<NodeFault>,
}

/// Everything that was observed, before it is assessed.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) state: NodeState,
    pub(super) mounts: Result<Vec<LustreMount>, String>,
    pub(super) imports: Result<Vec<Import>, String>,
    pub(super) reach: Vec<(Nid, Reach)>,
    pub(super) blocked: Vec<BlockedThread>,
    pub(super) faults: Vec<NodeFault>,
    pub(super) left_entries: Vec<LeftEntries>,
}

/// Collects everything about this node. Blocks for a few seconds at most, unless very many servers have to be tried.
pub fn collect(request: &Request) -> NodeReport {
    let mut observed = observe(request);
    let servers = servers(&observed.mounts, &request.servers);
    let mut nids: Vec<Nid> = Vec::new();
    for nid in servers.values().flat_map(|(mgs, _)| mgs).flat_map(|mgs| mgs.servers().iter().flatten()) {
        if !nids.contains(nid) {
            nids.push(nid.clone());
        }
    }
    observed.reach = connectivity::all(nids, request.attempt);
    // A thread that is blocked now and not then is one at work.
    let still = threads::read(&request.paths);
    observed.blocked.retain(|thread| still.iter().any(|other| thread.is_same(other)));
    report_of(&observed, request, SystemTime::now())
}

/// Everything but the connectivity.
pub(super) fn observe(request: &Request) -> Collected {
    let reads = BlockingCalls::default();
    let blocked = threads::read(&request.paths);
    let mut state = NodeState::read(&reads, &request.paths);
    state.ping_doubtful(&reads, &lnet::device(&request.paths));
    let (paths, mountinfo) = (request.paths.clone(), request.mountinfo.clone());
    let mounts = reads.run(move || mounts::read(&paths, &mountinfo)).and_then(|read| read);
    let imports = imports::read_all(&reads, &request.paths, |_| true);
    let (paths, kubelet_dir, name) = (request.paths.clone(), request.kubelet_dir.clone(), request.driver_name.clone());
    let left_entries = reads.run(move || targets::read(&paths, &kubelet_dir, &name)).unwrap_or_default();
    Collected { state, mounts, imports, reach: Vec::new(), blocked, faults: faults(&reads, request), left_entries }
}

/// The faults that the running driver reports: it sees them from its own container. Without one, those seen from here.
fn faults(reads: &BlockingCalls, request: &Request) -> Vec<NodeFault> {
    if let Ok(driver) = &request.driver {
        return driver.faults.clone();
    }
    let propagation = Arc::new(Propagation::new(request.paths.clone(), request.kubelet_dir.clone()));
    let (working_dir, working_dir_setting) = (request.working_dir.clone(), request.working_dir_setting);
    let surroundings = Surroundings { propagation, working_dir, working_dir_setting };
    reads.run(move || surroundings.current()).unwrap_or_default()
}

/// Servers by name, with their address (none for a mount whose source cannot be parsed) and their mounts.
type Servers<'a> = BTreeMap<String, (Option<MgsAddress>, Vec<&'a LustreMount>)>;

fn servers<'a>(mounts: &'a Result<Vec<LustreMount>, String>, asked: &[MgsAddress]) -> Servers<'a> {
    let mut servers = Servers::new();
    for mgs in asked {
        servers.entry(mgs.to_string()).or_insert_with(|| (Some(mgs.clone()), Vec::new()));
    }
    for mount in mounts.iter().flatten() {
        let mgs = mount.parsed().map(|source| source.mgs);
        let name = mgs.as_ref().map_or_else(|| one_line(&mount.source), ToString::to_string);
        servers.entry(name).or_insert_with(|| (mgs, Vec::new())).1.push(mount);
    }
    servers
}

/// The report of what was observed. Pure; `now` is for the age of mounts.
pub(super) fn report_of(observed: &Collected, request: &Request, now: SystemTime) -> NodeReport {
    let servers: Vec<ServerReport> = servers(&observed.mounts, &request.servers)
        .into_iter()
        .map(|(name, (mgs, mounts))| ServerReport {
            reachable: mgs.as_ref().and_then(|mgs| reachable(mgs, &observed.reach)),
            addresses: mgs.iter().flat_map(|mgs| addresses(mgs, &observed.reach)).collect(),
            mounts: mounts.into_iter().map(|mount| mount_report(mount, now)).collect(),
            mgs: name,
        })
        .collect();
    let operations = request.driver.as_ref().ok().map(|driver| driver.operations.iter().map(operation).collect());
    let findings = findings::of(observed, request, &servers);
    let nid = |nid: &LocalNid| NidReport { nid: one_line(&nid.nid), status: one_line(&nid.status), up: nid.is_up() };
    NodeReport {
        healthy: findings.reasons.is_empty(),
        reasons: findings.reasons,
        node_setup: request.node_setup.clone(),
        notes: findings.notes,
        client: client(&observed.state),
        nids: observed.state.nids.as_ref().ok().map(|nids| nids.iter().map(nid).collect()),
        mounts: observed.mounts.as_ref().ok().map(Vec::len),
        servers,
        connections: observed.imports.as_ref().ok().map(|imports| imports.iter().map(connection).collect()),
        operations,
        blocked_threads: observed.blocked.iter().map(ToString::to_string).collect(),
    }
}

fn operation(operation: &Operation) -> OperationReport {
    OperationReport {
        kind: operation.kind.name(),
        subject: one_line(&operation.subject),
        volume_id: operation.volume_id.as_deref().map(one_line),
        mgs: operation.mgs.as_deref().map(one_line),
        age_seconds: operation.age.as_secs(),
        overdue: operation.overdue,
    }
}

/// Whether one of the addresses can be reached; not known if none can but one is unknown.
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
        loaded: state.client.loaded.clone().ok(),
        version: state.client.version.clone(),
        health: state.client.health.as_ref().ok().map(|health| match health {
            Health::Healthy => "healthy".to_owned(),
            Health::Lbug => "LBUG".to_owned(),
            Health::Unhealthy(about) => about.clone(),
        }),
    }
}

fn connection(import: &Import) -> ConnectionReport {
    let (state, well) = match &import.state {
        ImportState::Full | ImportState::Idle => (Some(import.state.to_string()), Some(true)),
        ImportState::Lost(state) | ImportState::Recovering(state) => (Some(state.clone()), Some(false)),
        ImportState::Unknown(_) => (None, None),
    };
    ConnectionReport { device: one_line(&import.device.name), kind: import.device.device_type.name(), state, well }
}
