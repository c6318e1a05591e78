//! `check-objects`: StorageClasses and PersistentVolumes by the rules that CreateVolume and NodePublishVolume apply.
//!
//! For taking over a cluster from another driver, and for manifests in a repository: what would be refused shows before
//! anything depends on it. Neither Azure nor a cluster is asked.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::{CheckObjectsOptions, CommandError, Exit};
use crate::domain::access::{AccessMode, AccessType, Capability};
use crate::domain::capacity::RequestedCapacity;
use crate::domain::mount::{MountPlan, PublishRequest};
use crate::domain::names::{Location, NetworkName, ResourceGroup};
use crate::domain::parameters;
use crate::domain::placement::Placement;
use crate::domain::problem::Problem;
use crate::domain::problem::{Notice, Severity};
use crate::domain::provisioning::{ProvisionPlan, RequestError, VolumeRequest};
use crate::domain::text::quote;
use crate::domain::volume_attributes::UnknownAttributes;
use crate::domain::volume_id::{Origin, VolumeId};

/// Prefix of what external-provisioner takes from the parameters for itself; the driver never sees it.
const PROVISIONER: &str = "csi.storage.k8s.io/";
/// A name as external-provisioner makes it.
const VOLUME: &str = "pvc-00000000-0000-0000-0000-000000000000";
/// What kubelet (`podInfoOnMount`) and external-provisioner (`--extra-create-metadata`) add.
const OF_POD: [(&str, &str); 5] = [
    ("csi.storage.k8s.io/pod.name", "pod"),
    ("csi.storage.k8s.io/pod.namespace", "default"),
    ("csi.storage.k8s.io/pod.uid", "00000000-0000-0000-0000-000000000000"),
    ("csi.storage.k8s.io/serviceAccount.name", "default"),
    ("csi.storage.k8s.io/ephemeral", "false"),
];
const OF_CLAIM: [(&str, &str); 3] = [
    ("csi.storage.k8s.io/pvc/name", "claim"),
    ("csi.storage.k8s.io/pvc/namespace", "default"),
    ("csi.storage.k8s.io/pv/name", VOLUME),
];

/// `storage.k8s.io/v1` StorageClass and `v1` PersistentVolume, as far as the driver depends on them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Object {
    parameters: BTreeMap<String, String>,
    mount_options: Vec<String>,
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    access_modes: Vec<String>,
    volume_mode: String,
    mount_options: Vec<String>,
    csi: CsiSource,
}

/// `CSIPersistentVolumeSource`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CsiSource {
    volume_handle: String,
    read_only: bool,
    volume_attributes: BTreeMap<String, String>,
}

/// What was found, over all objects.
#[derive(Debug, Default)]
struct Findings {
    checked: usize,
    refused: Vec<Problem>,
    warnings: Vec<String>,
}

/// Checks every object of the files: the number of those checked, or what would be refused, each with what to do.
pub(super) fn check(options: &CheckObjectsOptions) -> Result<String, CommandError> {
    let mut findings = Findings::default();
    for file in &options.files {
        for document in documents(file)? {
            findings.take(document, &options.drivername);
        }
    }
    for warning in &findings.warnings {
        // The exit code counts, whether or not anybody reads this.
        drop(writeln!(std::io::stderr(), "warning: {warning}"));
    }
    if findings.refused.is_empty() {
        return Ok(format!("{} objects checked, none would be refused\n", findings.checked));
    }
    Err(CommandError::new(Exit::Failure, findings.refused))
}

fn documents(file: &str) -> Result<Vec<Value>, CommandError> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().lock().read_to_string(&mut text).map(drop),
        path => std::fs::read_to_string(path).map(|content| text = content),
    };
    let usage = |error: &dyn std::fmt::Display| CommandError::usage(Problem::new(format!("{}: {error}", quote(file))));
    read.map_err(|error| usage(&error))?;
    // The YAML parser limits the size of what it takes; a cluster's list may have tens of thousands of objects.
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text).map(|document| vec![document]).map_err(|error| usage(&error));
    }
    serde_saphyr::from_multiple(&text).map_err(|error| usage(&error))
}

impl Findings {
    /// Takes one object, or those of a list. What belongs to another driver is passed over, whatever it holds.
    fn take(&mut self, mut document: Value, driver: &str) {
        if let Some(Value::Array(items)) = document.get_mut("items").map(Value::take) {
            return items.into_iter().for_each(|item| self.take(item, driver));
        }
        let text = |path: &str| document.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        let owner = match kind.as_str() {
            "StorageClass" => text("/provisioner"),
            "PersistentVolume" => text("/spec/csi/driver"),
            _ => return,
        };
        if owner != driver {
            return;
        }
        self.checked += 1;
        let shown = format!("{kind} {name}");
        match serde_json::from_value::<Object>(without_nulls(document)) {
            Ok(class) if kind == "StorageClass" => self.class(&shown, &class),
            Ok(volume) => self.volume(&shown, &name, &volume),
            Err(error) => {
                let problem = Problem::new(format!("{shown}: {error}"));
                self.refused.push(problem.with_hint("put numbers and words such as true, yes and on between quotes"));
            }
        }
    }

    fn class(&mut self, shown: &str, class: &Object) {
        let ours = class.parameters.iter().filter(|(key, _)| !key.starts_with(PROVISIONER));
        let parameters = ours.map(|(key, value)| (key.clone(), value.clone())).chain(owned(&OF_CLAIM)).collect();
        self.notices(shown, &parameters::notices(&parameters));
        let capabilities = vec![capability(Some(AccessMode::MultiNodeMultiWriter), &class.mount_options, "")];
        let request =
            VolumeRequest { name: VOLUME.to_owned(), capacity: RequestedCapacity::default(), capabilities, parameters };
        let refusal = match ProvisionPlan::parse(&request, &cloud_settings()) {
            Ok(_) => return,
            Err(RequestError::Invalid(problems)) => problems.to_string(),
            Err(other) => other.to_string(),
        };
        let hint =
            "create a corrected StorageClass under a new name and use it for new claims; a class cannot be changed";
        self.refused.push(Problem::new(format!("{shown}: {refusal}")).with_hint(hint));
    }

    fn volume(&mut self, shown: &str, name: &str, volume: &Object) {
        let source = &volume.spec.csi;
        // kubelet sends the first of a volume's access modes.
        let mode = volume.spec.access_modes.first().and_then(|mode| access_mode(mode));
        let target = format!("/var/lib/kubelet/pods/{}/volumes/kubernetes.io~csi/{}/mount", OF_POD[2].1, name);
        let request = PublishRequest {
            volume_id: source.volume_handle.clone(),
            target: PathBuf::from(target),
            capability: capability(mode, &volume.spec.mount_options, &volume.spec.volume_mode),
            read_only: source.read_only,
            context: source.volume_attributes.clone().into_iter().chain(owned(&OF_POD)).collect(),
        };
        match MountPlan::parse(&request, UnknownAttributes::Refuse) {
            Ok((_, notices)) => self.notices(shown, &notices),
            Err(problems) => {
                let hint = "volumeAttributes cannot be changed: make a corrected PersistentVolume (with reclaim policy Retain \
                            on the old one), or start nodes with --unknown-volume-attributes=warn";
                self.refused.push(Problem::new(format!("{shown}: {problems}")).with_hint(hint));
            }
        }
        self.deletion(shown, &source.volume_handle);
    }

    fn notices(&mut self, shown: &str, notices: &[Notice]) {
        let warnings = notices.iter().filter(|notice| notice.severity == Severity::Warning);
        self.warnings.extend(warnings.map(|notice| format!("{shown}: {notice}")));
    }

    /// An id that says `t` without a resource group cannot be deleted by the driver.
    fn deletion(&mut self, shown: &str, handle: &str) {
        let created = VolumeId::parse(handle).filter(|id| id.origin == Origin::Dynamic);
        if created.is_some_and(|id| id.resource_group.is_empty()) {
            self.warnings.push(format!(
                "{shown}: the volume id names no resource group, so the driver cannot delete the file system; delete it in Azure"
            ));
        }
    }
}

/// Kubernetes prints absent fields as null in places.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn capability(mode: Option<AccessMode>, flags: &[String], volume_mode: &str) -> Capability {
    let mount = AccessType::Mount { flags: flags.to_vec() };
    Capability { access: Some(if volume_mode == "Block" { AccessType::Block } else { mount }), mode }
}

/// As kubelet translates `spec.accessModes` for a driver with `SINGLE_NODE_MULTI_WRITER`.
fn access_mode(mode: &str) -> Option<AccessMode> {
    match mode {
        "ReadWriteOnce" => Some(AccessMode::SingleNodeMultiWriter),
        "ReadOnlyMany" => Some(AccessMode::MultiNodeReaderOnly),
        "ReadWriteMany" => Some(AccessMode::MultiNodeMultiWriter),
        "ReadWriteOncePod" => Some(AccessMode::SingleNodeSingleWriter),
        _ => None,
    }
}

/// Stands for the cluster's cloud settings, which may give what a class leaves out.
fn cloud_settings() -> Placement {
    let network = || NetworkName::parse("network").ok();
    Placement {
        location: Location::parse("eastus").ok(),
        resource_group: ResourceGroup::parse("group").ok(),
        vnet_resource_group: None,
        vnet: network(),
        subnet: network(),
    }
}

#[cfg(test)]
mod tests;
