//! The manifests that the demo walks through: a `StorageClass`, a claim, a pod.
//!
//! Why it exists: in a cluster, Kubernetes and external-provisioner turn these objects into CSI calls. The demo does the
//! same with the user's own files, so that a mistake in them shows before they meet a bill.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::DemoError;
use super::quantity;
use crate::app::cli::DemoOptions;

/// What the three manifests say, as far as a volume depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifests {
    pub class: String,
    pub parameters: BTreeMap<String, String>,
    pub mount_flags: Vec<String>,
    pub claim: String,
    pub namespace: String,
    pub access_modes: Vec<String>,
    pub bytes: i64,
    pub storage: String,
    pub pod: String,
    pub mount_path: String,
    pub service_account: String,
}

/// Any Kubernetes object, with the fields that matter here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Object {
    kind: String,
    metadata: Metadata,
    provisioner: String,
    parameters: BTreeMap<String, String>,
    mount_options: Vec<String>,
    spec: Spec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    access_modes: Vec<String>,
    storage_class_name: String,
    resources: Resources,
    containers: Vec<Container>,
    volumes: Vec<PodVolume>,
    service_account_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Resources {
    requests: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    volume_mounts: Vec<VolumeMount>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct VolumeMount {
    name: String,
    mount_path: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodVolume {
    name: String,
    persistent_volume_claim: Option<ClaimSource>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSource {
    claim_name: String,
}

macro_rules! example {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../deploy/examples/", $name)))
    };
}

impl Manifests {
    /// Reads the files, or the embedded examples of dynamic or static provisioning, and checks that they fit together.
    pub(super) fn load(options: &DemoOptions, driver_name: &str) -> Result<Self, DemoError> {
        let [class, claim, pod] = if options.static_volume {
            [example!("storageclass-static.yaml"), example!("pvc-static.yaml"), example!("pod-static.yaml")]
        } else {
            [example!("storageclass-dynamic.yaml"), example!("pvc-dynamic.yaml"), example!("pod-dynamic.yaml")]
        };
        let class = object("StorageClass", options.storage_class.as_deref(), class)?;
        let claim = object("PersistentVolumeClaim", options.claim.as_deref(), claim)?;
        let pod = object("Pod", options.pod.as_deref(), pod)?;
        Self::join(class, claim, pod, driver_name)
    }

    fn join(class: Object, claim: Object, pod: Object, driver_name: &str) -> Result<Self, DemoError> {
        expect("the StorageClass's provisioner", &class.provisioner, driver_name)?;
        expect("the claim's storageClassName", &claim.spec.storage_class_name, &class.metadata.name)?;
        let storage = claim.spec.resources.requests.get("storage").cloned().unwrap_or_default();
        let bytes = quantity::bytes(&storage)
            .ok_or_else(|| unfit(format!("the claim's storage request `{storage}` is no size such as 48Ti")))?;
        let mount_path = mount_path(&pod, &claim.metadata.name)?;
        Ok(Self {
            class: class.metadata.name,
            parameters: class.parameters,
            mount_flags: class.mount_options,
            claim: claim.metadata.name,
            namespace: claim.metadata.namespace.unwrap_or_else(|| "default".to_owned()),
            access_modes: claim.spec.access_modes,
            bytes,
            storage,
            pod: pod.metadata.name,
            mount_path,
            service_account: pod.spec.service_account_name.unwrap_or_else(|| "default".to_owned()),
        })
    }
}

/// A mistake in the files.
fn unfit(message: String) -> DemoError {
    DemoError::usage(message, "give the three files that belong together, or none to see the examples")
}

fn expect(what: &str, found: &str, wanted: &str) -> Result<(), DemoError> {
    if found == wanted {
        return Ok(());
    }
    Err(unfit(format!("{what} is `{found}`, not `{wanted}`")))
}

fn mount_path(pod: &Object, claim: &str) -> Result<String, DemoError> {
    let uses =
        |volume: &&PodVolume| volume.persistent_volume_claim.as_ref().is_some_and(|source| source.claim_name == claim);
    let volume = pod.spec.volumes.iter().find(uses);
    let mounts = pod.spec.containers.iter().flat_map(|container| &container.volume_mounts);
    let mount = volume.and_then(|volume| mounts.into_iter().find(|mount| mount.name == volume.name));
    let missing = || unfit(format!("pod `{}` mounts no volume of the claim `{claim}`", pod.metadata.name));
    mount.map(|mount| mount.mount_path.clone()).ok_or_else(missing)
}

fn object(kind: &str, file: Option<&Path>, (name, embedded): (&str, &str)) -> Result<Object, DemoError> {
    let (shown, text) = match file {
        None => (format!("deploy/examples/{name}"), embedded.to_owned()),
        Some(path) => {
            let text = std::fs::read_to_string(path);
            (path.display().to_string(), text.map_err(|error| unfit(format!("{}: {error}", path.display())))?)
        }
    };
    let objects: Vec<Object> =
        serde_saphyr::from_multiple(&text).map_err(|error| unfit(format!("{shown}: {error}")))?;
    let found = objects.into_iter().find(|object| object.kind == kind);
    found.ok_or_else(|| unfit(format!("{shown} holds no {kind}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRIVER: &str = "azurelustre.csi.azure.com";

    fn refused(options: &DemoOptions) -> String {
        Manifests::load(options, DRIVER).unwrap_err().0.to_string()
    }

    #[test]
    fn both_examples_fit_together() {
        let dynamic = Manifests::load(&DemoOptions::default(), DRIVER).unwrap();
        assert_eq!((dynamic.claim.as_str(), dynamic.bytes), ("pvc-lustre-dynprov", 48 << 40));
        assert!(dynamic.parameters.contains_key("resource-group"));
        assert_eq!(dynamic.mount_path, "/mnt/lustre");
        let existing = DemoOptions { static_volume: true, ..DemoOptions::default() };
        assert!(Manifests::load(&existing, DRIVER).unwrap().parameters.contains_key("mgs-ip-address"));
    }

    #[test]
    fn files_that_do_not_belong_together_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let claim = folder.path().join("claim.yaml");
        std::fs::write(&claim, "kind: PersistentVolumeClaim\nmetadata: {name: c}\nspec: {storageClassName: other}\n")
            .unwrap();
        let told = refused(&DemoOptions { claim: Some(claim), ..DemoOptions::default() });
        assert!(told.contains("storageClassName is `other`"), "{told}");
        let told = refused(&DemoOptions { pod: Some("/does/not/exist".into()), ..DemoOptions::default() });
        assert!(told.contains("/does/not/exist"), "{told}");
        assert!(Manifests::load(&DemoOptions::default(), "other").is_err());
    }
}
