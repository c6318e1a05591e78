//! `table!`: defines the settings of a command, one entry each; [`SettingReader`] reads them.

use super::setting::{Form, Setting};
use super::sources::{Layers, SettingValue};
use crate::domain::problem::{Problem, Problems};

/// A struct of settings, made by `table!`: the help text, the flags, the variables, the keys of the file, the defaults and
/// the printed list follow its entries.
pub trait Table: Sized {
    /// Its settings, in the order of the help text.
    const SETTINGS: &'static [Setting];
}

/// Defines a struct of settings and its [`Table`]. An entry is
/// `field: Type = "key", Form("value name"), [default], parser, "help";`, where the parser is a [`Parse`] and the default may
/// be missing: then the field is an `Option`. A key that code names elsewhere has its associated
/// constant in front: `NAME "key"`.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident {
        $($field:ident: $type:ty = $($constant:ident)? $key:literal, $form:ident($value:expr), [$($default:expr)?], $parse:expr, $help:expr;)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(#[doc = $help] pub $field: table!(@type $type $(, $default)?),)*
        }

        impl $crate::app::settings::table::Table for $name {
            const SETTINGS: &'static [$crate::app::settings::setting::Setting] = &[
                $($crate::app::settings::setting::Setting {
                    key: $key,
                    value_name: $value,
                    help: $help,
                    default: table!(@default $($default)?),
                    form: $crate::app::settings::setting::Form::$form,
                },)*
            ];
        }

        impl $name {
            $($(#[doc = $help] pub const $constant: &'static str = $key;)?)*

            /// Reads all of them; `None` with at least one problem noted.
            pub(in crate::app::settings) fn read(reader: &mut $crate::app::settings::table::SettingReader<'_>) -> Option<Self> {
                $(let $field = reader.read($key, $parse);)*
                Some(Self { $($field: table!(@value $field $(, $default)?),)* })
            }
        }
    };
    (@type $type:ty, $default:expr) => { $type };
    (@type $type:ty) => { Option<$type> };
    (@default $default:expr) => { Some($default) };
    (@default) => { None };
    (@value $field:ident, $default:expr) => { $field? };
    (@value $field:ident) => { $field };
}
pub(super) use table;

/// From the text of a setting to its value.
pub(super) trait Parse<T> {
    /// Reads `text`, which `source` gave. Where the text came from is added to the problem by the caller.
    fn parse(self, text: String, source: &str) -> Result<T, Problem>;
}

impl<T, F: FnOnce(&str) -> Result<T, Problem>> Parse<T> for F {
    fn parse(self, text: String, _: &str) -> Result<T, Problem> {
        self(&text)
    }
}

/// A value and where it came from, for parsers that belong to an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced {
    /// The value, unchecked.
    pub text: String,
    /// A flag, a variable, a key of a file.
    pub source: String,
}

/// Takes a value as it is, with its source.
pub(super) struct Unchecked;

impl Parse<Sourced> for Unchecked {
    fn parse(self, text: String, source: &str) -> Result<Sourced, Problem> {
        Ok(Sourced { text, source: source.to_owned() })
    }
}

/// Reads settings from their layers and notes every problem with its source.
pub(super) struct SettingReader<'a> {
    /// The settings that are read.
    pub table: &'static [Setting],
    /// Their layers.
    pub layers: &'a Layers,
    /// The problems so far.
    pub problems: &'a mut Problems,
}

impl SettingReader<'_> {
    /// The value of a setting; `None` if no layer has one, or with its problem noted.
    pub(super) fn read<T>(&mut self, key: &str, parse: impl Parse<T>) -> Option<T> {
        let found = self.layers.find(key)?;
        let value = self.parsed(found, parse);
        self.problems.note(value.map_err(|problem| problem.at(&found.source)))
    }

    /// As [`SettingReader::read`], without noting the problem: for a setting whose own entry notes it.
    pub(super) fn valid<T>(&self, key: &str, parse: impl Parse<T>) -> Option<T> {
        self.parsed(self.layers.find(key)?, parse).ok()
    }

    fn parsed<T>(&self, found: &SettingValue, parse: impl Parse<T>) -> Result<T, Problem> {
        let form = self.table.iter().find(|setting| setting.key == found.key).map(|setting| setting.form);
        let text = match form {
            Some(Form::Number | Form::Boolean) => found.scalar(),
            Some(Form::Text) | None => found.value.as_str().map(str::to_owned),
        };
        let text = text.ok_or_else(|| Problem::new("not text").with_hint("put the value in quotes"));
        text.and_then(|text| parse.parse(text, &found.source))
    }
}
