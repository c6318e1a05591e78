//! What is taken from files as Kubernetes takes it, and what is refused in the user's words.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const DRIVER: &str = "azurelustre.csi.azure.com";

const CLASS: &str = "apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: azurelustre.csi.azure.com
parameters: {mgs-ip-address: 10.0.0.4, csi.storage.k8s.io/fstype: lustre}
";
const CLAIM: &str = "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: scratch}
spec: {accessModes: [ReadWriteMany], storageClassName: fast, resources: {requests: {storage: 8Ti}}}
";
const TEMPLATE: &str = "
      containers: [{name: main, image: busybox, volumeMounts: [{name: data, mountPath: /data}]}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: scratch}}]
";

fn pod() -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:{TEMPLATE}")
}

fn set(kind: &str, more: &str) -> String {
    let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    let selector = if kind == "Job" { "" } else { "  selector: {matchLabels: {app: web}}\n" };
    format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: web}}\nspec:\n{selector}{more}  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:{TEMPLATE}"
    )
}

/// Three files, of which the test may name any.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(class: &str, claim: &str, pod: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("class.yaml", class), ("claim.yaml", claim), ("pod.yaml", pod)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The class and what makes pods alone.
    fn without_claim(&self) -> DemoOptions {
        DemoOptions {
            storage_class: Some(self.path("class.yaml")),
            pod: Some(self.path("pod.yaml")),
            ..DemoOptions::default()
        }
    }

    fn load(&self) -> Result<Manifests, CommandError> {
        let options = DemoOptions { claim: Some(self.path("claim.yaml")), ..self.without_claim() };
        Manifests::load(&options, DRIVER)
    }
}

fn load(class: &str, claim: &str, pod: &str) -> Manifests {
    Files::new(class, claim, pod).load().unwrap_or_else(|error| panic!("{}", error))
}

fn refused(class: &str, claim: &str, pod: &str) -> String {
    Files::new(class, claim, pod).load().unwrap_err().to_string()
}

#[test]
fn both_examples_fit_together() {
    let dynamic = Manifests::load(&DemoOptions::default(), DRIVER).unwrap();
    assert_eq!((dynamic.claim.as_str(), dynamic.bytes), ("pvc-lustre-dynprov", 48 << 40));
    assert!(dynamic.parameters.contains_key("resource-group"));
    assert_eq!(dynamic.mount_path, "/mnt/lustre");
    let existing = DemoOptions { static_volume: true, ..DemoOptions::default() };
    assert!(Manifests::load(&existing, DRIVER).unwrap().parameters.contains_key("mgs-ip-address"));
    assert!(Manifests::load(&DemoOptions::default(), "other").is_err());
}

#[test]
fn parameters_of_the_provisioner_are_stripped() {
    let read = load(CLASS, CLAIM, &pod());
    let keys: Vec<&str> = read.parameters.keys().map(String::as_str).collect();
    assert_eq!((keys, read.fs_type.as_str()), (vec!["mgs-ip-address"], "lustre"));
    assert_eq!((read.pods.as_slice(), read.bytes), (["web".to_owned(), "web-2".to_owned()].as_slice(), 8 << 40));
    let reported = refused(&CLASS.replace("fstype", "fstyp"), CLAIM, &pod());
    assert!(reported.contains("did you mean csi.storage.k8s.io/fstype?"), "{reported}");
    let reported = refused(&CLASS.replace("fstype", "provisioner-secret-name"), CLAIM, &pod());
    assert!(reported.contains("refuses secrets"), "{reported}");
}

#[test]
fn everything_that_makes_pods_is_taken() {
    for kind in ["Deployment", "ReplicaSet", "DaemonSet"] {
        let read = load(CLASS, CLAIM, &set(kind, ""));
        assert_eq!((read.claim.as_str(), read.mount_path.as_str()), ("scratch", "/data"), "{kind}");
        assert_eq!(read.pods, ["web-0", "web-1"], "{kind}");
    }
    let job = set("Job", "").replace("volumes:", "restartPolicy: Never\n      volumes:");
    assert_eq!(load(CLASS, CLAIM, &job).claim, "scratch");
    let cron = format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: web}}\nspec:\n  schedule: '0 * * * *'\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          restartPolicy: OnFailure{}",
        TEMPLATE.replace("\n      ", "\n          ")
    );
    assert_eq!(load(CLASS, CLAIM, &cron).claim, "scratch");
}

#[test]
fn claims_of_templates_are_named_as_kubernetes_names_them() {
    let spec = "{accessModes: [ReadWriteMany], storageClassName: fast, resources: {requests: {storage: 8Ti}}}";
    let templates =
        format!("  serviceName: web\n  volumeClaimTemplates: [{{metadata: {{name: data}}, spec: {spec}}}]\n");
    let set = set("StatefulSet", &templates);
    let set = set.split_inclusive('\n').filter(|line| !line.contains("volumes:")).collect::<String>();
    let files = Files::new(CLASS, "", &set);
    let options = files.without_claim();
    let read = Manifests::load(&options, DRIVER).unwrap_or_else(|error| panic!("{}", error));
    assert_eq!((read.claim.as_str(), read.pods.as_slice()), ("data-web-0", ["web-0".to_owned()].as_slice()));
    let ephemeral = pod().replace(
        "persistentVolumeClaim: {claimName: scratch}",
        &format!("ephemeral: {{volumeClaimTemplate: {{spec: {spec}}}}}"),
    );
    let files = Files::new(CLASS, "", &ephemeral);
    let options = files.without_claim();
    assert_eq!(Manifests::load(&options, DRIVER).unwrap_or_else(|error| panic!("{}", error)).claim, "web-data");
}

#[test]
fn lists_and_several_documents_are_searched_for_what_belongs_together() {
    let other = CLASS.replace("name: fast", "name: other");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {unknown: 1}\n";
    let all = [service, &other, CLASS, &CLAIM.replace("scratch", "other"), CLAIM, &pod()].join("---\n");
    assert_eq!(load(&all, &all, &all).class, "fast");
    let parsed: Vec<Value> = serde_saphyr::from_multiple(&all).unwrap();
    let list =
        serde_json::json!({"apiVersion": "v1", "kind": "List", "items": parsed, "metadata": {"resourceVersion": ""}});
    let text = format!("{list:#}");
    assert_eq!(load(&text, &text, &text), load(CLASS, CLAIM, &pod()));
    let class: Value = serde_saphyr::from_str(CLASS).unwrap();
    let mut item = class.clone();
    item.as_object_mut().unwrap().remove("kind");
    let typed = serde_json::json!({"kind": "StorageClassList", "items": [item]}).to_string();
    assert_eq!(load(&typed, CLAIM, &pod()).class, "fast");
}

#[test]
fn classes_that_kubernetes_would_refuse_are_refused_in_the_users_words() {
    for (from, to, expected) in [
        (
            "mgs-ip-address: 10.0.0.4",
            "zone: 1",
            "StorageClass fast: parameters.zone is the number 1, not text; quote it: \"1\"",
        ),
        ("mgs-ip-address: 10.0.0.4", "zone: [1]", "parameters.zone is a list, not text"),
        ("parameters:", "paramters:", "paramters is not a field that Kubernetes knows; did you mean parameters?"),
        ("storage.k8s.io/v1", "v1", "apiVersion is `v1`, not `storage.k8s.io/v1`"),
        ("name: fast", "name: Fast_1", "`Fast_1` is not a name that Kubernetes takes"),
        ("kind: StorageClass", "kind: StorageClas", "class.yaml holds no StorageClass"),
        ("kind: StorageClass", "kind: StorageClass\nkind: StorageClass", "a key stands there twice"),
        ("metadata: {name: fast}", "metadata: {name: fast", "neither YAML nor JSON there"),
        ("metadata: {name: fast}", "metadata: {name: fast}\nreclaimPolicy: Keep", "`Keep`, not one of Delete, Retain"),
        (
            "metadata: {name: fast}",
            "metadata: {name: fast}\nmountOptions: noatime",
            "mountOptions is the text `noatime`, not a list",
        ),
        ("azurelustre.csi.azure.com", "file.csi.azure.com", "provisioner is `file.csi.azure.com`"),
    ] {
        let reported = refused(&CLASS.replacen(from, to, 1), CLAIM, &pod());
        assert!(reported.contains(expected) && reported.contains("hint: "), "{expected} is not in {reported}");
    }
}

#[test]
fn claims_that_kubernetes_would_refuse_are_refused_in_the_users_words() {
    for (from, to, expected) in [
        ("storageClassName: fast", "storageClassName: other", "the claim's storageClassName is `other`, not `fast`"),
        (
            "storageClassName: fast, ",
            "",
            "no storageClassName, and StorageClass `fast` is not marked as the default one",
        ),
        ("[ReadWriteMany]", "[]", "the claim has no accessModes"),
        ("[ReadWriteMany]", "[ReadWriteMny]", "did you mean ReadWriteMany?"),
        ("[ReadWriteMany]", "[ReadWriteMany, ReadWriteOncePod]", "cannot stand beside other access modes"),
        ("8Ti", "8TB", "`8TB` is not a size such as 48Ti"),
        ("8Ti", "0", "`0` is not a size"),
        ("8Ti", "true", "spec.resources.requests.storage is the boolean true, not a size"),
        ("storageClassName", "volumeName: pv-1, storageClassName", "volumeName asks for a volume that exists"),
        ("name: scratch", "name: scratch, namespace: team", "a pod can only use claims of its own namespace"),
    ] {
        let reported = refused(CLASS, &CLAIM.replacen(from, to, 1), &pod());
        assert!(reported.contains(expected) && reported.contains("hint: "), "{expected} is not in {reported}");
    }
}

#[test]
fn pods_that_kubernetes_would_refuse_are_refused_in_the_users_words() {
    for (from, to, expected) in [
        ("claimName: scratch", "claimName: other", "pod `web` mounts no volume of the claim `scratch`"),
        ("mountPath", "mountpath", "did you mean mountPath?"),
        ("image: busybox", "image: ''", "container `main` needs a name and an image"),
        (
            "{name: data, mountPath: /data}",
            "{name: data, mountPath: /data}, {name: x, mountPath: /x}",
            "mounts `x`, which is not a volume",
        ),
        (
            "{name: data, mountPath: /data}",
            "{name: data, mountPath: /data}, {name: data, mountPath: /data}",
            "is used twice",
        ),
        ("volumes: [", "volumes: [{name: x, csi: {driver: azurelustre.csi.azure.com}}, ", "inline volume"),
    ] {
        let reported = refused(CLASS, CLAIM, &pod().replacen(from, to, 1));
        assert!(reported.contains(expected) && reported.contains("hint: "), "{expected} is not in {reported}");
    }
    let reported = refused(CLASS, CLAIM, &set("Deployment", "").replace("labels: {app: web}", "labels: {app: other}"));
    assert!(reported.contains("spec.selector does not match"), "{reported}");
    assert!(refused(CLASS, CLAIM, &set("Job", "")).contains("a Job takes OnFailure or Never"));
}

#[test]
fn every_mistake_is_reported_at_once() {
    let reported =
        refused(&CLASS.replace("azure.com", "test"), &CLAIM.replace("fast", "other").replace("8Ti", "8"), &pod());
    assert_eq!(reported.matches("error: ").count(), 2, "{reported}");
}

#[test]
fn defaults_of_the_cluster_are_honoured() {
    let default = "metadata: {name: fast, annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}";
    let class = CLASS.replace("metadata: {name: fast}", default);
    assert_eq!(load(&class, &CLAIM.replace("storageClassName: fast, ", ""), &pod()).class, "fast");
    let read = load(CLASS, &CLAIM.replace("ReadWriteMany", "ReadWriteOncePod"), &pod());
    assert_eq!(read.pods, ["web"], "a claim for one pod has no second");
    assert!(load(&format!("{CLASS}mountOptions: [noatime, ro]\n"), CLAIM, &pod()).is_read_only());
    assert!(load(CLASS, CLAIM, &pod().replace("mountPath: /data", "mountPath: /data, readOnly: true")).is_read_only());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let options = DemoOptions { pod: Some("/does/not/exist".into()), ..DemoOptions::default() };
    let reported = Manifests::load(&options, DRIVER).unwrap_err().to_string();
    assert!(reported.contains("/does/not/exist"), "{reported}");
}
