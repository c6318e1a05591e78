//! Flags and variables of the Go driver that stand for settings of this one.

use super::node_setup::NodeSetupSettings;
use super::serve::ServeSettings;
use super::setting::{Form, Setting};
use super::sources::{GO_VERSION, RawSettings, SettingValue};
use super::values;
use crate::app::telemetry::LogFilter;
use crate::domain::go_bool::go_bool;
use crate::domain::problem::{Problem, Problems};
use crate::domain::text::quote;

/// klog's verbosity: a flag only.
pub const VERBOSITY: Setting = Setting {
    key: "v",
    value_name: "N",
    help: "klog verbosity, also -v=N: from 4 on debug, from 6 on trace, unless a log level is given",
    default: None,
    form: Form::Text,
};
/// The switch for a mounter without Lustre: a flag only.
pub const MOCK_MOUNT: Setting = Setting {
    key: "enable-azurelustre-mock-mount",
    value_name: "BOOL",
    help: "Mount by the simulator, as the Go driver's switch; =true only in builds that have it",
    default: None,
    form: Form::Boolean,
};
/// The switch for a cloud without Azure: a flag only.
pub const MOCK_PROVISIONING: Setting = Setting {
    key: "enable-azurelustre-mock-dyn-prov",
    value_name: "BOOL",
    help: "Create in the simulator, as the Go driver's switch; =true only in builds that have it",
    default: None,
    form: Form::Boolean,
};

/// The interval for configuring LNet again: a variable without effect.
const LNET_INTERVAL: &str = "AZURELUSTRE_CSI_LNET_RECONCILE_INTERVAL";
/// The role of a container.
const ROLE: &str = "AZURELUSTRE_CSI_ROLE";
/// The role of an init container that makes the node ready.
const LOADER: &str = "loader";

/// Whether the role makes this process the loader, which is `node-setup`.
pub fn is_loader(raw: &RawSettings) -> bool {
    raw.variable(ROLE) == Some(LOADER)
}

/// Whether this variable is one of the Go driver's that is no setting of this one.
pub(super) fn is_variable(name: &str) -> bool {
    [LNET_INTERVAL, ROLE].contains(&name)
}

/// The mode that the role stands for.
pub(super) fn mode_of_role(raw: &RawSettings) -> Result<Option<SettingValue>, Problem> {
    match raw.variable(ROLE) {
        None | Some(LOADER) => Ok(None),
        Some("driver") => Ok(Some(SettingValue::text(ROLE, ServeSettings::MODE, "node"))),
        Some("controller") => Ok(Some(SettingValue::text(ROLE, ServeSettings::MODE, "controller"))),
        Some(other) => {
            let problem = Problem::new(format!("{ROLE}: {} is not a role", quote(other)));
            Err(problem.with_hint("use driver, controller or loader, or unset it and give --mode"))
        }
    }
}

/// The log level that klog's verbosity stands for. It replaces the default level and nothing else: the Go driver's manifests
/// always pass one, so a level from any other source is intended.
pub(super) fn log_level(raw: &RawSettings) -> Result<Option<SettingValue>, Problem> {
    let Some(text) = raw.flag(VERBOSITY.key) else { return Ok(None) };
    let verbosity = values::verbosity(text).map_err(|problem| problem.at("-v"))?;
    Ok(Some(SettingValue::text("-v", ServeSettings::LOG_LEVEL, LogFilter::of_verbosity(verbosity))))
}

/// The simulator, where a mock switch asks for it.
pub(super) fn mocks(raw: &RawSettings, problems: &mut Problems) -> Vec<SettingValue> {
    let mut mock = |(switch, key): (Setting, &'static str)| {
        let flag = format!("--{}", switch.key);
        let wanted = problems.note(is_mocked(raw, &switch, key).map_err(|problem| problem.at(&flag)))?;
        wanted.then(|| SettingValue::text(flag, key, "simulator"))
    };
    [(MOCK_MOUNT, ServeSettings::MOUNTER), (MOCK_PROVISIONING, ServeSettings::CLOUD)]
        .into_iter()
        .filter_map(&mut mock)
        .collect()
}

fn is_mocked(raw: &RawSettings, switch: &Setting, key: &'static str) -> Result<bool, Problem> {
    if !raw.flag(switch.key).map_or(Ok(false), go_bool)? {
        return Ok(false);
    }
    values::with_simulator(())?;
    match raw.flag(key).filter(|value| *value != "simulator") {
        None => Ok(true),
        Some(other) => Err(Problem::new(format!("contradicts --{key}={other}")).with_hint("give one of the two")),
    }
}

/// Both variables of the client's version as one; one alone is a mistake.
pub(super) fn client_version(raw: &RawSettings) -> Result<Option<SettingValue>, Problem> {
    let [version, suffix] = GO_VERSION;
    let (given, other) = match (raw.variable(version), raw.variable(suffix)) {
        (None, None) => return Ok(None),
        (Some(number), Some(commit)) => {
            let text = format!("{number}-{commit}");
            return Ok(Some(SettingValue::text(GO_VERSION.join(" and "), NodeSetupSettings::CLIENT_VERSION, &text)));
        }
        (Some(_), None) => (version, suffix),
        (None, Some(_)) => (suffix, version),
    };
    let problem = Problem::new(format!("{given}: is set without {other}"));
    Err(problem
        .with_hint(format!("set both or neither; --{} takes the whole version", NodeSetupSettings::CLIENT_VERSION)))
}

/// Notes about variables that have no effect.
pub(super) fn notes(raw: &RawSettings) -> Vec<String> {
    let note = || format!("{LNET_INTERVAL} has no effect: LNet keeps its interfaces when their links change");
    raw.variable(LNET_INTERVAL).map(|_| note()).into_iter().collect()
}
