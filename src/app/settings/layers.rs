//! The layers of settings, one over the other, and where each value came from.
//!
//! figment can extract a whole struct, yet it stops at the first wrong type and reads `007` as 7. So each value is its own
//! provider, named after its source; figment keeps the order and the names, and the values are checked one by one.

use figment::Figment;

use super::cloud::Origin;
use super::layer::Layer;
use super::raw::RawSettings;
use super::setting::Setting;
use super::{environment, file};
use crate::domain::problem::Problems;

/// Source of what no layer gave.
pub(super) const DEFAULT: &str = "default";

/// All layers together.
#[derive(Debug)]
pub(super) struct Layers(Figment);

impl Layers {
    /// The layers of the settings `table`: defaults, `lowest`, file, variables, flags, `highest`. What is not among the
    /// settings `known` to any command is a problem.
    pub(super) fn collect(
        table: &'static [Setting],
        known: &[&'static Setting],
        raw: &RawSettings,
        (lowest, highest): (Vec<Layer>, Vec<Layer>),
        problems: &mut Problems,
    ) -> Self {
        let default = |setting: &Setting| Some(Layer::text(DEFAULT, setting.key, setting.default?));
        let mut all: Vec<Layer> = table.iter().filter_map(default).chain(lowest).collect();
        if let Some((named_by, path)) = raw.settings_file() {
            all.extend(file::layers(&named_by, path, known, problems));
        }
        all.extend(environment::layers(&raw.environment, known, problems));
        let flag =
            |setting: &Setting| Some(Layer::text(format!("--{}", setting.key), setting.key, raw.flag(setting.key)?));
        all.extend(table.iter().filter_map(flag).chain(highest));
        Self(all.into_iter().fold(Figment::new(), Figment::merge))
    }

    /// The value in effect and its source.
    pub(super) fn find(&self, key: &'static str) -> Option<Layer> {
        let value = self.0.find_value(key).ok()?;
        let source = self.0.get_metadata(value.tag()).map(|metadata| metadata.name.to_string()).unwrap_or_default();
        Some(Layer { source, key, value })
    }

    /// Whether any layer above the defaults has a value.
    pub(super) fn is_given(&self, key: &'static str) -> bool {
        self.find(key).is_some_and(|layer| layer.source != DEFAULT)
    }

    /// The values in effect of these settings.
    pub(super) fn origins(&self, table: &'static [Setting]) -> Vec<Origin> {
        let found = table.iter().filter_map(|setting| self.find(setting.key));
        found
            .filter_map(|layer| Some(Origin { value: layer.scalar()?, key: layer.key, source: layer.source }))
            .collect()
    }
}
