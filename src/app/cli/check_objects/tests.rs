//! What is found in StorageClasses and PersistentVolumes, and what is passed over.

use super::*;

const DRIVER: &str = "azurelustre.csi.azure.com";

fn findings(text: &str) -> Findings {
    let mut findings = Findings::default();
    for document in serde_saphyr::from_multiple::<Value>(text).unwrap() {
        findings.take(document, DRIVER);
    }
    findings
}

fn refused(text: &str) -> String {
    let findings = findings(text);
    assert_eq!(findings.refused.len(), 1, "{findings:?}");
    format!("{:#}", findings.refused[0])
}

fn accepted(text: &str) -> Findings {
    let findings = findings(text);
    assert!(findings.refused.is_empty() && findings.checked == 1, "{findings:?}");
    findings
}

fn class(parameters: &str) -> String {
    format!(
        "kind: StorageClass\nmetadata: {{name: fast}}\nprovisioner: {DRIVER}\nmountOptions: [noatime]\nparameters: {{{parameters}}}\n"
    )
}

fn volume(attributes: &str, more: &str) -> String {
    format!(
        "kind: PersistentVolume\nmetadata: {{name: old}}\nspec:\n  accessModes: [ReadWriteMany]\n  csi:\n    driver: {DRIVER}\n    volumeHandle: v\n    volumeAttributes: {{{attributes}}}\n{more}"
    )
}

const DYNAMIC: &str = "sku-name: AMLFS-Durable-Premium-125, zone: '1', maintenance-day-of-week: Sunday, \
                       maintenance-time-of-day-utc: '22:00'";

#[test]
fn classes_that_leave_region_and_network_to_the_cloud_settings_pass() {
    accepted(&class(DYNAMIC));
    accepted(&class("mgs-ip-address: 10.0.0.4, csi.storage.k8s.io/fstype: lustre"));
}

#[test]
fn a_class_that_create_volume_would_refuse_is_named_with_every_mistake() {
    let refusal = refused(&class("sku-nam: AMLFS-Durable-Premium-125, maintenance-day-of-week: Caturday"));
    for expected in ["StorageClass fast", "sku-nam", "Caturday", "under a new name"] {
        assert!(refusal.contains(expected), "{refusal}");
    }
    let text = class(DYNAMIC).replace("noatime", "device=x");
    assert!(refused(&text).contains("device"), "mount options");
}

#[test]
fn volumes_of_the_go_driver_pass() {
    accepted(&volume("mgs-ip-address: 10.0.0.4, fs-name: lustrefs", ""));
    accepted(&volume("mgs-ip-address: 10.0.0.4, sub-dir: '${pod.metadata.name}'", "  mountOptions: [flock]\n"));
}

#[test]
fn a_volume_that_publish_would_refuse_is_named() {
    let missing = refused(&volume("fs-name: lustrefs", ""));
    assert!(missing.contains("PersistentVolume old") && missing.contains("mgs-ip-address"), "{missing}");
    let typo = refused(&volume("mgs-ip-address: 10.0.0.4, sub-dirr: x", ""));
    assert!(typo.contains("sub-dirr") && typo.contains("--unknown-volume-attributes=warn"), "{typo}");
    assert!(refused(&volume("mgs-ip-address: 10.0.0.4", "  volumeMode: Block\n")).contains("block"));
    assert!(refused(&volume("mgs-ip-address: 10.0.0.4", "").replace("ReadWriteMany", "Any")).contains("access mode"));
}

#[test]
fn a_value_that_is_not_text_is_named_as_kubernetes_would() {
    let refusal = refused(&class("mgs-ip-address: 10.0.0.4, sub-dir: 7"));
    assert!(refusal.contains("StorageClass fast") && refusal.contains("between quotes"), "{refusal}");
}

#[test]
fn what_only_deserves_a_warning_is_no_refusal() {
    let text =
        volume("mgs-ip-address: 10.0.0.4", "").replace("volumeHandle: v", "volumeHandle: 'v#lustrefs#10.0.0.4##t'");
    assert!(accepted(&text).warnings[0].contains("no resource group"));
}

#[test]
fn a_class_gets_the_warnings_that_create_volume_logs() {
    let findings = accepted(&class("mgs-ip-address: 10.0.0.4, fs-name: lustreAKS"));
    assert!(
        findings.warnings[0].contains("StorageClass fast") && findings.warnings[0].contains("lustreAKS"),
        "{findings:?}"
    );
}

#[test]
fn objects_of_others_are_passed_over_also_in_lists() {
    let other = volume("mgs-ip-address: 1", "").replace(DRIVER, "disk.csi.azure.com");
    assert_eq!(findings(&other).checked, 0);
    assert_eq!(findings("kind: Secret\nmetadata: {name: s}\n").checked, 0);
    let list = format!(
        "kind: List\nitems: [{{kind: StorageClass, metadata: {{name: a}}, provisioner: {DRIVER}, parameters: {{mgs-ip-address: 10.0.0.4}}, mountOptions: null}}, {{kind: Pod}}]"
    );
    assert_eq!(findings(&list).checked, 1);
}

/// The examples, with the places filled that their readers have to fill.
#[test]
fn no_example_would_be_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let text =
            text.replace("EXISTING_LUSTRE_IP_ADDRESS", "10.0.0.4").replace("EXISTING_LUSTRE_FS_NAME", "lustrefs");
        let findings = findings(&text);
        assert!(findings.refused.is_empty() && findings.warnings.is_empty(), "{}: {findings:?}", path.display());
        checked += findings.checked;
    }
    assert!(checked >= 5, "{checked} objects checked");
}
