//! [`SettingFlags`]: one flag for each setting of a command, made from the table of settings.

use std::marker::PhantomData;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

#[cfg(feature = "kernel")]
use crate::app::settings::NodeSetupSettings;
use crate::app::settings::{CONFIG, Form, MOCK_MOUNT, MOCK_PROVISIONING, ServeSettings, Setting, Table, VERBOSITY};

/// Which settings a command has flags for.
pub(super) trait FlagSet {
    /// These settings, in the order of the help text.
    fn settings() -> impl Iterator<Item = &'static Setting>;
}

/// All settings of `serve`.
#[derive(Debug, Clone, Default)]
pub(super) struct OfServe;

impl FlagSet for OfServe {
    fn settings() -> impl Iterator<Item = &'static Setting> {
        ServeSettings::SETTINGS.iter().chain([&CONFIG, &VERBOSITY, &MOCK_MOUNT, &MOCK_PROVISIONING])
    }
}

/// Those of them that say where a list of SKUs comes from.
#[derive(Debug, Clone, Default)]
pub(super) struct OfSkus;

impl FlagSet for OfSkus {
    fn settings() -> impl Iterator<Item = &'static Setting> {
        let keys = ["cloud", "cloud-config", "auth", "simulator-world"];
        ServeSettings::SETTINGS.iter().filter(move |setting| keys.contains(&setting.key)).chain([&CONFIG])
    }
}

/// All settings of `node-setup`.
#[cfg(feature = "kernel")]
#[derive(Debug, Clone, Default)]
pub(super) struct OfNodeSetup;

#[cfg(feature = "kernel")]
impl FlagSet for OfNodeSetup {
    fn settings() -> impl Iterator<Item = &'static Setting> {
        NodeSetupSettings::SETTINGS.iter().chain([&CONFIG])
    }
}

/// The flags that were given, by name, as text: the settings check them together with file and variables.
#[derive(Debug, Clone, Default)]
pub(super) struct SettingFlags<S> {
    /// Name and value of each.
    pub(super) given: Vec<(&'static str, String)>,
    set: PhantomData<S>,
}

impl<S> SettingFlags<S> {
    /// The value of a flag.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.given.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }
}

impl<S: FlagSet> Args for SettingFlags<S> {
    fn augment_args(command: Command) -> Command {
        command.args(S::settings().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: FlagSet> FromArgMatches for SettingFlags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let value = |setting: &Setting| Some((setting.key, matches.get_one::<String>(setting.key)?.clone()));
        Ok(Self { given: S::settings().filter_map(value).collect(), set: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        Self::from_arg_matches(matches).map(|read| *self = read)
    }
}

/// A flag has no default of its own, since an absent flag must not hide a variable.
fn arg(setting: &Setting) -> Arg {
    let arg = Arg::new(setting.key).long(setting.key).value_name(setting.value_name).help(setting.help_line());
    match setting.form {
        Form::Boolean => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Form::Text | Form::Number => arg,
    }
}
