//! `StorageClass` and claim, and what Kubernetes, external-provisioner or the driver would refuse about them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::domain::text::{nearest, quote};

/// storage.k8s.io/v1 `StorageClass`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Class {
    pub metadata: Metadata,
    pub provisioner: String,
    pub parameters: BTreeMap<String, String>,
    pub mount_options: Vec<String>,
    pub reclaim_policy: String,
    pub volume_binding_mode: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub name: String,
    pub namespace: Option<String>,
    pub annotations: BTreeMap<String, String>,
}

/// v1 `PersistentVolumeClaim`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Claim {
    pub metadata: Metadata,
    pub spec: ClaimSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ClaimSpec {
    pub access_modes: Vec<String>,
    pub storage_class_name: Option<String>,
    pub volume_mode: String,
    pub volume_name: String,
    pub resources: Resources,
    pub selector: Option<Value>,
    pub data_source: Option<Value>,
    pub data_source_ref: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    pub requests: BTreeMap<String, Value>,
}

const MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];

/// Prefix that external-provisioner reserves in parameters.
const RESERVED: &str = "csi.storage.k8s.io/";
/// What it takes for itself under that prefix (`removePrefixedParameters` in its controller). Any other key there fails the
/// claim.
const TAKEN: [&str; 11] = [
    "fstype",
    "provisioner-secret-name",
    "provisioner-secret-namespace",
    "controller-publish-secret-name",
    "controller-publish-secret-namespace",
    "node-stage-secret-name",
    "node-stage-secret-namespace",
    "node-publish-secret-name",
    "node-publish-secret-namespace",
    "controller-expand-secret-name",
    "controller-expand-secret-namespace",
];

impl Class {
    /// The parameters that reach the driver: without those that external-provisioner takes for itself.
    pub(super) fn driver_parameters(&self) -> BTreeMap<String, String> {
        let kept = self.parameters.iter().filter(|(key, _)| taken(key).is_none());
        kept.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Whether claims without a class get this one.
    pub(super) fn is_default(&self) -> bool {
        self.metadata
            .annotations
            .get("storageclass.kubernetes.io/is-default-class")
            .is_some_and(|value| value == "true")
    }

    /// File system type that external-provisioner puts into each capability.
    pub(super) fn fs_type(&self) -> String {
        let given = self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case("csi.storage.k8s.io/fstype"));
        given.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// What Kubernetes, external-provisioner or the driver would refuse about it.
    pub(super) fn problems(&self, driver_name: &str) -> Vec<String> {
        let mut found = Vec::new();
        if self.provisioner != driver_name {
            found.push(format!("the StorageClass's provisioner is `{}`, not `{driver_name}`", self.provisioner));
        }
        found.extend(one_of("reclaimPolicy", &self.reclaim_policy, &["Delete", "Retain"]));
        found.extend(one_of("volumeBindingMode", &self.volume_binding_mode, &["Immediate", "WaitForFirstConsumer"]));
        for key in self.parameters.keys() {
            match (reserved(key), taken(key)) {
                (Some(_), None) => {
                    let known = TAKEN.map(|known| format!("{RESERVED}{known}"));
                    let hint =
                        nearest(key, known.iter().map(String::as_str)).map(|near| format!("; did you mean {near}?"));
                    found.push(format!(
                        "parameters.{key}: external-provisioner refuses unknown keys with {RESERVED}{}",
                        hint.unwrap_or_default()
                    ));
                }
                (_, Some(own)) if own.starts_with("provisioner-secret") => {
                    found.push(format!("parameters.{key}: this driver refuses secrets; leave it out"));
                }
                _ => {}
            }
        }
        found
    }
}

impl Claim {
    /// The class that it asks for; none means the cluster's default class.
    pub(super) fn class_name(&self) -> Option<String> {
        let annotation = self.metadata.annotations.get("volume.beta.kubernetes.io/storage-class");
        annotation.or(self.spec.storage_class_name.as_ref()).cloned()
    }

    /// Its storage request as it stands there.
    pub(super) fn storage(&self) -> String {
        match self.spec.resources.requests.get("storage") {
            Some(Value::String(text)) => text.clone(),
            Some(number) => number.to_string(),
            None => String::new(),
        }
    }

    /// What Kubernetes or external-provisioner would refuse about it, given the class that is there.
    pub(super) fn problems(&self, class: &Class) -> Vec<String> {
        let mut found = Vec::new();
        let name = &class.metadata.name;
        match self.class_name() {
            Some(other) if other == *name => {}
            None if class.is_default() => {}
            Some(other) => found.push(format!("the claim's storageClassName is `{other}`, not `{name}`")),
            None => found.push(format!(
                "the claim has no storageClassName, and StorageClass `{name}` is not marked as the default one"
            )),
        }
        let modes = &self.spec.access_modes;
        if modes.is_empty() {
            found.push(format!("the claim has no accessModes; give one of {}", MODES.join(", ")));
        }
        found.extend(modes.iter().filter_map(|mode| one_of("the claim's access mode", mode, &MODES)));
        if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
            found.push("the claim's ReadWriteOncePod cannot stand beside other access modes".to_owned());
        }
        found.extend(one_of("the claim's volumeMode", &self.spec.volume_mode, &["Filesystem", "Block"]));
        let spec = &self.spec;
        let unsupported = [
            ("selector", spec.selector.is_some()),
            ("dataSource", spec.data_source.is_some() || spec.data_source_ref.is_some()),
            ("volumeName", !spec.volume_name.is_empty()),
        ];
        let unsupported = unsupported.into_iter().filter(|(_, given)| *given);
        found.extend(unsupported.map(|(field, _)| {
            format!("the claim's {field} asks for a volume that exists, and none is created; leave it out")
        }));
        found
    }
}

/// A word that must be one of these, or absent.
fn one_of(what: &str, found: &str, words: &[&str]) -> Option<String> {
    let fits = found.is_empty() || words.contains(&found);
    let hint =
        || nearest(found, words.iter().copied()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    (!fits).then(|| format!("{what} is {}, not one of {}{}", quote(found), words.join(", "), hint()))
}

/// The rest of a key that external-provisioner reserves.
fn reserved(key: &str) -> Option<&str> {
    let (start, rest) = key.split_at_checked(RESERVED.len())?;
    start.eq_ignore_ascii_case(RESERVED).then_some(rest)
}

/// The key that external-provisioner takes for itself.
fn taken(key: &str) -> Option<&'static str> {
    let rest = reserved(key)?;
    TAKEN.into_iter().find(|known| known.eq_ignore_ascii_case(rest))
}

/// A DNS subdomain of RFC 1123, which names of most objects are.
pub(super) fn is_object_name(name: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let label = |label: &str| {
        label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && alphanumeric(label.as_bytes().first())
            && alphanumeric(label.as_bytes().last())
    };
    (1..=253).contains(&name.len()) && name.split('.').all(label)
}
