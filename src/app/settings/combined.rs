//! Values that several settings of `serve` give together: [`Mode`], client tuning, cloud settings.

use super::cloud::{self, CloudFile, CloudSettings};
use super::serve::ServeSettings;
use super::sources::RawSettings;
use super::table::{SettingReader, Table};
use super::values::{self, CloudKind, Services};
use crate::domain::client_tuning::{ClientTuning, Tunable};
use crate::domain::problem::Problem;

/// The CSI services that run beside Identity (`mode`, `nodeid`).
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

pub(super) fn mode(reader: &mut SettingReader<'_>) -> Option<Mode> {
    match reader.valid(ServeSettings::MODE, values::services)? {
        Services::Controller => Some(Mode::Controller),
        Services::Node => node_id(reader).map(|node_id| Mode::Node { node_id }),
        // The Go driver's controller is started with neither.
        Services::All if !reader.layers.is_given(ServeSettings::MODE) && !has_node_id(reader) => {
            Some(Mode::ControllerByDefault)
        }
        Services::All => node_id(reader).map(|node_id| Mode::All { node_id }),
    }
}

fn has_node_id(reader: &SettingReader<'_>) -> bool {
    reader.layers.find(ServeSettings::NODE_ID).is_some_and(|found| found.value.as_str() != Some(""))
}

fn node_id(reader: &mut SettingReader<'_>) -> Option<String> {
    if !has_node_id(reader) {
        let problem = Problem::new(format!("--{}: missing", ServeSettings::NODE_ID));
        let hint = "give the node's name in Kubernetes; only `--mode controller` does without";
        reader.problems.push(problem.with_hint(hint));
        return None;
    }
    // That it is text is checked with all other settings.
    reader.valid(ServeSettings::NODE_ID, values::text::<String>)?;
    reader.read(ServeSettings::NODE_ID, values::node_id)
}

/// Whether the client's tunables fit together; not checked where one of them is wrong.
pub(super) fn tuning(reader: &mut SettingReader<'_>) -> Option<ClientTuning> {
    let keys = Tunable::ALL.into_iter().filter_map(|tunable| Some((tunable, tunable_key(tunable)?)));
    let given: Vec<_> = keys.filter(|(_, key)| reader.layers.is_given(key)).collect();
    let read = given.iter().map(|(tunable, key)| Some((*tunable, reader.valid(key, values::tunable(*tunable))?)));
    let read: Vec<_> = read.collect::<Option<_>>()?;
    let source = tunable_key(Tunable::MdcMaxModRpcsInFlight).and_then(|key| reader.layers.find(key));
    let source = source.map(|found| found.source.clone()).unwrap_or_default();
    let tuning = ClientTuning::new(read).map_err(|message| values::invalid_tuning(message).at(&source));
    reader.problems.note(tuning)
}

/// The key of a tunable's setting: `osc-max-dirty-mb` for `osc.max_dirty_mb`.
fn tunable_key(tunable: Tunable) -> Option<&'static str> {
    let (device_type, file) = tunable.device_type_and_file();
    let key = format!("{device_type}-{file}").replace('_', "-");
    ServeSettings::SETTINGS.iter().map(|setting| setting.key).find(|known| *known == key)
}

/// The cloud settings file and the variables beside it, where either counts.
pub(super) fn cloud_settings(reader: &mut SettingReader<'_>, raw: &RawSettings) -> Option<CloudSettings> {
    let (services, kind) =
        (reader.valid(ServeSettings::MODE, values::services), reader.valid(ServeSettings::CLOUD, values::cloud));
    // A node sends nothing to the cloud, and the simulated one must not read the real one's file by accident.
    let on_azure = services.is_some_and(|services| services != Services::Node) && kind == Some(CloudKind::Arm);
    let auth = reader.valid(ServeSettings::AUTH, values::auth);
    let azure = auth.filter(|_| on_azure).map(|auth| (cloud::variables(&raw.environment), auth));
    let file = match reader.layers.find(ServeSettings::CLOUD_CONFIG).map(|found| found.source.clone()) {
        Some(named_by) => CloudFile { path: reader.valid(ServeSettings::CLOUD_CONFIG, values::text)?, named_by },
        None if !on_azure => return Some(CloudSettings::default()),
        None => raw.azure_config_file().map_or_else(CloudFile::usual, |(variable, path)| CloudFile {
            path: path.into(),
            named_by: variable.to_owned(),
        }),
    };
    // A simulation that a file describes must not run without it.
    let needed = kind == Some(CloudKind::Simulator);
    cloud::read(&file, needed, azure, reader.problems)
}
