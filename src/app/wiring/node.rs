//! From settings to the kernel adapter, with the node's own facts behind it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::adapters::kernel::facts::NodeFacts;
use crate::adapters::kernel::facts::mounts::LustreMount;
use crate::adapters::kernel::facts::report::{self, Request};
use crate::adapters::kernel::facts::servers::ServerState;
use crate::adapters::kernel::settings::{KernelSettings, Limits};
use crate::adapters::kernel::{Imports, ImportsSource, KernelMounter, Parts, ReadinessSource};
use crate::app::settings::{KernelChoice, Settings};
use crate::domain::mount::FS_TYPE;
use crate::domain::mount_source::{MgsAddress, MountSource};

/// Where this process sees its mounts.
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// The mounter that the settings describe. What an earlier process left behind is removed before the first call is served. Needs the
/// runtime that it is called in.
pub(super) fn mounter(settings: &Settings) -> Arc<KernelMounter> {
    let choice = &settings.kernel;
    let lustre = choice.fs_type == FS_TYPE;
    if !lustre {
        tracing::warn!(fs_type = %choice.fs_type, "mounts are not of Lustre: this is for benchmarks and tests only");
    }
    let parts = if lustre { with_facts() } else { Parts::default() };
    let mounter = Arc::new(KernelMounter::new(adapter_settings(settings, choice), parts));
    let cleaner = Arc::clone(&mounter);
    tokio::spawn(async move { cleaner.clean_leftovers().await });
    mounter
}

fn adapter_settings(settings: &Settings, choice: &KernelChoice) -> KernelSettings {
    KernelSettings {
        fs_type: choice.fs_type.clone(),
        working_dir: settings.working_mount_dir.clone(),
        kubelet_dir: choice.kubelet_dir.clone(),
        sub_dir_mode: choice.sub_dir_mode,
        mounts_per_mgs: choice.mounts_per_mgs,
        limits: Limits {
            mount: choice.mount_timeout,
            unmount: choice.unmount_timeout,
            statfs: choice.stat_timeout,
            ..Limits::default()
        },
        ..KernelSettings::default()
    }
}

/// The parts of a real node. Facts are asked from threads of the adapter, which may wait for the runtime.
fn with_facts() -> Parts {
    let facts = Arc::new(NodeFacts::default());
    let (runtime, asked) = (Handle::current(), Arc::clone(&facts));
    let readiness = ReadinessSource::new(move || {
        let assessment = runtime.block_on(asked.assess());
        for note in &assessment.notes {
            tracing::debug!("{note}");
        }
        assessment.readiness()
    });
    let runtime = Handle::current();
    let imports = ImportsSource::new(move |source| runtime.block_on(imports(&facts, source)));
    Parts { readiness, imports, ..Parts::default() }
}

async fn imports(facts: &NodeFacts, source: &str) -> Imports {
    let Ok(source) = MountSource::parse(source) else { return Imports::Unknown };
    let mounts = facts.mounts(MOUNTINFO.as_ref()).await;
    let mounted: Vec<MountSource> = mounts.known().into_iter().flatten().filter_map(LustreMount::parsed).collect();
    match facts.servers(&source, &mounted).await {
        ServerState::Answering => Imports::Full,
        state if state.all_gone() => Imports::NotFull,
        ServerState::Silent { .. } | ServerState::Unknown(_) => Imports::Unknown,
    }
}

/// A report about this node as text or JSON, and whether it is healthy.
pub async fn report(mountinfo: PathBuf, mgs: Option<MgsAddress>, json: bool) -> (String, bool) {
    let facts = NodeFacts::default();
    let stuck = facts.stuck().await;
    let request = Request { mountinfo, servers: mgs.into_iter().collect(), stuck, ..Request::default() };
    let report = report::gather(&facts, &request).await;
    let text = if json {
        report.json().unwrap_or_else(|error| format!("{{\"healthy\": false, \"reasons\": [\"{error}\"]}}"))
    } else {
        report.text()
    };
    (text, report.healthy)
}
