//! Tables of accepted and refused parameters.

use super::*;
use crate::domain::problem::Severity;

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

const MINIMAL: [(&str, &str); 3] = [
    ("sku-name", "AMLFS-Durable-Premium-125"),
    ("maintenance-day-of-week", "friday"),
    ("maintenance-time-of-day-utc", "22:00"),
];

fn dynamic_with(more: &[(&str, &str)]) -> Result<DynamicParameters, Problems> {
    match Parameters::parse(&map(&[&MINIMAL, more].concat()))? {
        Parameters::Dynamic(dynamic) => Ok(*dynamic),
        Parameters::Existing(_) => panic!("not static"),
    }
}

#[test]
fn the_articles_spelling_and_any_case_are_read() {
    let dynamic =
        dynamic_with(&[("Resource-Group", "rg1"), ("ZONES", "1"), ("sub-dir", "/a/${pvc.metadata.name}/")]).unwrap();
    assert_eq!(dynamic.placement.resource_group.unwrap().as_str(), "rg1");
    assert_eq!(dynamic.zone.unwrap().as_str(), "1");
    assert_eq!(dynamic.maintenance.day_of_week, "Friday");
    assert_eq!(dynamic.sub_dir.unwrap().as_str(), "a/${pvc.metadata.name}");
}

#[test]
fn an_mgs_address_makes_it_static() {
    let entries = [("mgs-ip-address", " 10.0.0.4 "), ("fs-name", "/myfs/"), ("sub-dir", "a")];
    let Parameters::Existing(existing) = Parameters::parse(&map(&entries)).unwrap() else { panic!("not dynamic") };
    assert_eq!((existing.mgs_address.as_str(), existing.fs_name.as_str()), ("10.0.0.4", "myfs"));
    assert_eq!(existing.sub_dir.unwrap().as_str(), "a");
    for bad in ["", " ", "10.0.0.4#x", "a b"] {
        let error = Parameters::parse(&map(&[("mgs-ip-address", bad)])).unwrap_err();
        assert_eq!(error.as_slice().len(), 1, "{error}");
        assert_eq!(error.as_slice()[0].place, "mgs-ip-address");
    }
}

#[test]
fn every_bad_key_and_value_is_reported_at_once() {
    let error = Parameters::parse(&map(&[
        ("sku-nam", "x"),
        ("maintenance-day-of-week", "Fryday"),
        ("maintenance-time-of-day-utc", "24:00"),
        ("zone", ""),
        ("location", "east/us"),
        ("resource-group-name", "../x"),
        ("vnet-name", "a b"),
        ("identities", "mine"),
        ("tags", "a"),
        ("sub-dir", "//"),
        ("tag-value-delimiter", "a"),
    ]))
    .unwrap_err();
    let text = error.to_string();
    for field in [
        "`sku-nam`: invalid parameter; did you mean sku-name?",
        "sku-name: missing",
        "did you mean Friday?",
        "24:00",
        "location",
        "resource-group-name",
        "vnet-name",
        "identities",
        "tags",
        "sub-dir",
        "tag-value-delimiter",
    ] {
        assert!(text.contains(field), "{field} is not in {text}");
    }
    assert!(!text.contains("zone"), "{text}");
}

fn notices_of(entries: &[(&str, &str)]) -> Vec<String> {
    notices(&map(entries)).iter().map(ToString::to_string).collect()
}

#[test]
fn an_fs_name_that_is_not_used_is_passed_over_with_one_notice() {
    let Ok(Parameters::Existing(existing)) =
        Parameters::parse(&map(&[("mgs-ip-address", "10.1.0.6"), ("fs-name", "lustreAKS")]))
    else {
        panic!("refused")
    };
    assert_eq!((existing.fs_name.as_str(), existing.fs_name_replaced), ("lustrefs", true));
    let notices = notices_of(&[("mgs-ip-address", "10.1.0.6"), ("FS-Name", "lustreAKS")]);
    assert_eq!(notices.len(), 1);
    assert!(notices[0].contains("`lustreAKS`") && notices[0].contains("lustrefs is used"), "{notices:?}");
    for name in ["other", "lustreAKS", "a b"] {
        assert!(dynamic_with(&[("fs-name", name)]).is_ok(), "{name}");
        assert!(notices_of(&[("fs-name", name)])[0].contains("passed over"), "{name}");
    }
    for silent in ["", "lustrefs", "/lustrefs/"] {
        assert!(notices_of(&[("fs-name", silent)]).is_empty(), "{silent}");
        assert!(notices_of(&[("mgs-ip-address", "10.1.0.6"), ("fs-name", silent)]).is_empty(), "{silent}");
    }
    assert!(notices_of(&[("mgs-ip-address", "10.1.0.6"), ("fs-name", "hpc")]).is_empty());
}

#[test]
fn metadata_of_newer_components_is_passed_over() {
    for key in ["csi.storage.k8s.io/foo", "CSI.storage.k8s.io/pvc/uid", "storage.kubernetes.io/csiProvisionerIdentity"]
    {
        assert!(dynamic_with(&[(key, "x")]).is_ok(), "{key}");
        let found = notices(&map(&[(key, "x")]));
        assert!(matches!(found.as_slice(), [Notice { severity: Severity::Debug, .. }]), "{found:?}");
    }
    for unknown in ["csi.storage.k8s.io", "xcsi.storage.k8s.io/foo", "foo"] {
        assert!(dynamic_with(&[(unknown, "x")]).is_err(), "{unknown}");
    }
    assert!(notices(&map(&[(PVC_NAME, "a"), ("zone", "1")])).is_empty());
}

#[test]
fn tags_have_a_delimiter_and_variables() {
    for key in ["tagValueDelimiter", "tag-value-delimiter", "tagvaluedelimiter"] {
        let dynamic =
            dynamic_with(&[("tags", "hosts=a,b;claim=${pvc.metadata.name}"), (key, " ; "), (PVC_NAME, "scratch")]);
        let tags = dynamic.unwrap().tags;
        assert_eq!(tags, map(&[("hosts", "a,b"), ("claim", "scratch")]), "{key}");
    }
    assert_eq!(dynamic_with(&[("tags", "a=b"), ("tag-value-delimiter", "")]).unwrap().tags, map(&[("a", "b")]));
    assert!(dynamic_with(&[("tags", "claim=${pvc.metadata.name}")]).is_err());
    assert!(dynamic_with(&[("tagValueDelimiter", ";"), ("tag-value-delimiter", "|")]).is_err());
}

#[test]
fn a_host_name_is_the_same_with_the_full_stop_that_resolvers_write() {
    let text = |mgs| match Parameters::parse(&map(&[("mgs-ip-address", mgs)])) {
        Ok(Parameters::Existing(existing)) => (MgsAddress::parse(&existing.mgs_address), existing.mgs_address),
        other => panic!("{other:?}"),
    };
    assert_eq!(text("mgs.example."), text("mgs.example"));
    assert_eq!(text("a.@tcp,b.:c."), text("a@tcp,b:c"));
    assert_eq!(text("MGS.example.:10.0.0.4").1, "MGS.example:10.0.0.4");
}

#[test]
fn two_spellings_with_different_values_are_refused() {
    assert!(dynamic_with(&[("zone", "1"), ("zones", "1")]).is_ok());
    let error = dynamic_with(&[("zone", "1"), ("zones", "2")]).unwrap_err();
    assert!(error.to_string().contains("give it once"), "{error}");
    assert!(dynamic_with(&[("Location", "eastus"), ("location", "westus")]).is_err());
}

#[test]
fn what_a_new_file_system_needs_is_required() {
    for (missing, _) in MINIMAL {
        let rest: Vec<_> = MINIMAL.into_iter().filter(|(key, _)| *key != missing).collect();
        let error = Parameters::parse(&map(&rest)).unwrap_err();
        assert_eq!(error.as_slice().len(), 1, "{error}");
        assert_eq!(error.as_slice()[0].place, missing);
    }
}

#[test]
fn times_follow_the_arm_pattern() {
    for good in ["0:00", "9:59", "23:59", "09:05"] {
        assert!(time_of_day(good).is_ok(), "{good}");
    }
    for bad in ["", "24:00", "12:60", "1200", "12:5", "012:00", "+1:00", "1:+5", "12:00:00"] {
        assert!(time_of_day(bad).is_err(), "{bad}");
    }
}

#[test]
fn identities_are_arm_ids() {
    let id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one";
    assert_eq!(dynamic_with(&[("identities", &format!("{id}, {id}2"))]).unwrap().identities.len(), 2);
    for bad in [&format!("{id}/.."), "/subscriptions/s", &id.replace("/rg/", "/../"), &format!("{id},")] {
        assert!(dynamic_with(&[("identities", bad)]).is_err(), "{bad}");
    }
}
