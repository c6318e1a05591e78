//! Shapes of Kubernetes objects, as far as the API server holds a manifest to them: fields, and the type of each.
//!
//! `kubectl apply` refuses unknown fields and numbers where text belongs (`zone: 1`). A manifest that passes the demo is to
//! pass there too, so its fields are held to the same tables; errors name the field and what to write.
//!
//! Source: the API reference, <https://kubernetes.io/docs/reference/kubernetes-api/>, groups storage.k8s.io/v1, v1, apps/v1
//! and batch/v1.

use serde_json::Value;

use crate::domain::text::{nearest, quote};

/// What a field may hold. `null` is as good as absent everywhere, as Kubernetes has it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Text.
    Text,
    /// `true` or `false`.
    Truth,
    /// A whole number.
    Number,
    /// A size: text or a number.
    Quantity,
    /// Whatever it is, it does not matter here.
    Any,
    /// Keys of free choice, each with a value of one shape.
    Map(&'static Self),
    /// A list of one shape.
    List(&'static Self),
    /// Known fields and nothing else.
    Object(&'static [(&'static str, Self)]),
}

use Shape::{Any, List, Map, Number, Object, Quantity, Text, Truth};

const TEXTS: Shape = List(&Text);
const TEXT_MAP: Shape = Map(&Text);

const METADATA: Shape = Object(&[
    ("name", Text),
    ("generateName", Text),
    ("namespace", Text),
    ("labels", TEXT_MAP),
    ("annotations", TEXT_MAP),
    ("finalizers", TEXTS),
    ("ownerReferences", Any),
    ("managedFields", Any),
    ("creationTimestamp", Any),
    ("deletionTimestamp", Any),
    ("deletionGracePeriodSeconds", Number),
    ("generation", Number),
    ("resourceVersion", Text),
    ("selfLink", Text),
    ("uid", Text),
]);

/// storage.k8s.io/v1 StorageClass.
pub(super) const STORAGE_CLASS: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", METADATA),
    ("provisioner", Text),
    ("parameters", TEXT_MAP),
    ("reclaimPolicy", Text),
    ("mountOptions", TEXTS),
    ("allowVolumeExpansion", Truth),
    ("volumeBindingMode", Text),
    ("allowedTopologies", Any),
]);

const RESOURCES: Shape = Object(&[("requests", Map(&Quantity)), ("limits", Map(&Quantity)), ("claims", Any)]);

const CLAIM_SPEC: Shape = Object(&[
    ("accessModes", TEXTS),
    ("selector", Any),
    ("resources", RESOURCES),
    ("volumeName", Text),
    ("storageClassName", Text),
    ("volumeMode", Text),
    ("dataSource", Any),
    ("dataSourceRef", Any),
    ("volumeAttributesClassName", Text),
]);

/// v1 PersistentVolumeClaim, also as a template.
pub(super) const CLAIM: Shape =
    Object(&[("apiVersion", Text), ("kind", Text), ("metadata", METADATA), ("spec", CLAIM_SPEC), ("status", Any)]);

const VOLUME_MOUNT: Shape = Object(&[
    ("name", Text),
    ("mountPath", Text),
    ("readOnly", Truth),
    ("recursiveReadOnly", Text),
    ("subPath", Text),
    ("subPathExpr", Text),
    ("mountPropagation", Text),
]);

const ENV: Shape = Object(&[("name", Text), ("value", Text), ("valueFrom", Any)]);

const CONTAINER: Shape = Object(&[
    ("name", Text),
    ("image", Text),
    ("command", TEXTS),
    ("args", TEXTS),
    ("workingDir", Text),
    ("ports", Any),
    ("envFrom", Any),
    ("env", List(&ENV)),
    ("resources", RESOURCES),
    ("resizePolicy", Any),
    ("restartPolicy", Text),
    ("restartPolicyRules", Any),
    ("volumeMounts", List(&VOLUME_MOUNT)),
    ("volumeDevices", Any),
    ("livenessProbe", Any),
    ("readinessProbe", Any),
    ("startupProbe", Any),
    ("lifecycle", Any),
    ("terminationMessagePath", Text),
    ("terminationMessagePolicy", Text),
    ("imagePullPolicy", Text),
    ("securityContext", Any),
    ("stdin", Truth),
    ("stdinOnce", Truth),
    ("tty", Truth),
]);

const CLAIM_SOURCE: Shape = Object(&[("claimName", Text), ("readOnly", Truth)]);
const EPHEMERAL: Shape = Object(&[("volumeClaimTemplate", CLAIM)]);

const POD_VOLUME: Shape = Object(&[
    ("name", Text),
    ("persistentVolumeClaim", CLAIM_SOURCE),
    ("ephemeral", EPHEMERAL),
    ("awsElasticBlockStore", Any),
    ("azureDisk", Any),
    ("azureFile", Any),
    ("cephfs", Any),
    ("cinder", Any),
    ("configMap", Any),
    ("csi", Any),
    ("downwardAPI", Any),
    ("emptyDir", Any),
    ("fc", Any),
    ("flexVolume", Any),
    ("flocker", Any),
    ("gcePersistentDisk", Any),
    ("gitRepo", Any),
    ("glusterfs", Any),
    ("hostPath", Any),
    ("image", Any),
    ("iscsi", Any),
    ("nfs", Any),
    ("photonPersistentDisk", Any),
    ("portworxVolume", Any),
    ("projected", Any),
    ("quobyte", Any),
    ("rbd", Any),
    ("scaleIO", Any),
    ("secret", Any),
    ("storageos", Any),
    ("vsphereVolume", Any),
]);

/// v1 `PodSpec`.
const POD_SPEC: Shape = Object(&[
    ("containers", List(&CONTAINER)),
    ("initContainers", List(&CONTAINER)),
    ("volumes", List(&POD_VOLUME)),
    ("serviceAccountName", Text),
    ("serviceAccount", Text),
    ("restartPolicy", Text),
    ("nodeSelector", TEXT_MAP),
    ("nodeName", Text),
    ("hostname", Text),
    ("hostnameOverride", Text),
    ("subdomain", Text),
    ("schedulerName", Text),
    ("priorityClassName", Text),
    ("preemptionPolicy", Text),
    ("runtimeClassName", Text),
    ("dnsPolicy", Text),
    ("activeDeadlineSeconds", Number),
    ("terminationGracePeriodSeconds", Number),
    ("priority", Number),
    ("hostNetwork", Truth),
    ("hostPID", Truth),
    ("hostIPC", Truth),
    ("hostUsers", Truth),
    ("shareProcessNamespace", Truth),
    ("automountServiceAccountToken", Truth),
    ("enableServiceLinks", Truth),
    ("setHostnameAsFQDN", Truth),
    ("affinity", Any),
    ("dnsConfig", Any),
    ("ephemeralContainers", Any),
    ("hostAliases", Any),
    ("imagePullSecrets", Any),
    ("os", Any),
    ("overhead", Any),
    ("readinessGates", Any),
    ("resourceClaims", Any),
    ("resources", Any),
    ("schedulingGates", Any),
    ("securityContext", Any),
    ("tolerations", Any),
    ("topologySpreadConstraints", Any),
    ("workloadRef", Any),
]);

/// v1 Pod.
pub(super) const POD: Shape =
    Object(&[("apiVersion", Text), ("kind", Text), ("metadata", METADATA), ("spec", POD_SPEC), ("status", Any)]);

const TEMPLATE: Shape = Object(&[("metadata", METADATA), ("spec", POD_SPEC)]);
const SELECTOR: Shape = Object(&[("matchLabels", TEXT_MAP), ("matchExpressions", Any)]);

/// apps/v1 Deployment, `ReplicaSet`, `DaemonSet` and `StatefulSet`: the fields of all four.
pub(super) const SET: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", METADATA),
    ("status", Any),
    (
        "spec",
        Object(&[
            ("replicas", Number),
            ("selector", SELECTOR),
            ("template", TEMPLATE),
            ("volumeClaimTemplates", List(&CLAIM)),
            ("serviceName", Text),
            ("podManagementPolicy", Text),
            ("strategy", Any),
            ("updateStrategy", Any),
            ("ordinals", Any),
            ("persistentVolumeClaimRetentionPolicy", Any),
            ("minReadySeconds", Number),
            ("revisionHistoryLimit", Number),
            ("progressDeadlineSeconds", Number),
            ("paused", Truth),
        ]),
    ),
]);

const JOB_SPEC: Shape = Object(&[
    ("template", TEMPLATE),
    ("selector", SELECTOR),
    ("parallelism", Number),
    ("completions", Number),
    ("completionMode", Text),
    ("activeDeadlineSeconds", Number),
    ("backoffLimit", Number),
    ("backoffLimitPerIndex", Number),
    ("maxFailedIndexes", Number),
    ("manualSelector", Truth),
    ("managedBy", Text),
    ("podFailurePolicy", Any),
    ("podReplacementPolicy", Text),
    ("successPolicy", Any),
    ("suspend", Truth),
    ("ttlSecondsAfterFinished", Number),
]);

/// batch/v1 Job.
pub(super) const JOB: Shape =
    Object(&[("apiVersion", Text), ("kind", Text), ("metadata", METADATA), ("spec", JOB_SPEC), ("status", Any)]);

/// batch/v1 `CronJob`.
pub(super) const CRON_JOB: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", METADATA),
    ("status", Any),
    (
        "spec",
        Object(&[
            ("schedule", Text),
            ("timeZone", Text),
            ("startingDeadlineSeconds", Number),
            ("concurrencyPolicy", Text),
            ("suspend", Truth),
            ("jobTemplate", Object(&[("metadata", METADATA), ("spec", JOB_SPEC)])),
            ("successfulJobsHistoryLimit", Number),
            ("failedJobsHistoryLimit", Number),
        ]),
    ),
]);

/// Holds a value against a shape. Each difference goes to `problems`, with the path of the field in front.
pub(super) fn check(path: &str, value: &Value, shape: &Shape, problems: &mut Vec<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (shape, value) {
        (_, Value::Null)
        | (Any, _)
        | (Text, Value::String(_))
        | (Truth, Value::Bool(_))
        | (Quantity, Value::String(_) | Value::Number(_)) => {}
        (Number, Value::Number(number)) if number.is_i64() => {}
        (Map(inner), Value::Object(entries)) => {
            entries.iter().for_each(|(key, value)| check(&below(key), value, inner, problems));
        }
        (List(inner), Value::Array(items)) => {
            items.iter().enumerate().for_each(|(at, item)| check(&format!("{path}[{at}]"), item, inner, problems));
        }
        (Object(fields), Value::Object(entries)) => {
            for (key, value) in entries {
                match fields.iter().find(|(known, _)| known == key) {
                    Some((_, inner)) => check(&below(key), value, inner, problems),
                    None => problems.push(unknown(&below(key), key, fields)),
                }
            }
        }
        _ => problems.push(format!("{path} is {}, not {}", what(value), wanted(shape, value))),
    }
}

fn unknown(path: &str, key: &str, fields: &[(&'static str, Shape)]) -> String {
    let hint = nearest(key, fields.iter().map(|(known, _)| *known)).map(|near| format!("; did you mean {near}?"));
    format!("{path} is not a field that Kubernetes knows{}", hint.unwrap_or_default())
}

fn what(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(truth) => format!("the boolean {truth}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {}", quote(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}

fn wanted(shape: &Shape, found: &Value) -> String {
    match (shape, found) {
        (Text, Value::Number(number)) if number.is_i64() => format!("text; quote it: \"{number}\""),
        // `yes` and `010` are values too by the time that they arrive here.
        (Text, Value::Bool(_) | Value::Number(_)) => "text; put it in quotes".to_owned(),
        (Text, _) => "text".to_owned(),
        (Truth, _) => "true or false (without quotes)".to_owned(),
        (Number, _) => "a whole number (without quotes)".to_owned(),
        (Quantity, _) => "a size such as 48Ti".to_owned(),
        (List(_), _) => "a list; begin each item with a dash".to_owned(),
        (Map(_) | Object(_) | Any, _) => "a map of keys and values".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reported(value: &Value, shape: &Shape) -> Vec<String> {
        let mut problems = Vec::new();
        check("", value, shape, &mut problems);
        problems
    }

    #[test]
    fn fields_and_their_types_are_reported_in_the_users_words() {
        let class = json!({"kind": "StorageClass", "paramaters": {}, "parameters": {"zone": 1, "tags": true, "x": null},
            "mountOptions": "noatime", "allowVolumeExpansion": "yes"});
        assert_eq!(
            reported(&class, &STORAGE_CLASS),
            [
                "allowVolumeExpansion is the text `yes`, not true or false (without quotes)",
                "mountOptions is the text `noatime`, not a list; begin each item with a dash",
                "paramaters is not a field that Kubernetes knows; did you mean parameters?",
                "parameters.tags is the boolean true, not text; put it in quotes",
                "parameters.zone is the number 1, not text; quote it: \"1\"",
            ]
        );
        let pod = json!({"spec": {"containers": [{"name": "a", "volumeMounts": [{"mountpath": "/x"}]}]}});
        assert_eq!(
            reported(&pod, &POD),
            [
                "spec.containers[0].volumeMounts[0].mountpath is not a field that Kubernetes knows; did you mean mountPath?"
            ]
        );
    }
}
