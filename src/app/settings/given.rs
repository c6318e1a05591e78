//! What the process was started with, as raw text.
//!
//! Why it exists: settings are read from values, so that tests need neither a process nor its environment.

use super::azure::VARIABLES;
use super::environment::PREFIX;
use super::keys::CONFIG;

/// The variable that names the cloud settings file.
const AZURE_CONFIG_FILE: &str = "AZURE_CONFIG_FILE";

/// Variables of the Go driver that `node-setup` reads.
const OF_NODE_SETUP: [&str; 2] = ["LUSTRE_VERSION", "CLIENT_SHA_SUFFIX"];

/// Flags and variables. `Debug` shows no value of a variable, since one may be a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Flags, without dashes, and their values. The last of a name counts.
    pub flags: Vec<(&'static str, String)>,
    /// Variables that may matter here. An empty one is as good as absent.
    pub environment: Vec<(String, String)>,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Given").field("flags", &self.flags).field("environment", &names).finish()
    }
}

impl Given {
    /// These flags and the process's variables.
    pub fn with_process_environment(flags: Vec<(&'static str, String)>) -> Self {
        let ours = |name: &str| {
            name.starts_with(PREFIX)
                || name == AZURE_CONFIG_FILE
                || VARIABLES.contains(&name)
                || OF_NODE_SETUP.contains(&name)
        };
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
        let variable = format!("{PREFIX}CONFIG");
        let flag = self.flag(CONFIG).map(|path| (format!("--{CONFIG}"), path));
        flag.or_else(|| self.variable(&variable).map(|path| (variable.clone(), path)))
    }

    /// The cloud settings file that `AZURE_CONFIG_FILE` names, and that name.
    pub(super) fn azure_config_file(&self) -> Option<(&'static str, &str)> {
        self.variable(AZURE_CONFIG_FILE).map(|path| (AZURE_CONFIG_FILE, path))
    }
}
