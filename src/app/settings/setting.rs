//! [`Setting`]: the definition of one setting: key, help, default and form.

/// Prefix of the driver's variables.
pub(super) const PREFIX: &str = "AZURELUSTRE_CSI_";

/// One setting. Its flag is `--key`, its variable [`Setting::variable`], its key in the settings file `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its name, in lower case with dashes.
    pub key: &'static str,
    /// The form of its value in the help text.
    pub value_name: &'static str,
    /// One sentence without a full stop; ends in `[default: …]` where that is no plain text.
    pub help: &'static str,
    /// The value where no layer has one.
    pub default: Option<&'static str>,
    /// The type of its value in a settings file, and whether its flag needs a value.
    pub form: Form,
}

/// The type of a value in a settings file, and whether a flag needs a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text. A number or boolean of the file is refused, since it has lost its spelling (`007`).
    Text,
    /// Text or a number.
    Number,
    /// Text or a boolean; the flag alone is `true`, and another value needs `=`, as in Go.
    Boolean,
}

impl Setting {
    /// The name of its variable: `log-level` is `AZURELUSTRE_CSI_LOG_LEVEL`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.key.to_uppercase().replace('-', "_"))
    }

    /// Its line in the help text, with the default.
    pub fn help_line(&self) -> String {
        let shown = self.default.filter(|_| !self.help.contains("[default:"));
        shown.map_or_else(|| self.help.to_owned(), |default| format!("{} [default: {default}]", self.help))
    }
}

/// The settings file: a flag and a variable, not a key of the file.
pub const CONFIG: Setting = Setting {
    key: "config",
    value_name: "FILE",
    help: "Settings file, TOML or YAML by its extension",
    default: None,
    form: Form::Text,
};
