//! Tables of accepted and refused parameters.

use super::*;

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

const MINIMAL: [(&str, &str); 3] = [
    ("sku-name", "AMLFS-Durable-Premium-125"),
    ("maintenance-day-of-week", "friday"),
    ("maintenance-time-of-day-utc", "22:00"),
];

fn dynamic_with(more: &[(&str, &str)]) -> Result<DynamicParameters, Violations> {
    match Parameters::parse(&map(&[&MINIMAL, more].concat()))? {
        Parameters::Dynamic(dynamic) => Ok(*dynamic),
        Parameters::Existing(_) => panic!("not static"),
    }
}

#[test]
fn the_articles_spelling_and_any_case_are_read() {
    let dynamic =
        dynamic_with(&[("Resource-Group", "rg1"), ("ZONES", "1"), ("sub-dir", "/a/${pvc.metadata.name}/")]).unwrap();
    assert_eq!(dynamic.resource_group.unwrap().as_str(), "rg1");
    assert_eq!(dynamic.zone.unwrap().as_str(), "1");
    assert_eq!(dynamic.maintenance.day_of_week, "Friday");
    assert_eq!(dynamic.sub_dir.unwrap().as_str(), "a/${pvc.metadata.name}");
}

#[test]
fn an_mgs_address_makes_it_static() {
    let entries = [("mgs-ip-address", " 10.0.0.4 "), ("fs-name", "/myfs/"), ("sub-dir", "a")];
    let Parameters::Existing(existing) = Parameters::parse(&map(&entries)).unwrap() else { panic!("not dynamic") };
    assert_eq!((existing.mgs_text.as_str(), existing.fs_name.as_str()), ("10.0.0.4", "myfs"));
    assert_eq!(existing.sub_dir.unwrap().as_str(), "a");
    for bad in ["", " ", "10.0.0.4#x", "a b"] {
        let error = Parameters::parse(&map(&[("mgs-ip-address", bad)])).unwrap_err();
        assert_eq!(error.as_slice().len(), 1, "{error}");
        assert_eq!(error.as_slice()[0].field, "mgs-ip-address");
    }
}

#[test]
fn every_bad_key_and_value_is_told_at_once() {
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
        ("fs-name", "other"),
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
        "fs-name",
    ] {
        assert!(text.contains(field), "{field} is not in {text}");
    }
    assert!(!text.contains("zone"), "{text}");
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
        assert_eq!(error.as_slice()[0].field, missing);
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
