//! Settings from the file that `--config` names: TOML or YAML, by its extension, one level of keys.

use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use serde_saphyr::figment::Yaml;

use super::setting::Setting;
use super::sources::SettingValue;
use crate::domain::problem::{Problem, Problems};
use crate::domain::text::{nearest, quote};

/// The settings in the file at `path`, which `named_by` names. Keys that are not `known` are problems, and so is an absent
/// file.
pub(super) fn values(
    named_by: &str,
    path: &str,
    known: &[&'static Setting],
    problems: &mut Problems,
) -> Vec<SettingValue> {
    let entries = problems.note(read(Path::new(path)).map_err(|problem| problem.at(named_by)));
    let entries = entries.unwrap_or_default().into_iter();
    entries.filter_map(|(key, value)| problems.note(setting_value(path, &key, value, known))).collect()
}

fn setting_value(path: &str, key: &str, value: Value, known: &[&'static Setting]) -> Result<SettingValue, Problem> {
    let source = format!("{} in {path}", quote(key));
    match known.iter().find(|setting| setting.key == key) {
        Some(setting) => Ok(SettingValue { source, key: setting.key, value }),
        None => Err(unknown(&source, key, known)),
    }
}

fn unknown(source: &str, key: &str, known: &[&'static Setting]) -> Problem {
    let keys: Vec<&str> = known.iter().map(|setting| setting.key).collect();
    let hint = nearest(key, keys.iter().copied())
        .map_or_else(|| format!("the keys are {}", keys.join(", ")), |near| format!("did you mean `{near}`?"));
    Problem::new("no setting has this name").with_hint(hint).at(source)
}

fn read(path: &Path) -> Result<Dict, Problem> {
    let parse = parser(path)?;
    let text = super::cloud::read_file(path)?;
    parse(&text).map_err(|message| {
        let problem = Problem::new(format!("{}: {}", path.display(), message.trim().replace('\n', "; ")));
        problem.with_hint("write one `key: value` (YAML) or `key = \"value\"` (TOML) a line")
    })
}

type Parser = fn(&str) -> Result<Dict, String>;

fn parser(path: &Path) -> Result<Parser, Problem> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => Ok(|text| Toml::from_str(text).map_err(|error| error.to_string())),
        Some("yaml" | "yml") => Ok(|text| Yaml::from_str(text).map_err(|error| error.to_string())),
        _ => {
            let problem = Problem::new(format!("{}: neither TOML nor YAML", path.display()));
            Err(problem.with_hint("let its name end in .toml, .yaml or .yml"))
        }
    }
}
