//! The report of `doctor node` as data, and as JSON.

use serde::Serialize;

/// State of Lustre on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Whether nothing was found to be wrong.
    pub healthy: bool,
    /// What is wrong, each with what to do about it; empty if healthy.
    pub reasons: Vec<String>,
    /// Result of the last node-setup of this node; none if it left no result that can be read here.
    pub node_setup: Option<SetupReport>,
    /// What is not wrong but worth knowing, such as values that could not be read.
    pub notes: Vec<String>,
    /// The client in the kernel.
    pub client: ClientReport,
    /// This node's addresses in LNet without the loopback; none if they could not be read.
    pub nids: Option<Vec<NidReport>>,
    /// How many Lustre mounts there are; none if they could not be read.
    pub mounts: Option<usize>,
    /// Management servers with what is mounted of them.
    pub servers: Vec<ServerReport>,
    /// Connections to servers; none if they could not be read.
    pub connections: Option<Vec<ConnectionReport>>,
    /// Operations that the running driver has not finished; none if no driver answered.
    pub operations: Option<Vec<OperationReport>>,
    /// Threads of a driver that are blocked in the kernel, a line each.
    pub blocked_threads: Vec<String>,
}

/// Result of the last node-setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetupReport {
    /// Whether the node was ready.
    pub ready: bool,
    /// `ready: …`, or what failed, why, and what to do.
    pub message: String,
    /// Differences from the settings.
    pub warnings: Vec<String>,
    /// Seconds since then.
    pub age_seconds: u64,
}

/// The Lustre client in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientReport {
    /// Whether the module is loaded; none if that cannot be seen.
    pub loaded: Option<bool>,
    /// Such as `2.15.5`.
    pub version: Option<String>,
    /// `healthy`, `LBUG`, or the text of `health_check`; none if it cannot be read.
    pub health: Option<String>,
}

/// One NID of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NidReport {
    /// Such as `10.0.0.7@tcp`.
    pub nid: String,
    /// As LNet reports it: `up`, `down`, or `unknown`.
    pub status: String,
    /// Whether it can be used. Lustre 2.17.0 still reports `down` after a link has come back.
    pub up: bool,
}

/// One MGS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerReport {
    /// Its addresses in their normal form; the whole source for a mount whose source cannot be read.
    pub mgs: String,
    /// Whether one of its addresses can be reached; none if that is not known.
    pub reachable: Option<bool>,
    /// Each address.
    pub addresses: Vec<AddressReport>,
    /// What is mounted of it.
    pub mounts: Vec<MountReport>,
}

/// One address of an MGS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddressReport {
    /// Such as `10.0.0.4@tcp`.
    pub nid: String,
    /// Whether a TCP connection opened; none if that is not known.
    pub reachable: Option<bool>,
    /// Why not, or why it is not known.
    pub detail: Option<String>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MountReport {
    /// Mount point.
    pub path: String,
    /// Source, as it was given to mount(2).
    pub source: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// PersistentVolume for which kubelet had it mounted.
    pub volume: Option<String>,
    /// CSI volume id, from kubelet's record.
    pub volume_id: Option<String>,
    /// UID of the pod of that volume.
    pub pod_uid: Option<String>,
    /// Seconds since kubelet last wrote its record of the volume, shortly before it was mounted.
    pub age_seconds: Option<u64>,
}

/// One operation in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperationReport {
    /// `mount`, `unmount`, `make_sub_dir` or `statfs`.
    pub kind: &'static str,
    /// Target path, or source for `make_sub_dir`.
    pub subject: String,
    /// CSI volume id, where known.
    pub volume_id: Option<String>,
    /// MGS that it waits for, where known.
    pub mgs: Option<String>,
    /// Seconds since it began.
    pub age_seconds: u64,
    /// Whether it has been running for longer than its limit.
    pub overdue: bool,
}

/// One connection to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionReport {
    /// Such as `lustrefs-MDT0000-mdc-ffff8b0c4a5d8000`.
    pub device: String,
    /// `mgc`, `mdc` or `osc`.
    pub kind: &'static str,
    /// As the kernel shows it, such as `FULL`; none if it could not be read.
    pub state: Option<String>,
    /// Whether the state is `FULL` or `IDLE`; none if it could not be read.
    pub well: Option<bool>,
}

impl NodeReport {
    /// The report as JSON, indented.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}
