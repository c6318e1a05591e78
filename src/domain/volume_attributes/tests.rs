//! Keys of PersistentVolumes that were seen in the field, and misspelt keys of this driver.

use super::*;

const TARGET: &str = "/var/lib/kubelet/pods/0b5e/volumes/kubernetes.io~csi/pv-team-a/mount";

fn context(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mgs = [(MGS_IP_ADDRESS, "10.1.0.4")];
    mgs.iter().chain(entries).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn read(entries: &[(&str, &str)], unknown: UnknownAttributes) -> Result<(MountSource, Vec<Notice>), Problems> {
    parse(&context(entries), Path::new(TARGET), unknown)
}

fn mounted(entries: &[(&str, &str)]) -> (String, Vec<Notice>) {
    let (source, notices) = read(entries, UnknownAttributes::Refuse).unwrap();
    (source.to_string(), notices)
}

#[test]
fn near_misses_are_refused_with_the_key_that_was_meant() {
    for (key, meant) in [
        ("subdir", "sub-dir"),
        ("subDir", "sub-dir"),
        ("sub_dir", "sub-dir"),
        ("Sub Dir", "sub-dir"),
        ("sub-dir ", "sub-dir"),
        ("sub-dirs", "sub-dir"),
        ("sub-dri", "sub-dir"),
        ("dub-dir", "sub-dir"),
        ("sub/dir", "sub-dir"),
        ("subPath", "sub-dir"),
        ("sub-directory", "sub-dir"),
        ("sub", "sub-dir"),
        ("fsname", "fs-name"),
        ("fs_name", "fs-name"),
        ("fs-names", "fs-name"),
        ("mgsIPAddress", "mgs-ip-address"),
        ("mgs-ip", "mgs-ip-address"),
        ("mgs-address", "mgs-ip-address"),
        ("mgs-ip-adress", "mgs-ip-address"),
        ("ip-address", "mgs-ip-address"),
        ("skuName", "sku-name"),
        ("resource_group_name", "resource-group-name"),
        ("locaton", "location"),
    ] {
        let error = read(&[(key, "x")], UnknownAttributes::Refuse).unwrap_err().to_string();
        for part in [&format!("did you mean {meant}?"), "PersistentVolume `pv-team-a`", "Retain", "=warn"] {
            assert!(error.contains(part), "{key}: {part} is not in {error}");
        }
        let (source, notices) = read(&[(key, "x")], UnknownAttributes::Warn).unwrap();
        assert_eq!((source.to_string().as_str(), notices.len()), ("10.1.0.4@tcp:/lustrefs", 1), "{key}");
        assert!(notices[0].to_string().contains(&format!("did you mean {meant}?")), "{notices:?}");
    }
}

#[test]
fn keys_of_kubernetes_and_the_go_driver_are_accepted_without_a_notice() {
    let (source, notices) = mounted(&[
        ("csi.storage.k8s.io/pvc/name", "claim"),
        ("csi.storage.k8s.io/pod.name", "pod"),
        ("csi.storage.k8s.io/serviceAccount.tokens", "{}"),
        ("csi.storage.k8s.io/ephemeral", "false"),
        ("csi.storage.k8s.io/something-new", "x"),
        ("storage.kubernetes.io/csiProvisionerIdentity", "1-2-azurelustre.csi.azure.com"),
        ("created-by-dynamic-provisioning", "t"),
        ("simulated", "true"),
        ("sku-name", "AMLFS-Durable-Premium-125"),
        ("zones", "1"),
        ("Zone", "1"),
        ("resource-group", ""),
        ("resource-group-name", "rg"),
        ("maintenance-day-of-week", "not checked here"),
        ("vnet-resource-group", ""),
        ("identities", ""),
        ("tags", "a=b"),
        ("retain-sub-dir", "false"),
        ("mds-ip-address", "10.1.0.9"),
        ("amlfilesystem-name", "x"),
        ("root-squash-mode", "None"),
        ("fs-name", "lustrefs"),
        ("sub-dir", "/a/b/"),
    ]);
    assert_eq!((source.as_str(), notices), ("10.1.0.4@tcp:/lustrefs/a/b", vec![]));
}

#[test]
fn unknown_keys_are_passed_over_with_one_warning() {
    let (source, notices) = mounted(&[
        ("team", "a"),
        ("example.com/sub-dir", "a"),
        ("cost-center", "4"),
        ("name", "scratch"),
        ("surname", "scratch"),
        ("hostname", "scratch"),
        ("storage-tier", "hot"),
        ("region", "eastus"),
        ("server", "x"),
        ("fsType", "lustre"),
    ]);
    assert_eq!((source.as_str(), notices.len()), ("10.1.0.4@tcp:/lustrefs", 1), "{notices:?}");
    let text = notices[0].to_string();
    assert!(text.contains("`team`") && text.contains("`example.com/sub-dir`") && text.contains("pv-team-a"), "{text}");
}

#[test]
fn one_key_twice_with_different_values_is_refused() {
    for (key, other, value) in [("sub-dir", "Sub-Dir", "b"), ("MGS-IP-address", "mgs-IP-Address", "10.9.9.9")] {
        let entries = [(key, if key == "sub-dir" { "a" } else { "10.1.0.4" }), (other, value)];
        for unknown in [UnknownAttributes::Refuse, UnknownAttributes::Warn] {
            let error = read(&entries, unknown).unwrap_err().to_string();
            assert!(error.contains("give it once"), "{error}");
        }
    }
    assert_eq!(mounted(&[("sub-dir", "a"), ("SUB-DIR", " a ")]).0, "10.1.0.4@tcp:/lustrefs/a");
    assert_eq!(mounted(&[("Sub-Dir", "a"), ("MGS-IP-ADDRESS", "")]).0, "10.1.0.4@tcp:/lustrefs/a");
}

/// A StorageClass may have spelt a key in its own way before the driver added its own.
#[test]
fn what_the_driver_added_itself_counts() {
    let dynamic = [("created-by-dynamic-provisioning", "t"), ("FS-Name", "whatever"), ("fs-name", "lustrefs")];
    assert_eq!(mounted(&dynamic).0, "10.1.0.4@tcp:/lustrefs");
    assert_eq!(
        mounted(&[("Mgs-Ip-Address", ""), ("created-by-dynamic-provisioning", "t")]).0,
        "10.1.0.4@tcp:/lustrefs"
    );
    let static_volume = [("created-by-dynamic-provisioning", "f"), ("FS-Name", "other"), ("fs-name", "lustrefs")];
    assert!(read(&static_volume, UnknownAttributes::Refuse).is_err());
}

#[test]
fn inline_volumes_are_refused() {
    for value in ["true", "True", "1", "yes"] {
        let error = read(&[("csi.storage.k8s.io/ephemeral", value)], UnknownAttributes::Warn).unwrap_err().to_string();
        assert!(error.contains("inline") && error.contains("PersistentVolumeClaim"), "{error}");
    }
}

#[test]
fn an_fs_name_of_the_field_is_mounted_as_lustrefs() {
    let (source, notices) = mounted(&[("fs-name", "lustreAKS")]);
    assert_eq!((source.as_str(), notices.len()), ("10.1.0.4@tcp:/lustrefs", 1));
    assert_eq!(mounted(&[("fs-name", "hpc")]), ("10.1.0.4@tcp:/hpc".to_owned(), vec![]));
}

#[test]
fn an_address_must_be_in_the_context() {
    for empty in [&[("mgs-ip-address", "")] as &[(&str, &str)], &[("mds-ip-address", "10.0.0.4")], &[]] {
        let entries = empty.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let error = parse(&entries, Path::new("/target"), UnknownAttributes::Refuse).unwrap_err().to_string();
        assert!(error.starts_with("mgs-ip-address: missing"), "{error}");
    }
}
