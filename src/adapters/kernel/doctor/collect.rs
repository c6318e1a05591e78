//! Collection of the report of `doctor node`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::report::{
    AddressReport, ClientReport, ConnectionReport, MountReport, NidReport, NodeReport, OperationReport, ServerReport,
    SetupReport,
};
use super::{blocked_threads, connectivity, findings, mounts, unmounted_targets};
use crate::adapters::kernel::client_state::imports::{self, Import, ImportState};
use crate::adapters::kernel::client_state::lnet::{self, NidState};
use crate::adapters::kernel::client_state::module::{Client, Health};
use crate::adapters::kernel::client_state::readiness::NodeState;
use crate::adapters::kernel::client_state::{BlockingCalls, KernelFiles, one_line};
use crate::adapters::kernel::node_faults::KernelNodeFaults;
use crate::adapters::kernel::propagation::Propagation;
use crate::adapters::lnet::{ACCEPTOR_PORT, Lnet};
use crate::domain::mount_source::{MgsAddress, Nid};
use crate::ports::node_faults::{NodeFault, NodeFaults};
use crate::ports::operations::Operation;

/// What a report is to be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The mounts to list: `/proc/self/mountinfo`, or the host's (`/proc/1/mountinfo` where the container sees the host's
    /// processes).
    pub mountinfo: PathBuf,
    /// A server to check besides those of the mounts.
    pub mgs: Option<MgsAddress>,
    /// What a running driver reports, or why that is unknown; then the faults of the node are checked from here.
    pub driver: Result<DriverStatus, String>,
    /// Result of node-setup.
    pub node_setup: Option<SetupReport>,
    /// kubelet's directory as kubelet spells it.
    pub kubelet_dir: PathBuf,
    /// Directory for private mounts.
    pub working_dir: PathBuf,
    /// CSI name of the driver; targets of other drivers are ignored.
    pub driver_name: String,
}

/// What a running driver reports about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DriverStatus {
    /// Its operations in progress.
    pub operations: Vec<Operation>,
    /// Faults of its container and node.
    pub faults: Vec<NodeFault>,
}

/// The report of this node. Blocks for a few seconds at most, unless very many servers have to be checked.
pub fn collect(request: &Request) -> NodeReport {
    let check = |nids: &[Nid]| connectivity::check(nids, ACCEPTOR_PORT, connectivity::LIMIT);
    collect_from(&KernelFiles::default(), request, SystemTime::now(), check)
}

/// [`collect`] from the files below another root, with the results of `check` for the addresses of servers. `now` is for
/// the age of mounts.
pub(super) fn collect_from(
    files: &KernelFiles,
    request: &Request,
    now: SystemTime,
    check: impl FnOnce(&[Nid]) -> Vec<AddressReport>,
) -> NodeReport {
    let calls = BlockingCalls::default();
    let mut blocked = blocked_threads::read(files);
    let mut state = NodeState::read(&calls, files);
    let root = files.clone();
    state.ping_doubtful(&calls, move |nid, limit| lnet::device(&root).ping(nid, limit));
    let (root, mountinfo) = (files.clone(), request.mountinfo.clone());
    let mounts = calls.run(move || mounts::read(&root, &mountinfo, now)).and_then(|mounts| mounts);
    let imports = imports::read_all(&calls, files, |_| true);
    let (root, kubelet_dir, driver) = (files.clone(), request.kubelet_dir.clone(), request.driver_name.clone());
    let targets = calls.run(move || unmounted_targets::read(&root, &kubelet_dir, &driver)).unwrap_or_default();
    let faults = faults(&calls, files, request);
    let mount_count = mounts.as_ref().map(Vec::len).map_err(Clone::clone);
    let servers = servers(mounts.unwrap_or_default(), request.mgs.as_ref(), check);
    // A thread that was blocked at the beginning and is not now is busy with a call that ends.
    let still_blocked = blocked_threads::read(files);
    blocked.retain(|thread| still_blocked.iter().any(|other| thread.is_same(other)));
    let operations: Result<Vec<OperationReport>, &String> =
        request.driver.as_ref().map(|driver| driver.operations.iter().map(operation_report).collect());

    let mut found = state.assess();
    findings::about_servers(&servers, &mut found);
    findings::about_imports(&imports, servers.iter().any(|server| !server.mounts.is_empty()), &mut found);
    if let Err(why) = &mount_count {
        found.notes.push(format!("the mounts of this node are unknown: {why}"));
    }
    findings::about_operations(&operations, &mut found);
    request.node_setup.iter().for_each(|setup| findings::about_node_setup(setup, &mut found));
    findings::about_blocked_threads(blocked.len(), &mut found);
    found.reasons.extend(faults.iter().map(|fault| one_line(&fault.to_string())));
    findings::about_unmounted_targets(&targets, &mut found);
    NodeReport {
        healthy: found.reasons.is_empty(),
        reasons: found.reasons,
        node_setup: request.node_setup.clone(),
        notes: found.notes,
        client: client_report(state.client),
        nids: state.nids.ok().map(|nids| nids.iter().map(nid_report).collect()),
        mounts: mount_count.ok(),
        servers,
        connections: imports.ok().map(|imports| imports.iter().map(connection_report).collect()),
        operations: operations.ok(),
        blocked_threads: blocked.iter().map(ToString::to_string).collect(),
    }
}

/// The faults that the running driver reports: it sees them from its own container. Without a driver, those seen from here.
fn faults(calls: &BlockingCalls, files: &KernelFiles, request: &Request) -> Vec<NodeFault> {
    if let Ok(driver) = &request.driver {
        return driver.faults.clone();
    }
    let propagation = Arc::new(Propagation::new(files.clone(), request.kubelet_dir.clone()));
    let faults = KernelNodeFaults { propagation, working_dir: request.working_dir.clone() };
    calls.run(move || faults.current()).unwrap_or_default()
}

/// The servers of the mounts and `mgs`, sorted by name, each address checked once.
fn servers(
    mounts: Vec<mounts::LustreMount>,
    mgs: Option<&MgsAddress>,
    check: impl FnOnce(&[Nid]) -> Vec<AddressReport>,
) -> Vec<ServerReport> {
    let mut servers: BTreeMap<String, (Vec<Nid>, Vec<MountReport>)> = BTreeMap::new();
    servers.extend(mgs.map(|mgs| (mgs.to_string(), (mgs.servers().concat(), Vec::new()))));
    for (mgs, mount) in mounts {
        let name = mgs.as_ref().map_or_else(|| mount.source.clone(), ToString::to_string);
        let nids = mgs.map(|mgs| mgs.servers().concat()).unwrap_or_default();
        servers.entry(name).or_insert_with(|| (nids, Vec::new())).1.push(mount);
    }
    let mut nids: Vec<Nid> = servers.values().flat_map(|(nids, _)| nids).cloned().collect();
    nids.sort_by_cached_key(ToString::to_string);
    nids.dedup();
    let checked = check(&nids);
    let server = |(mgs, (nids, mounts)): (String, (Vec<Nid>, Vec<MountReport>))| {
        let report = |nid: Nid| checked.iter().find(|report| report.nid == nid.to_string()).cloned();
        let addresses: Vec<AddressReport> = nids.into_iter().filter_map(report).collect();
        ServerReport { mgs, reachable: reachable(&addresses), addresses, mounts }
    };
    servers.into_iter().map(server).collect()
}

/// Whether one of the addresses can be reached; unknown if none can but one is unknown.
fn reachable(addresses: &[AddressReport]) -> Option<bool> {
    let any = |reachable| addresses.iter().any(|address| address.reachable == reachable);
    if any(Some(true)) {
        Some(true)
    } else if any(None) || addresses.is_empty() {
        None
    } else {
        Some(false)
    }
}

fn operation_report(operation: &Operation) -> OperationReport {
    OperationReport {
        kind: operation.kind.name(),
        subject: one_line(&operation.subject),
        volume_id: operation.volume_id.as_deref().map(one_line),
        mgs: operation.mgs.as_deref().map(one_line),
        age_seconds: operation.age.as_secs(),
        overdue: operation.overdue,
    }
}

fn nid_report(nid: &NidState) -> NidReport {
    NidReport { nid: one_line(&nid.nid), status: one_line(&nid.status), up: nid.is_up() }
}

fn client_report(client: Client) -> ClientReport {
    let health = client.health.ok().map(|health| match health {
        Health::Healthy => "healthy".to_owned(),
        Health::Lbug => "LBUG".to_owned(),
        Health::Unhealthy(about) => about,
    });
    ClientReport { loaded: client.loaded.ok(), version: client.version, health }
}

fn connection_report(import: &Import) -> ConnectionReport {
    let (state, well) = match &import.state {
        ImportState::Full | ImportState::Idle => (Some(import.state.to_string()), Some(true)),
        ImportState::Lost(state) | ImportState::Recovering(state) => (Some(state.clone()), Some(false)),
        ImportState::Unknown(_) => (None, None),
    };
    ConnectionReport { device: one_line(&import.device.name), kind: import.device.device_type.name(), state, well }
}
