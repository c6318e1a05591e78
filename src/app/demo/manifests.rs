//! The manifests that the demo walks through: a `StorageClass`, a claim, and a pod or what makes pods.
//!
//! In a cluster, Kubernetes and external-provisioner turn these objects into CSI calls. The demo does the same with the
//! user's own files and refuses what they would refuse, so that a mistake shows before it meets a bill.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::objects::{self, Object};
use super::options::DemoOptions;
use super::quantity;
use super::storage::{Claim, Class, is_object_name};
use super::workload::{self, Workload};
use crate::app::command_error::CommandError;
use crate::domain::mount_options::MountOptions;
use crate::domain::text::quote;

/// What the manifests say, as far as a volume depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifests {
    pub class: String,
    /// The StorageClass's parameters without those that external-provisioner takes for itself.
    pub parameters: BTreeMap<String, String>,
    /// File system type that external-provisioner puts into each capability; usually empty.
    pub fs_type: String,
    pub mount_flags: Vec<String>,
    /// Whether Kubernetes would keep the volume when the claim goes.
    pub retain: bool,
    pub claim: String,
    pub namespace: String,
    pub access_modes: Vec<String>,
    /// `volumeMode: Block`, which the driver refuses.
    pub block: bool,
    pub bytes: i64,
    pub storage: String,
    /// Pods that use the volume: two, or one where the claim allows no second.
    pub pods: Vec<String>,
    pub mount_path: String,
    /// Whether kubelet asks for a read-only mount.
    pub read_only: bool,
    pub service_account: String,
}

macro_rules! example {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../deploy/examples/", $name)))
    };
}

impl Manifests {
    /// Reads the files, or the embedded examples of dynamic or static provisioning, and checks that they fit together.
    pub(super) fn load(options: &DemoOptions, driver_name: &str) -> Result<Self, CommandError> {
        let [class, claim, pod] = if options.static_volume {
            [
                example!("storageclass_existing_lustre.yaml"),
                example!("pvc_storageclass.yaml"),
                example!("pod_echo_date.yaml"),
            ]
        } else {
            [
                example!("storageclass_dynprov_lustre.yaml"),
                example!("pvc_storageclass_dynprov.yaml"),
                example!("pod_echo_date_dynprov.yaml"),
            ]
        };
        let workloads = from_file(&workload::KINDS, options.pod.as_deref(), pod)?;
        let workloads: Vec<Workload> = workloads.iter().map(Workload::new).collect();
        let brings_claims = workloads.iter().any(|workload| !workload.own_claims.is_empty());
        let claims = match (&options.claim, brings_claims) {
            (None, true) => Vec::new(),
            (file, _) => from_file(&["PersistentVolumeClaim"], file.as_deref(), claim)?,
        };
        let classes = from_file(&["StorageClass"], options.storage_class.as_deref(), class)?;
        Self::join(&classes, &claims, &workloads, driver_name)
    }

    /// Whether pods can only read: asked of kubelet, or by a mount option.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only || MountOptions::parse(&self.mount_flags).is_ok_and(|options| options.read_only)
    }

    fn join(
        classes: &[Object],
        claims: &[Object],
        workloads: &[Workload],
        driver_name: &str,
    ) -> Result<Self, CommandError> {
        let mut problems = Vec::new();
        let claims: Vec<Claim> = claims.iter().map(|object| read(&object.value)).collect();
        let used = VolumeUse::choose(workloads, &claims).map_err(|problem| objects::in_files(vec![problem]))?;
        let named: Vec<(&Object, Class)> = classes.iter().map(|object| (object, read(&object.value))).collect();
        let wanted = used.claim.class_name();
        let chosen = named.iter().find(|(_, class)| wanted.as_deref() == Some(class.metadata.name.as_str()));
        let default = || named.iter().find(|(_, class)| wanted.is_none() && class.is_default());
        let Some((object, class)) = chosen.or_else(default).or_else(|| named.first()) else {
            return Err(objects::in_files(vec!["no StorageClass is given".to_owned()]));
        };
        problems.extend(class.problems(driver_name).into_iter().map(|problem| format!("{}: {problem}", object.shown)));
        problems.extend(used.problems(class));
        problems
            .extend(used.workload.problems(driver_name).into_iter().map(|p| format!("{}: {p}", used.workload.shown)));
        let storage = used.claim.storage();
        let bytes = quantity::bytes(&storage).filter(|bytes| *bytes > 0);
        let Some(bytes) = bytes.filter(|_| problems.is_empty()) else {
            if bytes.is_none() {
                problems.push(format!("the claim's storage request {} is not a size such as 48Ti", quote(&storage)));
            }
            return Err(objects::in_files(problems));
        };
        Ok(used.manifests(class, bytes, storage))
    }
}

/// A claim and who uses it.
struct VolumeUse<'a> {
    workload: &'a Workload,
    claim: Claim,
    name: String,
    mount_path: String,
    read_only: bool,
    /// Whether each pod has a claim of its own, as those of a `StatefulSet` have.
    alone: bool,
}

impl<'a> VolumeUse<'a> {
    /// The first mount of a claim that is given, in any workload.
    fn choose(workloads: &'a [Workload], claims: &[Claim]) -> Result<Self, String> {
        let uses = workloads.iter().flat_map(|workload| workload.spec.mounts().map(move |mount| (workload, mount)));
        for (workload, mount) in uses {
            let volume = workload.spec.volumes.iter().find(|volume| volume.name == mount.name);
            let through = volume.and_then(|volume| workload.claim_of(volume));
            let through = through.or_else(|| Some((workload.claim_of_template(&mount.name)?, false)));
            let Some((name, read_only)) = through else { continue };
            let own = workload.own_claims.iter().find(|(own, _)| own == name);
            let claim = own.map(|(_, claim)| read(claim));
            let alone = claim.is_some();
            let Some(claim) = claim.or_else(|| claims.iter().find(|claim| claim.metadata.name == name).cloned()) else {
                continue;
            };
            let read_only = read_only || mount.read_only;
            return Ok(Self {
                workload,
                claim,
                name: name.to_owned(),
                mount_path: mount.mount_path.clone(),
                read_only,
                alone,
            });
        }
        let pods: Vec<String> = workloads.iter().map(|workload| quote(&workload.name)).collect();
        let claims: Vec<String> = claims.iter().map(|claim| quote(&claim.metadata.name)).collect();
        Err(format!("pod {} mounts no volume of the claim {}", pods.join(", "), claims.join(", ")))
    }

    fn namespace(&self) -> String {
        let namespace = self.claim.metadata.namespace.clone().filter(|_| !self.alone);
        namespace.or_else(|| self.workload.namespace.clone()).unwrap_or_else(|| "default".to_owned())
    }

    fn problems(&self, class: &Class) -> Vec<String> {
        let mut found = self.claim.problems(class);
        let own = self.workload.namespace.as_deref().unwrap_or("default");
        let of_claim = self.namespace();
        if own != of_claim {
            found.push(format!(
                "{} is in namespace {} and its claim in {}; a pod can only use claims of its own namespace",
                self.workload.shown,
                quote(own),
                quote(&of_claim)
            ));
        }
        let names = [("StorageClass", &class.metadata.name), ("claim", &self.name), ("pod", &self.workload.name)];
        let unfit = names.into_iter().filter(|(_, name)| !is_object_name(name));
        found.extend(unfit.map(|(what, name)| {
            format!("the {what}'s name {} is not a name that Kubernetes takes (a-z 0-9 - ., at most 253)", quote(name))
        }));
        found
    }

    fn manifests(self, class: &Class, bytes: i64, storage: String) -> Manifests {
        let one_pod = self.alone || self.claim.spec.access_modes.iter().any(|mode| mode == "ReadWriteOncePod");
        let pods = self.workload.pods.iter().take(if one_pod { 1 } else { 2 }).cloned().collect();
        Manifests {
            class: class.metadata.name.clone(),
            parameters: class.driver_parameters(),
            fs_type: class.fs_type(),
            mount_flags: class.mount_options.clone(),
            retain: class.reclaim_policy == "Retain",
            namespace: self.namespace(),
            access_modes: self.claim.spec.access_modes.clone(),
            block: self.claim.spec.volume_mode == "Block",
            bytes,
            storage,
            pods,
            service_account: self.workload.spec.account(),
            claim: self.name,
            mount_path: self.mount_path,
            read_only: self.read_only,
        }
    }
}

/// Reads a value that was held to its shape, so nothing is lost.
fn read<T: for<'de> Deserialize<'de> + Default>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

/// An example with the places that its reader has to fill, filled with a file system that the simulator has.
fn with_addresses(example: &str) -> String {
    example.replace("EXISTING_LUSTRE_IP_ADDRESS", "10.224.1.4").replace("EXISTING_LUSTRE_FS_NAME", "lustrefs")
}

fn from_file(kinds: &[&str], file: Option<&Path>, (name, embedded): (&str, &str)) -> Result<Vec<Object>, CommandError> {
    let (shown, text) = match file {
        None => (format!("deploy/examples/{name}"), with_addresses(embedded)),
        Some(path) => objects::read(path)?,
    };
    objects::of_kinds(kinds, &shown, &text)
}

#[cfg(test)]
mod tests;
