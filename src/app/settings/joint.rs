//! What several settings of `serve` mean together: the mode, the client's tunables, the cloud settings.

use super::cloud::{self, CloudFile, CloudSettings};
use super::keys::{
    AUTH, CLOUD, CLOUD_CONFIG, MDC_MAX_MOD_RPCS_IN_FLIGHT, MDC_MAX_RPCS_IN_FLIGHT, MODE, NODE_ID, OSC_MAX_DIRTY_MB,
    OSC_MAX_RPCS_IN_FLIGHT,
};
use super::mode::Mode;
use super::raw::RawSettings;
use super::table::Reader;
use super::values::{self, CloudKind, Services};
use crate::domain::client_tuning::{ClientTuning, Tunable};
use crate::domain::problem::Problem;

/// The keys of the client's tunables.
const TUNABLES: [(Tunable, &str); 4] = [
    (Tunable::OscMaxRpcsInFlight, OSC_MAX_RPCS_IN_FLIGHT),
    (Tunable::OscMaxDirtyMb, OSC_MAX_DIRTY_MB),
    (Tunable::MdcMaxRpcsInFlight, MDC_MAX_RPCS_IN_FLIGHT),
    (Tunable::MdcMaxModRpcsInFlight, MDC_MAX_MOD_RPCS_IN_FLIGHT),
];

/// Which services run, under which node name.
pub(super) fn mode(reader: &mut Reader<'_>) -> Option<Mode> {
    match reader.valid(MODE, values::services)? {
        Services::Controller => Some(Mode::Controller),
        Services::Node => node_id(reader).map(|node_id| Mode::Node { node_id }),
        // The Go driver's controller is started with neither.
        Services::All if !reader.layers.is_given(MODE) && !has_node_id(reader) => Some(Mode::ControllerByDefault),
        Services::All => node_id(reader).map(|node_id| Mode::All { node_id }),
    }
}

fn has_node_id(reader: &Reader<'_>) -> bool {
    reader.layers.find(NODE_ID).is_some_and(|layer| layer.value.as_str() != Some(""))
}

fn node_id(reader: &mut Reader<'_>) -> Option<String> {
    if !has_node_id(reader) {
        let problem = Problem::new(format!("--{NODE_ID}: missing"));
        let hint = "give the node's name in Kubernetes; only `--mode controller` does without";
        reader.problems.push(problem.with_hint(hint));
        return None;
    }
    // That it is text is checked with all others.
    reader.valid(NODE_ID, values::any::<String>)?;
    reader.read(NODE_ID, values::node_id)
}

/// Whether the client's tunables fit together; not checked where one of them is wrong.
pub(super) fn tuning(reader: &mut Reader<'_>) -> Option<ClientTuning> {
    let given: Vec<_> = TUNABLES.into_iter().filter(|(_, key)| reader.layers.is_given(key)).collect();
    let value = |(tunable, key): (Tunable, &'static str)| Some((tunable, reader.valid(key, values::tunable(tunable))?));
    let read: Vec<_> = given.iter().copied().filter_map(value).collect();
    if read.len() < given.len() {
        return None;
    }
    let source = reader.layers.find(MDC_MAX_MOD_RPCS_IN_FLIGHT).map(|layer| layer.source).unwrap_or_default();
    let tuning = ClientTuning::new(read).map_err(|message| values::invalid_tuning(message).at(&source));
    reader.problems.note(tuning)
}

/// What the cloud settings file and the variables beside it say, where either counts.
pub(super) fn cloud_settings(reader: &mut Reader<'_>, raw: &RawSettings) -> Option<CloudSettings> {
    let (services, kind) = (reader.valid(MODE, values::services), reader.valid(CLOUD, values::cloud));
    // The node asks nothing of the cloud, and the simulated one must not be confused by the real one's file.
    let on_azure = services.is_some_and(|services| services != Services::Node) && kind == Some(CloudKind::Arm);
    let auth = reader.valid(AUTH, values::auth);
    let azure = auth.filter(|_| on_azure).map(|auth| (cloud::variables(&raw.environment), auth));
    let file = match reader.layers.find(CLOUD_CONFIG).map(|layer| layer.source) {
        Some(named_by) => CloudFile { path: reader.valid(CLOUD_CONFIG, values::any)?, named_by },
        None if !on_azure => return Some(CloudSettings::default()),
        None => raw.azure_config_file().map_or_else(CloudFile::usual, |(variable, path)| CloudFile {
            path: path.into(),
            named_by: variable.to_owned(),
        }),
    };
    // A simulation that somebody described by a file is not to run without it.
    let needed = kind == Some(CloudKind::Simulator);
    cloud::read(&file, needed, azure, reader.problems)
}
