//! The driver's settings, checked once at start, all problems reported at once.
//!
//! Settings come in layers, each over the one before: defaults, a TOML or YAML file, `AZURELUSTRE_CSI_*` variables, flags. A
//! value that a higher layer replaces is not checked. Each is defined by one entry of a table ([`ServeSettings`],
//! [`NodeSetupSettings`]).

use super::telemetry::{LogFilter, LogSettings};
use crate::domain::client_tuning::ClientTuning;
use crate::domain::problem::{Problem, Problems};

mod cloud;
mod endpoint;
mod environment;
mod file;
mod joint;
mod keys;
mod layer;
mod layers;
mod mode;
mod node_setup;
mod raw;
mod serve;
mod setting;
mod table;
mod values;

pub use crate::domain::go_bool::go_bool;
pub use cloud::{CloudSettings, CredentialSelection, Origin};
pub use endpoint::{Endpoint, SocketPath};
pub use environment::is_loader;
pub use keys::{
    CONFIG, DEFAULT_DRIVER_NAME, DRIVER_NAME, ENDPOINT, KUBELET_DIR, MOCK_MOUNT, MOCK_PROVISIONING, VERBOSITY,
    WORKING_MOUNT_DIR,
};
pub use mode::Mode;
pub use node_setup::NodeSetupSettings;
pub use raw::RawSettings;
pub use serve::ServeSettings;
pub use setting::{Form, Setting};
pub use table::{Sourced, Table};
pub use values::{CloudKind, MounterKind, Services, absolute as absolute_path};

use keys::{CLOUD, LOG_LEVEL, MODE, MOUNTER};
use layer::Layer;
use layers::{DEFAULT, Layers};
use table::Reader;

/// All settings of `serve`, valid and complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which CSI services run (`mode`, `nodeid`).
    pub mode: Mode,
    /// Tunables of the client that are set for each mount (`osc-max-…`, `mdc-max-…`); none by default.
    pub tuning: ClientTuning,
    /// What the cluster's cloud settings file says; empty where none is read.
    pub cloud_settings: CloudSettings,
    /// Each setting alone.
    pub values: ServeSettings,
}

impl Settings {
    /// What is logged and how (`log-format`, `log-level`).
    pub fn log(&self) -> LogSettings {
        LogSettings { format: self.values.log_format, filter: self.values.log_filter.clone() }
    }
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

/// The settings of all commands, which may stand in one file and one environment.
fn known() -> Vec<&'static Setting> {
    ServeSettings::SETTINGS.iter().chain(NodeSetupSettings::SETTINGS).collect()
}

/// Reads and checks all settings of `serve`. Every problem found is in the error.
pub fn load(raw: &RawSettings) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    let verbosity = problems.note(level_of_verbosity(raw));
    let mocks = [(MOCK_MOUNT, MOUNTER), (MOCK_PROVISIONING, CLOUD)].into_iter().filter_map(|(switch, key)| {
        problems.note(mock(raw, &switch, key).map_err(|problem| problem.at(&format!("--{}", switch.key)))).flatten()
    });
    let derived = (verbosity.into_iter().collect(), mocks.collect());
    let table = ServeSettings::SETTINGS;
    let layers = Layers::collect(table, &known(), raw, derived, &mut problems);
    let settings = read(&mut Reader { table, layers: &layers, problems: &mut problems }, raw);
    problems.into_result(settings.map(|settings| Loaded { origins: origins(&layers, &settings.mode), settings }))
}

fn read(reader: &mut Reader<'_>, raw: &RawSettings) -> Option<Settings> {
    let values = ServeSettings::read(reader);
    let (mode, tuning) = (joint::mode(reader), joint::tuning(reader));
    let cloud_settings = joint::cloud_settings(reader, raw);
    Some(Settings { mode: mode?, tuning: tuning?, cloud_settings: cloud_settings?, values: values? })
}

/// Reads and checks the settings of `node-setup`, with notes about what was given and has no effect. Every problem found
/// is in the error.
pub fn load_node_setup(raw: &RawSettings) -> Result<(NodeSetupSettings, Vec<String>), Problems> {
    let mut problems = Problems::default();
    let derived = (node_setup::go_version(raw, &mut problems).into_iter().collect(), Vec::new());
    let table = NodeSetupSettings::SETTINGS;
    let layers = Layers::collect(table, &known(), raw, derived, &mut problems);
    let settings = NodeSetupSettings::read(&mut Reader { table, layers: &layers, problems: &mut problems });
    problems.into_result(settings.map(|settings| (settings, node_setup::notes(raw))))
}

/// One setting of `serve` for a command that asks a running driver: the flag, else the driver's variable in the same pod,
/// else the default. `key` is one of the keys of this module.
pub fn of_running_driver<T>(
    key: &'static str,
    flag: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let setting = ServeSettings::SETTINGS.iter().find(|setting| setting.key == key);
    let variable = setting.map(Setting::variable).unwrap_or_default();
    let given = std::env::var(&variable).ok().filter(|value| !value.is_empty());
    let default = setting.and_then(|setting| setting.default).unwrap_or_default();
    let source = flag.map_or(variable, |_| format!("--{key}"));
    parse(flag.or(given.as_deref()).unwrap_or(default)).map_err(|problem| problem.at(&source))
}

/// Every value in effect, for a process that runs in `mode`.
fn origins(layers: &Layers, mode: &Mode) -> Vec<Origin> {
    let mut origins = layers.origins(ServeSettings::SETTINGS);
    let by_default = origins.iter_mut().find(|origin| *mode == Mode::ControllerByDefault && origin.key == MODE);
    if let Some(origin) = by_default {
        (origin.value, origin.source) = ("controller".to_owned(), "default without a node id".to_owned());
    }
    origins
}

/// klog's verbosity replaces the default level and nothing else: the Go driver's manifests always pass one, so whoever
/// gives a level in any other place means it.
fn level_of_verbosity(raw: &RawSettings) -> Result<Layer, Problem> {
    let source = raw.flag(VERBOSITY.key).map_or(DEFAULT, |_| "-v");
    let verbosity = raw.flag(VERBOSITY.key).map_or(Ok(0), values::verbosity).map_err(|problem| problem.at("-v"))?;
    Ok(Layer::text(source, LOG_LEVEL, LogFilter::of_verbosity(verbosity)))
}

/// What a mock switch of the Go driver asks for: the simulator.
fn mock(raw: &RawSettings, switch: &Setting, key: &'static str) -> Result<Option<Layer>, Problem> {
    if !raw.flag(switch.key).map_or(Ok(false), go_bool)? {
        return Ok(None);
    }
    values::with_simulator(())?;
    if let Some(other) = raw.flag(key).filter(|value| *value != "simulator") {
        return Err(Problem::new(format!("contradicts --{key}={other}")).with_hint("give one of the two"));
    }
    Ok(Some(Layer::text(format!("--{}", switch.key), key, "simulator")))
}

#[cfg(test)]
mod tests;
