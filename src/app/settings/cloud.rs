//! The cluster's cloud settings: the file that Azure's Kubernetes components share, usually `/etc/kubernetes/azure.json`.
//!
//! Why it exists: it says where the cluster is, so a `StorageClass` need not. It is written for many components, so unknown
//! keys are none of our business; it may hold a secret, so nothing but the values named here is ever shown.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use figment::value::{Dict, Value};

use super::values::read_file;
use crate::app::problem::{Problem, Problems};
use crate::domain::error::quote;
use crate::domain::names::{Location, NetworkName, ResourceGroup};
use crate::domain::provisioning::Defaults;

/// Where the file is unless somebody says otherwise.
const DEFAULT_PATH: &str = "/etc/kubernetes/azure.json";

/// What the cloud settings file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudSettings {
    /// Defaults for new volumes: `location`, `resourceGroup`, `vnetName`, `vnetResourceGroup`, `subnetName`.
    pub defaults: Defaults,
}

/// Reads a file that somebody named, so it must be there. All problems are noted.
pub(super) fn read_named(path: &Path, named_by: &str, problems: &mut Problems) -> Option<CloudSettings> {
    let text = problems.note(read_file(path).map_err(|problem| problem.at(named_by)))?;
    parse(&text, path, problems)
}

/// Reads the file at its usual place; without it there are no cloud settings.
pub(super) fn read_default(problems: &mut Problems) -> Option<CloudSettings> {
    let path = Path::new(DEFAULT_PATH);
    if path.exists() { read_named(path, "cloud settings", problems) } else { Some(CloudSettings::default()) }
}

fn parse(text: &str, path: &Path, problems: &mut Problems) -> Option<CloudSettings> {
    let entries = problems.note(entries(text).map_err(|problem| problem.at(&path.display().to_string())))?;
    let mut reader = Reader { entries, path, problems };
    Some(CloudSettings {
        defaults: Defaults {
            location: reader.read("location", Location::parse),
            resource_group: reader.read("resourceGroup", ResourceGroup::parse),
            vnet_resource_group: reader.read("vnetResourceGroup", ResourceGroup::parse),
            vnet: reader.read("vnetName", NetworkName::parse),
            subnet: reader.read("subnetName", NetworkName::parse),
        },
    })
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

struct Reader<'a> {
    entries: BTreeMap<String, Value>,
    path: &'a Path,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    /// The value of a key; `None` if it is absent, null or empty, or with its problem noted.
    fn read<T, E: Display>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let value = self.entries.get(&key.to_lowercase()).filter(|value| !matches!(value, Value::Empty(..)))?;
        let text = value.as_str().ok_or_else(|| "not text".to_owned());
        let parsed = match text {
            Ok("") => return None,
            Ok(text) => parse(text).map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        let source = format!("{} in {}", quote(key), self.path.display());
        let hint = "correct the file; it is shared with Azure's other components of this cluster";
        self.problems.note(parsed.map_err(|rule| Problem::new(rule).with_hint(hint).at(&source)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AKS: &str = "{\n\t\"cloud\": \"AzurePublicCloud\",\n\t\"aadClientSecret\": \"geheim\",\n\t\"ResourceGroup\": \"MC_rg\",
        \"location\": \"eastus\", \"vnetName\": \"aks-vnet\", \"VNETRESOURCEGROUP\": \"\", \"subnetName\": null, \"x\": {\"y\": [1]}}";

    fn parsed(text: &str) -> (Option<CloudSettings>, Problems) {
        let mut problems = Problems::default();
        (parse(text, Path::new("azure.json"), &mut problems), problems)
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
