//! Pods and what makes pods, as far as their volumes go.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::objects::Object;
use crate::domain::text::quote;

/// Kinds of workloads.
pub(super) const KINDS: [&str; 7] = ["Pod", "Deployment", "ReplicaSet", "DaemonSet", "StatefulSet", "Job", "CronJob"];

/// A workload with its pod template.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    /// The object, for messages.
    pub shown: String,
    /// Its name.
    pub name: String,
    /// Its namespace, if it says.
    pub namespace: Option<String>,
    /// Names of the two pods of the demo.
    pub pods: [String; 2],
    /// What a pod consists of.
    pub spec: PodSpec,
    /// Claims that it brings itself, under the names that Kubernetes gives those of its first pod.
    pub own_claims: Vec<(String, Value)>,
    kind: String,
    labels: BTreeMap<String, String>,
    selector: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    pub volumes: Vec<PodVolume>,
    service_account_name: Option<String>,
    service_account: Option<String>,
    restart_policy: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    name: String,
    image: String,
    volume_mounts: Vec<VolumeMount>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct VolumeMount {
    pub name: String,
    pub mount_path: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodVolume {
    pub name: String,
    pub persistent_volume_claim: Option<ClaimSource>,
    ephemeral: Option<Ephemeral>,
    csi: Option<Inline>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ClaimSource {
    pub claim_name: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ephemeral {
    volume_claim_template: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Inline {
    driver: String,
}

impl PodSpec {
    /// The service account that the pods run as.
    pub(super) fn account(&self) -> String {
        let given = self.service_account_name.clone().or_else(|| self.service_account.clone());
        given.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())
    }

    /// All places where containers mount volumes.
    pub(super) fn mounts(&self) -> impl Iterator<Item = &VolumeMount> {
        self.all_containers().flat_map(|container| &container.volume_mounts)
    }

    fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().chain(&self.init_containers)
    }
}

impl Workload {
    /// Reads an object that was held to the shape of its kind.
    pub(super) fn new(object: &Object) -> Self {
        let at = |path: &str| object.value.pointer(path).cloned().unwrap_or_default();
        let text = |path: &str| at(path).as_str().map(str::to_owned);
        let map = |value: Value| serde_json::from_value::<BTreeMap<String, String>>(value).unwrap_or_default();
        let template = match object.kind.as_str() {
            "Pod" => "",
            "CronJob" => "/spec/jobTemplate/spec/template",
            _ => "/spec/template",
        };
        let name = text("/metadata/name").unwrap_or_default();
        let spec: PodSpec = serde_json::from_value(at(&format!("{template}/spec"))).unwrap_or_default();
        let pods = match object.kind.as_str() {
            "Pod" => [name.clone(), format!("{name}-2")],
            _ => [format!("{name}-0"), format!("{name}-1")],
        };
        let templates = at("/spec/volumeClaimTemplates").as_array().cloned().unwrap_or_default();
        // Kubernetes names a claim of a StatefulSet after template and pod, one of an ephemeral volume after pod and volume.
        let of_set = templates.into_iter().map(|claim| {
            let template = claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
            (format!("{template}-{}", pods[0]), claim)
        });
        let ephemeral = spec.volumes.iter().filter_map(|volume| {
            let claim = volume.ephemeral.as_ref()?.volume_claim_template.clone();
            Some((format!("{}-{}", pods[0], volume.name), claim))
        });
        Self {
            own_claims: of_set.chain(ephemeral).collect(),
            shown: object.shown.clone(),
            namespace: text("/metadata/namespace"),
            labels: map(at(&format!("{template}/metadata/labels"))),
            selector: object.value.pointer("/spec/selector").map(|_| map(at("/spec/selector/matchLabels"))),
            kind: object.kind.clone(),
            name,
            pods,
            spec,
        }
    }

    /// The claim that a volume of the pods stands for, and whether the volume is read-only.
    pub(super) fn claim_of<'a>(&'a self, volume: &'a PodVolume) -> Option<(&'a str, bool)> {
        if let Some(source) = &volume.persistent_volume_claim {
            return Some((&source.claim_name, source.read_only));
        }
        let own = format!("{}-{}", self.pods[0], volume.name);
        volume.ephemeral.as_ref()?;
        self.own_claims.iter().find(|(name, _)| *name == own).map(|(name, _)| (name.as_str(), false))
    }

    /// The claim of this template of a `StatefulSet`.
    pub(super) fn claim_of_template(&self, template: &str) -> Option<&str> {
        let name = format!("{template}-{}", self.pods[0]);
        let is_set = self.kind == "StatefulSet";
        self.own_claims.iter().find(|(own, _)| is_set && *own == name).map(|(own, _)| own.as_str())
    }

    /// What Kubernetes or the driver would refuse about it.
    pub(super) fn problems(&self, driver_name: &str) -> Vec<String> {
        let mut found = Vec::new();
        if self.spec.containers.is_empty() {
            found.push("it has no containers".to_owned());
        }
        for container in self.spec.all_containers() {
            if container.name.is_empty() || container.image.is_empty() {
                found.push(format!("container {} needs a name and an image", quote(&container.name)));
            }
            found.extend(self.problems_of_mounts(container));
        }
        for volume in &self.spec.volumes {
            if volume.csi.as_ref().is_some_and(|inline| inline.driver == driver_name) {
                let volume = quote(&volume.name);
                found.push(format!("volume {volume} is an inline volume, which this driver refuses; use a claim"));
            }
        }
        found.extend(self.problem_of_restart_policy());
        let stranger = |(key, value): (&String, &String)| self.labels.get(key) != Some(value);
        match &self.selector {
            Some(selector) if selector.iter().any(stranger) => {
                found.push("spec.selector does not match the labels of spec.template".to_owned());
            }
            None if matches!(self.kind.as_str(), "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet") => {
                found.push("spec.selector is missing".to_owned());
            }
            _ => {}
        }
        found
    }

    fn problems_of_mounts(&self, container: &Container) -> Vec<String> {
        let mut found = Vec::new();
        let mut paths = Vec::new();
        for mount in &container.volume_mounts {
            let known = self.spec.volumes.iter().any(|volume| volume.name == mount.name);
            if !known && self.claim_of_template(&mount.name).is_none() {
                found.push(format!(
                    "container {} mounts {}, which is not a volume of the pod",
                    quote(&container.name),
                    quote(&mount.name)
                ));
            }
            if mount.mount_path.is_empty() || mount.mount_path.contains(':') {
                found.push(format!("the mountPath of {} is missing or holds a colon", quote(&mount.name)));
            } else if paths.contains(&&mount.mount_path) {
                found.push(format!(
                    "mountPath {} is used twice in container {}",
                    quote(&mount.mount_path),
                    quote(&container.name)
                ));
            }
            paths.push(&mount.mount_path);
        }
        found
    }

    fn problem_of_restart_policy(&self) -> Option<String> {
        let policy = self.spec.restart_policy.as_deref();
        let allowed: &[&str] = match self.kind.as_str() {
            "Pod" => &["Always", "OnFailure", "Never"],
            "Job" | "CronJob" => &["OnFailure", "Never"],
            _ => &["Always"],
        };
        let fits = policy.map_or_else(|| allowed.contains(&"Always"), |policy| allowed.contains(&policy));
        (!fits).then(|| {
            let given = policy.map_or_else(|| "missing".to_owned(), quote);
            format!("restartPolicy is {given}; a {} takes {}", self.kind, allowed.join(" or "))
        })
    }
}
