//! The cluster's cloud settings: the file that Azure's Kubernetes components share, usually `/etc/kubernetes/azure.json`.
//!
//! Why it exists: it says where the cluster is, so a `StorageClass` need not. It is written for many components, so unknown
//! keys are none of our business; it may hold a secret, so nothing but the values named here is ever shown.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use figment::value::{Dict, Value};

use super::Given;
use super::azure::{self, AuthKind, AzureSettings};
use super::cloud_file::CloudFile;
use super::values::{go_bool, read_file};
use crate::app::problem::{Problem, Problems};
use crate::domain::error::quote;
use crate::domain::names::{Location, NetworkName, ResourceGroup};
use crate::domain::provisioning::Defaults;

/// Where the file is unless somebody says otherwise.
const DEFAULT_PATH: &str = "/etc/kubernetes/azure.json";

/// What the cloud settings file and the variables beside it say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudSettings {
    /// Defaults for new volumes: `location`, `resourceGroup`, `vnetName`, `vnetResourceGroup`, `subnetName`.
    pub defaults: Defaults,
    /// How Azure is reached; always there where the controller runs on Azure.
    pub azure: Option<AzureSettings>,
    /// Where `azure` comes from, to be read again.
    pub file: Option<CloudFile>,
}

/// The variables, and who chooses the credentials, where Azure has to be reached.
pub(super) type Wanted<'a> = Option<(&'a Given, AuthKind)>;

/// Reads a file that somebody named, so it must be there. All problems are noted.
pub(super) fn read_named(
    path: &Path,
    named_by: &str,
    azure: Wanted<'_>,
    problems: &mut Problems,
) -> Option<CloudSettings> {
    let text = problems.note(read_file(path).map_err(|problem| problem.at(named_by)))?;
    parse(&text, path, azure, problems)
}

/// Reads the file at its usual place; without it there are only variables.
pub(super) fn read_default(azure: Wanted<'_>, problems: &mut Problems) -> Option<CloudSettings> {
    read_again(Path::new(DEFAULT_PATH), azure, problems)
}

/// Reads the same file again. Where there is none there are only variables, as at the start.
pub(super) fn read_again(path: &Path, azure: Wanted<'_>, problems: &mut Problems) -> Option<CloudSettings> {
    if path.exists() { read_named(path, "cloud settings", azure, problems) } else { parse("{}", path, azure, problems) }
}

fn parse(text: &str, path: &Path, azure: Wanted<'_>, problems: &mut Problems) -> Option<CloudSettings> {
    let entries = problems.note(entries(text).map_err(|problem| problem.at(&path.display().to_string())))?;
    let mut reader = Reader { entries, path, problems };
    let defaults = Defaults {
        location: reader.read("location", Location::parse),
        resource_group: reader.read("resourceGroup", ResourceGroup::parse),
        vnet_resource_group: reader.read("vnetResourceGroup", ResourceGroup::parse),
        vnet: reader.read("vnetName", NetworkName::parse),
        subnet: reader.read("subnetName", NetworkName::parse),
    };
    let file = azure.map(|(given, kind)| CloudFile::new(path, given, kind));
    let azure = match azure {
        Some((given, kind)) => Some(azure::read(&mut reader, given, kind)?),
        None => None,
    };
    Some(CloudSettings { defaults, azure, file })
}

/// The document's keys, in lower case, and values. JSON is read as YAML, which it is a part of.
fn entries(text: &str) -> Result<BTreeMap<String, Value>, Problem> {
    let options = serde_saphyr::options! { with_snippet: false };
    let document: Dict = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        // The parser's own message may quote the text, and with it a secret.
        let place =
            error.location().map(|at| format!(" (line {}, column {})", at.line(), at.column())).unwrap_or_default();
        Problem::new(format!("neither JSON nor YAML with keys and values{place}"))
            .with_hint("correct the file, or name another one")
    })?;
    Ok(document.into_iter().map(|(key, value)| (key.to_lowercase(), value)).collect())
}

/// Reads values out of the document and notes what is wrong with them.
pub(super) struct Reader<'a> {
    entries: BTreeMap<String, Value>,
    path: &'a Path,
    pub(super) problems: &'a mut Problems,
}

impl Reader<'_> {
    /// The value of a key; `None` if it is absent, null or empty, or with its problem noted.
    pub(super) fn read<T, E: Display>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let value = self.entries.get(&key.to_lowercase()).filter(|value| !matches!(value, Value::Empty(..)))?;
        let parsed = match value.as_str().map(str::trim) {
            Some("") => return None,
            Some(text) => parse(text).map_err(|error| error.to_string()),
            None => Err("not text".to_owned()),
        };
        self.note(key, parsed)
    }

    /// Any text.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.read(key, |text| Ok::<_, String>(text.to_owned()))
    }

    /// A boolean, as such or as text; absent, null and empty are no.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        match self.entries.get(&key.to_lowercase()) {
            None | Some(Value::Empty(..)) => Some(false),
            Some(Value::Bool(_, flag)) => Some(*flag),
            Some(Value::String(_, text)) if text.trim().is_empty() => Some(false),
            Some(Value::String(_, text)) => {
                let parsed = go_bool(text.trim()).map_err(|problem| problem.message);
                self.note(key, parsed)
            }
            Some(_) => self.note(key, Err("neither true nor false".to_owned())),
        }
    }

    /// Notes that a value is there neither in the file nor in its variable.
    pub(super) fn missing<T>(&mut self, key: &str, variable: &str) -> Option<T> {
        let problem = Problem::new(format!("{}: missing in {}", quote(key), self.path.display()));
        let hint = format!(
            "mount the cluster's azure.json into the container (or name it by AZURE_CONFIG_FILE), or set {variable}"
        );
        self.problems.push(problem.with_hint(hint));
        None
    }

    /// Notes that a kind of credentials lacks a value.
    pub(super) fn needed<T>(&mut self, what: &str, key: &str, variable: &str) -> Option<T> {
        let problem = Problem::new(format!("{what} needs {} in {} or {variable}", quote(key), self.path.display()));
        self.problems.push(problem.with_hint("give it, or use other credentials"));
        None
    }

    fn note<T>(&mut self, key: &str, result: Result<T, String>) -> Option<T> {
        let source = format!("{} in {}", quote(key), self.path.display());
        let hint = "correct the file; it is shared with Azure's other components of this cluster";
        self.problems.note(result.map_err(|rule| Problem::new(rule).with_hint(hint).at(&source)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AKS: &str = "{\n\t\"cloud\": \"AzurePublicCloud\",\n\t\"aadClientSecret\": \"geheim\",\n\t\"ResourceGroup\": \"MC_rg\",
        \"location\": \"eastus\", \"vnetName\": \"aks-vnet\", \"VNETRESOURCEGROUP\": \"\", \"subnetName\": null, \"x\": {\"y\": [1]}}";

    fn parsed(text: &str) -> (Option<CloudSettings>, Problems) {
        let mut problems = Problems::default();
        (parse(text, Path::new("azure.json"), None, &mut problems), problems)
    }

    #[test]
    fn json_and_yaml_are_read_without_case_and_unknown_keys_ignored() {
        let yaml = "resourcegroup: MC_rg\nLocation: East US\nvnetname: aks-vnet\nvmType: vmss\n";
        for text in [AKS, yaml] {
            let (settings, problems) = parsed(text);
            assert_eq!(problems, Problems::default());
            let defaults = settings.unwrap().defaults;
            assert_eq!(defaults.location, Location::parse("eastus").ok());
            assert_eq!(defaults.resource_group, ResourceGroup::parse("MC_rg").ok());
            assert_eq!(defaults.vnet, NetworkName::parse("aks-vnet").ok());
            assert_eq!((defaults.vnet_resource_group, defaults.subnet), (None, None));
        }
    }

    #[test]
    fn all_bad_values_are_told() {
        let (_, problems) = parsed("location: a/b\nresourceGroup: 5\nvnetName: ../x\n");
        let told: Vec<String> = problems.as_slice().iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(told[0].contains("`location` in azure.json: `a/b` is not an Azure region"), "{told:#?}");
    }

    #[test]
    fn a_broken_file_gives_away_no_secret() {
        for broken in [
            "aadClientSecret: geheim\n  x: [",
            "geheim",
            "- geheim",
            "\"geheim",
            "aadClientSecret: {geheim",
            "geheim: 1\ngeheim: 2",
        ] {
            let (_, problems) = parsed(broken);
            let told = problems.as_slice()[0].to_string();
            assert!(told.contains("neither JSON nor YAML") && !told.contains("geheim"), "{told}");
        }
    }
}
