//! The driver's settings, checked once at start, all problems reported at once.
//!
//! Settings come in layers, each over the one before: defaults, a TOML or YAML file, `AZURELUSTRE_CSI_*` variables, flags. A
//! value that a higher layer replaces is not checked. Each is defined by one entry of a table ([`ServeSettings`],
//! [`NodeSetupSettings`]).

use super::telemetry::LogSettings;
use crate::domain::client_tuning::ClientTuning;
use crate::domain::problem::{Problem, Problems};

mod cloud;
mod combined;
mod endpoint;
mod environment;
mod file;
mod go_driver;
mod node_setup;
mod serve;
mod setting;
mod sources;
mod table;
mod values;

pub use crate::domain::go_bool::go_bool;
pub use cloud::{CloudSettings, CredentialSelection, EffectiveValue};
pub use combined::Mode;
pub use endpoint::{Endpoint, SocketPath};
pub use go_driver::{MOCK_MOUNT, MOCK_PROVISIONING, VERBOSITY, is_loader};
pub use node_setup::NodeSetupSettings;
pub use serve::{DEFAULT_DRIVER_NAME, ServeSettings};
pub use setting::{CONFIG, Form, Setting};
pub use sources::RawSettings;
pub use table::{Sourced, Table};
pub use values::{CloudKind, MounterKind, Services, absolute as absolute_path};

use sources::{Layers, SettingValue};
use table::SettingReader;

/// All settings of `serve`, valid and complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The CSI services that run (`mode`, `nodeid`).
    pub mode: Mode,
    /// Tunables of the client that are set for each mount (`osc-max-…`, `mdc-max-…`); none by default.
    pub tuning: ClientTuning,
    /// The cluster's cloud settings; empty where none are read.
    pub cloud_settings: CloudSettings,
    /// Each setting alone.
    pub values: ServeSettings,
    /// Every value in effect and its source, for `check-config`. Those of the cloud settings are
    /// [`CloudSettings::effective_values`].
    pub effective_values: Vec<EffectiveValue>,
}

impl Settings {
    /// Form and filter of the log (`log-format`, `log-level`).
    pub fn log(&self) -> LogSettings {
        LogSettings { format: self.values.log_format, filter: self.values.log_filter.clone() }
    }
}

/// The settings of all commands, which may stand in one file and one environment.
fn known() -> Vec<&'static Setting> {
    ServeSettings::SETTINGS.iter().chain(NodeSetupSettings::SETTINGS).collect()
}

/// Reads and checks all settings of `serve`. Every problem found is in the error.
pub fn load(raw: &RawSettings) -> Result<Settings, Problems> {
    let mut problems = Problems::default();
    let lowest = problems.note(go_driver::log_level(raw)).flatten();
    let highest = go_driver::mocks(raw, &mut problems);
    let table = ServeSettings::SETTINGS;
    let layers = layers(table, raw, lowest, highest, &mut problems);
    let mut reader = SettingReader { table, layers: &layers, problems: &mut problems };
    let values = ServeSettings::read(&mut reader);
    let (mode, tuning) = (combined::mode(&mut reader), combined::tuning(&mut reader));
    let cloud_settings = combined::cloud_settings(&mut reader, raw);
    let settings = values.zip(mode).zip(tuning).zip(cloud_settings);
    problems.into_result(settings.map(|(((values, mode), tuning), cloud_settings)| Settings {
        effective_values: effective_values(&layers, &mode),
        mode,
        tuning,
        cloud_settings,
        values,
    }))
}

/// Reads and checks the settings of `node-setup`, with notes about variables without effect. Every problem found is in the
/// error.
pub fn load_node_setup(raw: &RawSettings) -> Result<(NodeSetupSettings, Vec<String>), Problems> {
    let mut problems = Problems::default();
    let lowest = problems.note(go_driver::client_version(raw)).flatten();
    let table = NodeSetupSettings::SETTINGS;
    let layers = layers(table, raw, lowest, Vec::new(), &mut problems);
    let settings = NodeSetupSettings::read(&mut SettingReader { table, layers: &layers, problems: &mut problems });
    problems.into_result(settings.map(|settings| (settings, go_driver::notes(raw))))
}

/// The layers of the settings `table`: defaults, `lowest`, file, variables, flags, `highest`.
fn layers(
    table: &'static [Setting],
    raw: &RawSettings,
    lowest: Option<SettingValue>,
    highest: Vec<SettingValue>,
    problems: &mut Problems,
) -> Layers {
    let known = known();
    let mut all: Vec<SettingValue> = table.iter().filter_map(SettingValue::default).chain(lowest).collect();
    if let Some((named_by, path)) = raw.settings_file() {
        all.extend(file::values(&named_by, path, &known, problems));
    }
    all.extend(problems.note(go_driver::mode_of_role(raw)).flatten());
    all.extend(environment::values(&raw.environment, &known, go_driver::is_variable, problems));
    let flag =
        |setting: &Setting| Some(SettingValue::text(format!("--{}", setting.key), setting.key, raw.flag(setting.key)?));
    all.extend(table.iter().filter_map(flag).chain(highest));
    Layers::new(all)
}

/// One setting of `serve` for a command that sends requests to a running driver: the flag, else the driver's variable in the same pod,
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
fn effective_values(layers: &Layers, mode: &Mode) -> Vec<EffectiveValue> {
    let mut effective_values = layers.effective_values(ServeSettings::SETTINGS);
    let by_default = effective_values
        .iter_mut()
        .find(|found| *mode == Mode::ControllerByDefault && found.key == ServeSettings::MODE);
    if let Some(origin) = by_default {
        (origin.value, origin.source) = ("controller".to_owned(), "default without a node id".to_owned());
    }
    effective_values
}

#[cfg(test)]
mod tests;
