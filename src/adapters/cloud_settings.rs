//! The cluster's cloud settings: the file that Azure's Kubernetes components share, usually `/etc/kubernetes/azure.json`.
//! <https://cloud-provider-azure.sigs.k8s.io/install/configs/>
//!
//! It has the region and network of the cluster, so that a `StorageClass` need not. It is written for many components, so
//! unknown keys are ignored; it may hold a secret, so only the values named here are ever shown. Where it is absent or
//! incomplete the driver runs without Azure, for static volumes; only a file that cannot be parsed, or a wrong value in it,
//! ends the start.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Display, Path, PathBuf};

use figment::value::{Dict, Value};

use crate::domain::go_bool::go_bool;
use crate::domain::names::{Location, NetworkName, ResourceGroup};
use crate::domain::placement::Placement;
use crate::domain::problem::{Problem, Problems};
use crate::domain::text::quote;

/// Where the file is unless a flag or variable names another one.
const DEFAULT_PATH: &str = "/etc/kubernetes/azure.json";

/// A value in effect and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveValue {
    /// The setting.
    pub key: &'static str,
    /// Its value as text.
    pub value: String,
    /// Where it came from: `default`, a flag, a variable, a key of a file.
    pub source: String,
}

/// How the credential for Azure is selected (`--auth`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialSelection {
    /// By the cloud settings and the variables.
    Auto,
    /// Always the Azure CLI's.
    AzureCli,
}

/// Variables of the process. `Debug` shows their names only, since a value may be a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// From names and values. An empty value counts as absent.
    pub fn new(variables: Vec<(String, String)>) -> Self {
        Self(variables)
    }

    /// The value of a variable that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// The path of the file, and what named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudFile {
    /// Its path.
    pub path: PathBuf,
    /// A flag, a variable or `default`.
    pub named_by: String,
}

impl CloudFile {
    /// The file at its default path.
    pub fn usual() -> Self {
        Self { path: DEFAULT_PATH.into(), named_by: "default".to_owned() }
    }
}

/// The values of a cloud settings file and of the variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<T> {
    /// Defaults for new volumes: `location`, `resourceGroup`, `vnetName`, `vnetResourceGroup`, `subnetName`.
    pub defaults: Placement,
    /// The settings of the cloud's adapter; `None` where something is missing.
    pub cloud: Option<T>,
    /// What is missing for the cloud's adapter: the file, or values in it.
    pub missing: Vec<Problem>,
    /// Every value in effect and its source; no secret is among them.
    pub effective_values: Vec<EffectiveValue>,
}

/// Reads the file; `cloud` reads the settings of the cloud's adapter. A file that is absent or cannot be read is a problem if
/// it is `required`, and otherwise counts as empty; everything wrong in it is a problem.
pub fn read<T>(
    file: &CloudFile,
    required: bool,
    cloud: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    problems: &mut Problems,
) -> Option<Document<T>> {
    match read_file(&file.path) {
        Ok(text) => parse(&text, file, cloud, problems),
        Err(problem) if required => {
            problems.push(problem.at(&file.named_by));
            None
        }
        Err(problem) => {
            let mut document = parse("{}", file, cloud, problems)?;
            // Variables alone may be sufficient.
            if !document.missing.is_empty() {
                document.missing.insert(0, problem.at("cloud settings"));
            }
            Some(document)
        }
    }
}

fn parse<T>(
    text: &str,
    file: &CloudFile,
    cloud: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    problems: &mut Problems,
) -> Option<Document<T>> {
    let entries = problems.note(entries(text).map_err(|problem| problem.at(&file.path.display().to_string())))?;
    let mut reader = Reader { entries, path: &file.path, problems, missing: Vec::new(), effective_values: Vec::new() };
    reader.show("file", file.path.display(), file.named_by.clone());
    let cloud = cloud(&mut reader);
    let defaults = Placement {
        location: reader.shown("location", Location::parse),
        resource_group: reader.shown("resourceGroup", ResourceGroup::parse),
        vnet_resource_group: reader.shown("vnetResourceGroup", ResourceGroup::parse),
        vnet: reader.shown("vnetName", NetworkName::parse),
        subnet: reader.shown("subnetName", NetworkName::parse),
    };
    let Reader { missing, effective_values, .. } = reader;
    let cloud = cloud.filter(|_| missing.is_empty());
    Some(Document { defaults, cloud, missing, effective_values })
}

/// The document's keys, in lower case, and values. JSON is parsed as YAML, of which it is a subset.
fn entries(text: &str) -> Result<BTreeMap<String, Value>, Problem> {
    let options = serde_saphyr::options! { with_snippet: false };
    let document: Dict = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        if is_base64(text) {
            return Problem::new("the content is base64, not JSON or YAML").with_hint(
                "decode it (`base64 -d`); in a Secret, give the text as `stringData` or encode it only once",
            );
        }
        // The parser's own message may quote the text, and with it a secret.
        let place =
            error.location().map(|at| format!(" (line {}, column {})", at.line(), at.column())).unwrap_or_default();
        Problem::new(format!("neither JSON nor YAML with keys and values{place}"))
            .with_hint("correct the file, or name another one")
    })?;
    Ok(document.into_iter().map(|(key, value)| (key.to_lowercase(), value)).collect())
}

/// Whether a text is base64 and nothing else: no document of keys and values is, and one in a Secret is easily encoded twice.
fn is_base64(text: &str) -> bool {
    let plain: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digits = plain.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let (body, padding) = plain.split_at(digits);
    plain.len() >= 16
        && plain.len().is_multiple_of(4)
        && padding.len() <= 2
        && body.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte))
}

/// Reads values of the document and collects what is wrong or missing.
#[derive(Debug)]
pub struct Reader<'a> {
    entries: BTreeMap<String, Value>,
    path: &'a Path,
    /// What is wrong so far.
    pub problems: &'a mut Problems,
    missing: Vec<Problem>,
    effective_values: Vec<EffectiveValue>,
}

impl Reader<'_> {
    /// The value of a key; `None` if it is absent, null or empty, or if it is wrong, which is reported.
    pub fn read<T, E: fmt::Display>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let value = self.entries.get(&key.to_lowercase()).filter(|value| !matches!(value, Value::Empty(..)))?;
        let parsed = match value.as_str().map(str::trim) {
            Some("") => return None,
            Some(text) => parse(text).map_err(|error| error.to_string()),
            None => Err("not text".to_owned()),
        };
        self.note(key, parsed)
    }

    /// Like [`Reader::read`], for a value that is no secret: it is added to the list of values in effect.
    pub fn shown<T: fmt::Display, E: fmt::Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.read(key, parse)?;
        let source = self.source(key);
        self.show(key, &value, source);
        Some(value)
    }

    /// Any text that is no secret, added to the list too.
    pub fn shown_text(&mut self, key: &'static str) -> Option<String> {
        self.shown(key, |text| Ok::<_, String>(text.to_owned()))
    }

    /// Adds to the list of values in effect.
    pub fn show(&mut self, key: &'static str, value: impl fmt::Display, source: String) {
        self.effective_values.push(EffectiveValue { key, value: value.to_string(), source });
    }

    /// A key of the file as a source.
    pub fn source(&self, key: &str) -> String {
        format!("{} in {}", quote(key), self.path.display())
    }

    /// Any text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.read(key, |text| Ok::<_, String>(text.to_owned()))
    }

    /// A boolean, as such or as text; absent, null and empty are false.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
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

    /// Reports a missing value without which the cloud cannot be used.
    pub fn missing<T>(&mut self, message: impl Into<String>, hint: impl Into<String>) -> Option<T> {
        self.missing.push(Problem::new(message).with_hint(hint));
        None
    }

    /// The path of the file, for messages.
    pub fn path(&self) -> Display<'_> {
        self.path.display()
    }

    fn note<T>(&mut self, key: &str, result: Result<T, String>) -> Option<T> {
        let source = self.source(key);
        let hint = "correct the file; it is shared with Azure's other components of this cluster";
        self.problems.note(result.map_err(|rule| Problem::new(rule).with_hint(hint).at(&source)))
    }
}

/// The text of a file that a setting names.
pub fn read_file(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// Why a file that a setting names cannot be read, and what to do about it.
pub fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => "correct the path, or mount the file into the container",
        std::io::ErrorKind::PermissionDenied => "let the driver's user read it",
        std::io::ErrorKind::InvalidData => "write it in UTF-8",
        _ => "name a readable file",
    };
    Problem::new(format!("{}: {error}", quote(&path.to_string_lossy()))).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AKS: &str = "{\n\t\"cloud\": \"AzurePublicCloud\",\n\t\"aadClientSecret\": \"geheim\",\n\t\"ResourceGroup\": \"MC_rg\",
        \"location\": \"eastus\", \"vnetName\": \"aks-vnet\", \"VNETRESOURCEGROUP\": \"\", \"subnetName\": null, \"x\": {\"y\": [1]}}";

    fn parsed(text: &str) -> (Option<Document<()>>, Problems) {
        let mut problems = Problems::default();
        let file = CloudFile { path: "azure.json".into(), named_by: "test".to_owned() };
        (parse(text, &file, |_| None, &mut problems), problems)
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
    fn all_bad_values_are_reported() {
        let (_, problems) = parsed("location: a/b\nresourceGroup: 5\nvnetName: ../x\n");
        let reported: Vec<String> = problems.as_slice().iter().map(ToString::to_string).collect();
        assert_eq!(reported.len(), 3, "{reported:#?}");
        assert!(reported[0].contains("`location` in azure.json: `a/b` is not an Azure region"), "{reported:#?}");
    }

    #[test]
    fn base64_is_reported_as_what_it_is() {
        let encoded = "ewoJImNsb3VkIjogIkF6dXJlUHVibGljQ2xvdWQiLAoJInN1YnNjcmlwdGlvbklkIjogInMiCn0K";
        let wrapped = encoded.as_bytes().chunks(20).map(|line| str::from_utf8(line).unwrap()).collect::<Vec<_>>();
        for text in
            [encoded.to_owned(), format!("{encoded}\n"), wrapped.join("\n"), "bG9jYXRpb246IGVhc3R1czI=".to_owned()]
        {
            let (_, problems) = parsed(&text);
            let reported: Vec<String> = problems.as_slice().iter().map(|problem| format!("{problem:#}")).collect();
            assert_eq!(reported.len(), 1, "{reported:?}");
            assert!(reported[0].contains("base64") && reported[0].contains("decode it"), "{reported:?}");
        }
        for other in ["location", "abc", "thisisnobase64text", "aadClientSecret:geheim=="] {
            assert!(!is_base64(other), "{other}");
        }
    }

    #[test]
    fn values_in_effect_have_a_source_and_no_secret() {
        let effective_values = parsed(AKS).0.unwrap().effective_values;
        let lines: Vec<String> =
            effective_values.iter().map(|o| format!("{} {} {}", o.key, o.value, o.source)).collect();
        let expected = [
            "file azure.json test",
            "location eastus `location` in azure.json",
            "resourceGroup MC_rg `resourceGroup` in azure.json",
            "vnetName aks-vnet `vnetName` in azure.json",
        ];
        assert_eq!(lines, expected);
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
            let reported = problems.as_slice()[0].to_string();
            assert!(reported.contains("neither JSON nor YAML") && !reported.contains("geheim"), "{reported}");
        }
    }
}
