//! [`Layer`]: one value of one setting from one source.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

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

    /// The value as text; `None` for lists and tables.
    pub(super) fn scalar(&self) -> Option<String> {
        let value = &self.value;
        let whole = || value.to_i128().map(|n| n.to_string()).or_else(|| value.to_u128().map(|n| n.to_string()));
        let number = || whole().or_else(|| value.to_f64().map(|n| n.to_string()));
        value.as_str().map(str::to_owned).or_else(|| value.to_bool().map(|b| b.to_string())).or_else(number)
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
