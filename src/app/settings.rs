//! The driver's settings: one typed struct, checked once at start.
//!
//! What is wrong with a deployment should show before the first volume, all of it at once. Settings come in
//! layers, each over the one before: defaults, a TOML or YAML file, `AZURELUSTRE_CSI_*` variables, flags. A value that a
//! higher layer replaces is not looked at.

use std::path::PathBuf;
use std::time::Duration;

use super::problem::Problems;
use super::telemetry::LogSettings;
use crate::domain::volume_attributes::UnknownAttributes;

mod azure;
mod cloud;
mod cloud_source;
mod endpoint;
mod environment;
mod file;
mod given;
mod keys;
mod layers;
mod node_setup;
mod read;
mod values;

pub use azure::{Auth, AzureSettings, Hidden};
pub use cloud::CloudSettings;
pub use cloud_source::CloudSource;
pub use endpoint::{Endpoint, SocketPath};
pub use environment::{PREFIX, is_loader};
pub use given::Given;
pub use keys::{CONFIG, DEFAULT_DRIVER_NAME, DEFAULT_ENDPOINT, KEYS, MOCK_MOUNT, MOCK_PROVISIONING, VERBOSITY};
pub use layers::Origin;
pub use node_setup::{NODE_SETUP_KEYS, NodeSetupSettings, Sourced, load_node_setup};
pub use values::go_bool;

/// All settings, valid and complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which CSI services run (`mode`, `nodeid`).
    pub mode: Mode,
    /// Where file systems come from (`cloud`). Counts where the controller runs.
    pub cloud: CloudKind,
    /// How volumes are mounted (`mounter`). Counts where the node runs.
    pub mounter: MounterKind,
    /// How the kernel mounts.
    pub kernel: KernelChoice,
    /// What is done about keys of `volumeAttributes` that are nearly ours (`unknown-volume-attributes`).
    pub unknown_attributes: UnknownAttributes,
    /// How the simulator behaves.
    pub simulator: SimulatorSettings,
    /// Where the gRPC server listens (`endpoint`).
    pub endpoint: Endpoint,
    /// The name under which the driver registers (`drivername`).
    pub driver_name: String,
    /// Directory for private mounts (`working-mount-dir`), absolute.
    pub working_mount_dir: PathBuf,
    /// Whether the node's startup taint is removed (`remove-not-ready-taint`).
    pub remove_not_ready_taint: bool,
    /// What is logged and how (`log-format`, `log-level`).
    pub log: LogSettings,
    /// What the cluster's cloud settings file says; empty where none is read.
    pub cloud_settings: CloudSettings,
}

/// Which CSI services run beside Identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Controller: creates and deletes volumes.
    Controller,
    /// Node: mounts them.
    Node {
        /// The node's name in Kubernetes.
        node_id: String,
    },
    /// Both in one process.
    All {
        /// The node's name in Kubernetes.
        node_id: String,
    },
    /// No mode and no node id were given, as in the Go driver's controller: Controller, and a Node service that refuses
    /// every call.
    ControllerByDefault,
}

impl Mode {
    /// Whether the Controller service runs.
    pub fn has_controller(&self) -> bool {
        matches!(self, Self::Controller | Self::All { .. } | Self::ControllerByDefault)
    }

    /// The node's name where the Node service runs.
    pub fn node_id(&self) -> Option<&str> {
        match self {
            Self::Controller | Self::ControllerByDefault => None,
            Self::Node { node_id } | Self::All { node_id } => Some(node_id),
        }
    }
}

/// Where file systems come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudKind {
    /// Azure Resource Manager.
    Arm,
    /// The simulator, in memory. Only in builds that have it.
    Simulator,
}

/// How volumes are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MounterKind {
    /// By the kernel's Lustre client.
    Kernel,
    /// By the simulator, as directories. Only in builds that have it.
    Simulator,
}

/// How the kernel mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelChoice {
    /// Type of the mounts (`mount-fs-type`): `lustre`; another one is for benchmarks and tests.
    pub fs_type: String,
    /// Kubelet's directory (`kubelet-dir`), absolute.
    pub kubelet_dir: PathBuf,
    /// Permissions of sub-directories that are made (`sub-dir-mode`), at most `0o1777`.
    pub sub_dir_mode: u32,
    /// Most mounts under way for one MGS (`mounts-per-mgs`), at least 1.
    pub mounts_per_mgs: usize,
    /// How long a mount is waited for (`mount-timeout`).
    pub mount_timeout: Duration,
    /// How long an unmount runs before its servers are examined (`unmount-timeout`).
    pub unmount_timeout: Duration,
    /// How long statfs is waited for (`stat-timeout`).
    pub stat_timeout: Duration,
}

/// How the simulator behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatorSettings {
    /// Simulated seconds per second (`simulator-speed`); more than 0, at most 1000000.
    pub speed: f64,
    /// File with regions, SKUs and networks (`simulator-world`); the built-in world where absent.
    pub world: Option<PathBuf>,
}

/// Settings together with where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Every value in effect and its source, for `check-config`. Those of the cloud settings are
    /// [`CloudSettings::origins`].
    pub origins: Vec<Origin>,
}

/// Reads and checks all settings. Every problem found is in the error.
pub fn load(given: &Given) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    let layers = layers::Layers::collect(given, &mut problems);
    let settings = read::settings(&layers, given, &mut problems);
    problems.into_result(settings.map(|settings| Loaded { origins: layers.origins(&settings.mode), settings }))
}

#[cfg(test)]
mod tests;
