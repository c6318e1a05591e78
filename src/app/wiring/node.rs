//! The kernel adapter of this node from the settings, and the report of `doctor node`.

use std::sync::Arc;
use std::time::SystemTime;

use crate::adapters::kernel::client_state::{self, KernelFiles};
use crate::adapters::kernel::doctor::SetupReport;
pub use crate::adapters::kernel::doctor::{Request as ReportRequest, collect as report};
use crate::adapters::kernel::lustre_client::{LustreClient, ObservedClient, UnobservedClient};
use crate::adapters::kernel::node_faults::KernelNodeFaults;
use crate::adapters::kernel::propagation::{Propagation, Watch};
use crate::adapters::kernel::settings::{KernelSettings, Limits};
use crate::adapters::kernel::{Dependencies, KernelMounter, working_dir};
use crate::adapters::node_setup::report::SetupResult;
use crate::app::settings::Settings;
use crate::domain::mount::FS_TYPE;
use crate::ports::node_faults::NodeFault;
use crate::ports::operations::Operations;

use super::adapters::NodeAdapters;

/// The adapters of this node. Private mounts of an earlier process are unmounted before the first operation. Must be
/// called on a runtime of tokio.
pub(super) fn adapters(settings: &Settings) -> NodeAdapters {
    let values = &settings.values;
    let lustre = values.fs_type == FS_TYPE;
    if !lustre {
        tracing::warn!(fs_type = %values.fs_type, "mounts are not of Lustre: this is for benchmarks and tests only");
    }
    let files = KernelFiles::default();
    let mounted_at_start = client_state::lustre_is_mounted(&files).unwrap_or_else(|why| {
        tracing::warn!(why, "whether Lustre is mounted is unknown");
        false
    });
    let propagation = Arc::new(Propagation::new(files.clone(), values.kubelet_dir.clone()));
    let client: Arc<dyn LustreClient> =
        if lustre { Arc::new(ObservedClient::new(files)) } else { Arc::new(UnobservedClient) };
    let dependencies = Dependencies { client, propagation: Some(Arc::clone(&propagation)), ..Dependencies::default() };
    let mounter = Arc::new(KernelMounter::new(kernel_settings(settings), dependencies));
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
    NodeAdapters {
        operations: Some(Arc::clone(&mounter) as Arc<dyn Operations>),
        faults: Some(Arc::new(KernelNodeFaults { propagation, working_dir })),
        guards: Box::new(watch),
        mounter,
        mounted_at_start,
    }
}

/// Why the working directory of these settings cannot be used, if it cannot be. Makes and removes directories.
pub fn working_dir_fault(settings: &Settings) -> Option<NodeFault> {
    working_dir::fault(&settings.values.working_mount_dir)
}

fn kernel_settings(settings: &Settings) -> KernelSettings {
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

/// Result of the last node-setup of this node, as far as it can be read.
pub fn last_setup() -> Option<SetupReport> {
    let SetupResult { at, exit, message, hint, warnings } = super::node_setup::last_result()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let hint = hint.map(|hint| format!(". {hint}")).unwrap_or_default();
    let age_seconds = now.as_secs().saturating_sub(at);
    Some(SetupReport { ready: exit == 0, message: message + &hint, warnings, age_seconds })
}
