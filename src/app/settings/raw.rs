//! [`RawSettings`]: flags and variables of the process, as text, so that settings can be read without a process.

use super::keys::CONFIG;
use super::setting::PREFIX;

/// The variable that names the cloud settings file.
const AZURE_CONFIG_FILE: &str = "AZURE_CONFIG_FILE";
/// What the names of Azure's own variables begin with.
const AZURE_PREFIX: &str = "AZURE_";

/// The Go driver's variables for the client's version, which `node-setup` reads.
pub(super) const GO_VERSION: [&str; 2] = ["LUSTRE_VERSION", "CLIENT_SHA_SUFFIX"];

/// Flags and variables. `Debug` shows no value of a variable, since one may be a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RawSettings {
    /// Flags, without dashes, and their values. The last of a name counts.
    pub flags: Vec<(&'static str, String)>,
    /// Variables that may matter here. An empty one is as good as absent.
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
        let ours =
            |name: &str| [PREFIX, AZURE_PREFIX].iter().any(|p| name.starts_with(p)) || GO_VERSION.contains(&name);
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        Self { flags, environment: all.filter(|(name, _)| ours(name)).collect() }
    }

    /// The value of a flag.
    pub(super) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a variable that is not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The settings file and who named it.
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
