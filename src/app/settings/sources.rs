//! Sources of settings: [`RawSettings`], the flags and variables of a process, and [`Layers`], the values of all sources.

use std::collections::BTreeMap;

use figment::value::Value;

use super::cloud::EffectiveValue;
use super::setting::{CONFIG, PREFIX, Setting};

/// The source of a value that no other source gives.
const DEFAULT: &str = "default";
/// The variable that names the cloud settings file, as with Azure's other Kubernetes components.
const AZURE_CONFIG_FILE: &str = "AZURE_CONFIG_FILE";
/// Prefix of Azure's own variables.
const AZURE_PREFIX: &str = "AZURE_";

/// The Go driver's variables for the client's version, which `node-setup` reads.
pub(super) const GO_VERSION: [&str; 2] = ["LUSTRE_VERSION", "CLIENT_SHA_SUFFIX"];

/// Flags and variables as text, so that settings can be read without a process. `Debug` shows no value of a variable, since
/// one may be a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RawSettings {
    /// Flags, without dashes, and their values. The last of a name counts.
    pub flags: Vec<(&'static str, String)>,
    /// Variables. An empty one counts as absent.
    pub environment: Vec<(String, String)>,
}

impl std::fmt::Debug for RawSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("RawSettings").field("flags", &self.flags).field("environment", &names).finish()
    }
}

impl RawSettings {
    /// These flags and the process's variables.
    pub fn with_process_environment(flags: Vec<(&'static str, String)>) -> Self {
        let read =
            |name: &str| [PREFIX, AZURE_PREFIX].iter().any(|p| name.starts_with(p)) || GO_VERSION.contains(&name);
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        Self { flags, environment: all.filter(|(name, _)| read(name)).collect() }
    }

    /// The value of a flag.
    pub(super) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a variable that is not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// The settings file, and the flag or variable that names it.
    pub(super) fn settings_file(&self) -> Option<(String, &str)> {
        let variable = CONFIG.variable();
        let flag = self.flag(CONFIG.key).map(|path| (format!("--{}", CONFIG.key), path));
        flag.or_else(|| self.variable(&variable).map(|path| (variable.clone(), path)))
    }

    /// The cloud settings file that `AZURE_CONFIG_FILE` names, and that name.
    pub(super) fn azure_config_file(&self) -> Option<(&'static str, &str)> {
        self.variable(AZURE_CONFIG_FILE).map(|path| (AZURE_CONFIG_FILE, path))
    }
}

/// One value of one setting from one source.
#[derive(Debug, Clone)]
pub(super) struct SettingValue {
    /// The source as a person names it: a flag, a variable, a key of a file.
    pub source: String,
    /// The setting.
    pub key: &'static str,
    /// The value, unchecked.
    pub value: Value,
}

impl SettingValue {
    /// A value that is text.
    pub(super) fn text(source: impl Into<String>, key: &'static str, value: &str) -> Self {
        Self { source: source.into(), key, value: Value::from(value) }
    }

    /// The default of a setting.
    pub(super) fn default(setting: &Setting) -> Option<Self> {
        Some(Self::text(DEFAULT, setting.key, setting.default?))
    }

    /// The value as text; `None` for lists and tables.
    pub(super) fn scalar(&self) -> Option<String> {
        let value = &self.value;
        let whole = || value.to_i128().map(|n| n.to_string()).or_else(|| value.to_u128().map(|n| n.to_string()));
        let number = || whole().or_else(|| value.to_f64().map(|n| n.to_string()));
        value.as_str().map(str::to_owned).or_else(|| value.to_bool().map(|b| b.to_string())).or_else(number)
    }
}

/// The values in effect. They are kept as they were given: a parser of the file's format would read `007` as 7.
#[derive(Debug)]
pub(super) struct Layers(BTreeMap<&'static str, SettingValue>);

impl Layers {
    /// The values in effect of these layers, each over the one before.
    pub(super) fn new(values: impl IntoIterator<Item = SettingValue>) -> Self {
        Self(values.into_iter().map(|value| (value.key, value)).collect())
    }

    /// The value in effect.
    pub(super) fn find(&self, key: &str) -> Option<&SettingValue> {
        self.0.get(key)
    }

    /// Whether any layer above the defaults has a value.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.find(key).is_some_and(|value| value.source != DEFAULT)
    }

    /// The values in effect of these settings, with their sources.
    pub(super) fn effective_values(&self, table: &[Setting]) -> Vec<EffectiveValue> {
        let found = table.iter().filter_map(|setting| self.find(setting.key));
        found
            .filter_map(|found| {
                Some(EffectiveValue { key: found.key, value: found.scalar()?, source: found.source.clone() })
            })
            .collect()
    }
}
