//! From settings to the kernel adapter with the node's client state behind it, and the report of `doctor node`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::adapters::kernel::client_state::readiness::NodeState;
use crate::adapters::kernel::client_state::servers::{self, ServerState};
use crate::adapters::kernel::client_state::{self, BlockingCalls, KernelFiles};
use crate::adapters::kernel::doctor::connectivity::Attempt;
use crate::adapters::kernel::doctor::{self, DriverStatus, SetupReport};
use crate::adapters::kernel::propagation::{Propagation, Watch};
use crate::adapters::kernel::settings::{KernelSettings, Limits};
use crate::adapters::kernel::surroundings::Surroundings;
use crate::adapters::kernel::{ImportsSource, KernelMounter, Parts, ReadinessSource, working_dir};
use crate::adapters::node_setup::report::SetupResult;
use crate::app::settings::Settings;
use crate::domain::mount::FS_TYPE;
use crate::domain::mount_source::{MgsAddress, MountSource};
use crate::ports::node_faults::NodeFault;
use crate::ports::operations::Operations;

use super::NodeSide;

/// The node's side as the settings describe it. What an earlier process left behind is unmounted before the first
/// operation. Needs the runtime that it is called in.
pub(super) fn side(settings: &Settings) -> NodeSide {
    let values = &settings.values;
    let lustre = values.fs_type == FS_TYPE;
    if !lustre {
        tracing::warn!(fs_type = %values.fs_type, "mounts are not of Lustre: this is for benchmarks and tests only");
    }
    let paths = KernelFiles::default();
    let mounted_at_start = mounted_at_start(&paths);
    let propagation = Arc::new(Propagation::new(paths.clone(), values.kubelet_dir.clone()));
    let parts = if lustre { with_client_state(&paths) } else { Parts::default() };
    let parts = Parts { propagation: Some(Arc::clone(&propagation)), ..parts };
    let mounter = Arc::new(KernelMounter::new(adapter_settings(settings), parts));
    let cleaner = Arc::clone(&mounter);
    tokio::spawn(async move { cleaner.clean_leftovers().await });
    let watch = Watch::start(Arc::clone(&propagation));
    if let Err(error) = &watch {
        tracing::error!(%error, "changes of the mount table are not seen");
    }
    if let Some(NodeFault { message, hint }) = working_dir_fault(settings) {
        tracing::error!(hint, "{message}");
    }
    let working_dir = settings.values.working_mount_dir.clone();
    let surroundings = Surroundings { propagation, working_dir, working_dir_setting: working_dir::SETTING };
    NodeSide {
        operations: Some(Arc::clone(&mounter) as Arc<dyn Operations>),
        faults: Some(Arc::new(surroundings)),
        keep: Box::new(watch),
        mounter,
        mounted_at_start,
    }
}

/// Why the working directory of these settings cannot be used, if it cannot be. Makes and removes directories.
pub fn working_dir_fault(settings: &Settings) -> Option<NodeFault> {
    working_dir::fault(&settings.values.working_mount_dir, working_dir::SETTING)
}

/// Whether Lustre is mounted when the process starts. What cannot be read is no reason to be ready.
fn mounted_at_start(paths: &KernelFiles) -> bool {
    match client_state::lustre_is_mounted(paths) {
        Ok(mounted) => mounted,
        Err(why) => {
            tracing::warn!(why, "whether Lustre is mounted is unknown");
            false
        }
    }
}

fn adapter_settings(settings: &Settings) -> KernelSettings {
    let values = &settings.values;
    KernelSettings {
        fs_type: values.fs_type.clone(),
        working_dir: values.working_mount_dir.clone(),
        kubelet_dir: values.kubelet_dir.clone(),
        sub_dir_mode: values.sub_dir_mode,
        mounts_per_mgs: values.mounts_per_mgs,
        tuning: settings.tuning.clone(),
        limits: Limits {
            mount: values.mount_timeout,
            unmount: values.unmount_timeout,
            statfs: values.stat_timeout,
            ..Limits::default()
        },
        ..KernelSettings::default()
    }
}

/// The parts of a real node. Both are called on threads of the adapter, which may block.
fn with_client_state(paths: &KernelFiles) -> Parts {
    let (reads, root) = (BlockingCalls::default(), paths.clone());
    let readiness = ReadinessSource::new(move || {
        let assessment = NodeState::read(&reads, &root).assess();
        for note in &assessment.notes {
            tracing::debug!("{note}");
        }
        assessment.readiness()
    });
    // Apart from those of the readiness: a blocked import must not hide the module.
    let (reads, paths) = (BlockingCalls::default(), paths.clone());
    let imports = ImportsSource::new(move |source| imports(&reads, &paths, source));
    Parts { readiness, imports, ..Parts::default() }
}

/// What the imports say about the servers of one mount, by its source as mountinfo shows it.
fn imports(reads: &BlockingCalls, paths: &KernelFiles, source: &str) -> ServerState {
    let (Ok(source), Ok(mounted)) = (MountSource::parse(source), client_state::mounted_sources(paths)) else {
        return ServerState::Unknown;
    };
    servers::read(reads, paths, &source, &mounted)
}

/// The record of node-setup, for the report.
fn setup_report(last: SetupResult) -> SetupReport {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let hint = last.hint.map(|hint| format!(". {hint}")).unwrap_or_default();
    SetupReport {
        ready: last.exit == 0,
        message: last.message + &hint,
        warnings: last.warnings,
        age_seconds: now.as_secs().saturating_sub(last.at),
    }
}

/// What `doctor node` is asked for.
#[derive(Debug)]
pub struct ReportRequest {
    /// The mounts to list, as a mountinfo file.
    pub mountinfo: PathBuf,
    /// A server to try besides those of the mounts.
    pub mgs: Option<MgsAddress>,
    /// What the running driver reports, or why nothing is known of it.
    pub driver: Result<DriverStatus, String>,
    /// Name under which the driver registers with kubelet; volumes of others are passed over.
    pub driver_name: String,
    /// kubelet's directory, for a node without a running driver.
    pub kubelet_dir: PathBuf,
    /// Directory for private mounts, for a node without a running driver.
    pub working_dir: PathBuf,
    /// JSON in the place of text.
    pub json: bool,
}

/// A report about this node as text or JSON, and whether it is healthy. Blocks for some seconds.
pub fn report(request: ReportRequest) -> (String, bool) {
    let ReportRequest { mountinfo, mgs, driver, driver_name, kubelet_dir, working_dir, json } = request;
    let report = doctor::collect(&doctor::Request {
        paths: KernelFiles::default(),
        mountinfo,
        servers: mgs.into_iter().collect(),
        attempt: Attempt::default(),
        driver: driver,
        node_setup: super::node_setup::last_result().map(setup_report),
        kubelet_dir,
        working_dir,
        working_dir_setting: working_dir::SETTING,
        driver_name,
    });
    let text = if json {
        report.json().unwrap_or_else(|error| format!("{{\"healthy\": false, \"reasons\": [\"{error}\"]}}"))
    } else {
        report.text()
    };
    (text, report.healthy)
}
