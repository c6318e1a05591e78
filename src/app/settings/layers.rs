//! The layers of settings, one over the other, and where each value came from.
//!
//! Why it is shaped so: figment can extract a whole struct, yet it stops at the first wrong type and reads `007` as 7. So
//! each value is its own provider, named after its source; figment keeps the order and the names, and the values are
//! checked one by one.

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::keys::{CLOUD, DEFAULTS, KEYS, LOG_LEVEL, MOCK_MOUNT, MOCK_PROVISIONING, MODE, MOUNTER, VERBOSITY};
use super::{Given, Mode, environment, file, values};
use crate::app::problem::{Problem, Problems};
use crate::app::telemetry::LogFilter;

/// Source of what nobody gave.
const DEFAULT: &str = "default";

/// One value from one source.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// Its source as a person names it: a flag, a variable, a key of a file.
    pub source: String,
    /// The setting.
    pub key: &'static str,
    /// The value, unchecked.
    pub value: Value,
}

impl Layer {
    /// A value that is text.
    pub(super) fn text(source: impl Into<String>, key: &'static str, value: &str) -> Self {
        Self { source: source.into(), key, value: Value::from(value) }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(Dict::from([(self.key.to_owned(), self.value.clone())])))
    }
}

/// A value in effect and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The setting.
    pub key: &'static str,
    /// Its value as text.
    pub value: String,
    /// Where it came from: `default`, a flag, a variable, a key of a file.
    pub source: String,
}

/// All layers together.
#[derive(Debug)]
pub(super) struct Layers(Figment);

impl Layers {
    /// Puts everything given in order; what no layer can hold is a problem.
    pub(super) fn collect(given: &Given, problems: &mut Problems) -> Self {
        let mut all: Vec<Layer> = DEFAULTS.iter().map(|(key, value)| Layer::text(DEFAULT, key, value)).collect();
        all.extend(problems.note(level_of_verbosity(given)));
        if let Some((named_by, path)) = given.settings_file() {
            all.extend(file::layers(&named_by, path, problems));
        }
        all.extend(environment::layers(&given.environment, problems));
        let flags = KEYS.into_iter().filter_map(|key| Some(Layer::text(format!("--{key}"), key, given.flag(key)?)));
        all.extend(flags);
        for (switch, key) in [(MOCK_MOUNT, MOUNTER), (MOCK_PROVISIONING, CLOUD)] {
            all.extend(
                problems.note(mock(given, switch, key).map_err(|problem| problem.at(&format!("--{switch}")))).flatten(),
            );
        }
        Self(all.into_iter().fold(Figment::new(), Figment::merge))
    }

    /// The value in effect and its source.
    pub(super) fn find(&self, key: &'static str) -> Option<Layer> {
        let value = self.0.find_value(key).ok()?;
        let source = self.0.get_metadata(value.tag()).map(|metadata| metadata.name.to_string()).unwrap_or_default();
        Some(Layer { source, key, value })
    }

    /// Whether somebody gave the setting a value.
    pub(super) fn is_given(&self, key: &'static str) -> bool {
        self.find(key).is_some_and(|layer| layer.source != DEFAULT)
    }

    /// All values in effect, for a process that runs in `mode`.
    pub(super) fn origins(&self, mode: &Mode) -> Vec<Origin> {
        let found = KEYS.into_iter().filter_map(|key| self.find(key));
        let shown = |Layer { source, key, value }: Layer| match mode {
            Mode::ControllerByDefault if key == MODE => {
                Some(Origin { key, value: "controller".to_owned(), source: "default without a node id".to_owned() })
            }
            _ => Some(Origin { key, value: scalar(&value)?, source }),
        };
        found.filter_map(shown).collect()
    }
}

/// A value that is no list or table, as text.
pub(super) fn scalar(value: &Value) -> Option<String> {
    let whole = || value.to_i128().map(|n| n.to_string()).or_else(|| value.to_u128().map(|n| n.to_string()));
    let number = || whole().or_else(|| value.to_f64().map(|n| n.to_string()));
    value.as_str().map(str::to_owned).or_else(|| value.to_bool().map(|b| b.to_string())).or_else(number)
}

/// klog's verbosity replaces the default level and nothing else: the Go driver's manifests always pass one, so whoever
/// gives a level in any other place means it.
fn level_of_verbosity(given: &Given) -> Result<Layer, Problem> {
    let source = given.flag(VERBOSITY).map_or(DEFAULT, |_| "-v");
    let verbosity = given.flag(VERBOSITY).map_or(Ok(0), values::verbosity).map_err(|problem| problem.at("-v"))?;
    Ok(Layer::text(source, LOG_LEVEL, LogFilter::of_verbosity(verbosity)))
}

/// What a mock switch of the Go driver asks for: the simulator, said aloud.
fn mock(given: &Given, switch: &str, key: &'static str) -> Result<Option<Layer>, Problem> {
    if !given.flag(switch).map_or(Ok(false), values::go_bool)? {
        return Ok(None);
    }
    values::with_simulator(())?;
    if let Some(other) = given.flag(key).filter(|value| *value != "simulator") {
        return Err(Problem::new(format!("contradicts --{key}={other}")).with_hint("give one of the two"));
    }
    Ok(Some(Layer::text(format!("--{switch}"), key, "simulator")))
}
