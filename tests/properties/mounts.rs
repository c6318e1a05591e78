//! Mount options, sources and plans: only allowed words reach the kernel.

use std::collections::BTreeSet;
use std::path::Component;

use azurelustre_csi::domain::mount::{MountPlan, Mounted, Occupancy};
use azurelustre_csi::domain::mount_options::MountOptions;
use azurelustre_csi::domain::mount_source::{FsName, MgsAddress, MountSource};
use azurelustre_csi::domain::problem::Problems;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::config;
use crate::generators::{WORDS, any_mount, hostile, mgs_text, mount_flag, publish_request};
use crate::sub_dirs::stays_below;

fn options_of(words: &[&'static str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..config() })]

    #[test]
    fn nothing_but_allowed_words_reaches_the_kernel(flags in vec(mount_flag(), 0..6)) {
        let Ok(options) = MountOptions::parse(&flags) else { return Ok(()) };
        let words = options.words();
        for word in &words {
            prop_assert!(WORDS.split(' ').any(|allowed| allowed == *word), "{}", word);
            prop_assert!(!word.contains([',', '=']));
        }
        let again: Vec<String> = options_of(&words).into_iter().chain(options.selinux.clone()).collect();
        prop_assert_eq!(MountOptions::parse(&again), Ok(options.clone()));
        prop_assert_eq!(MountOptions::parse(&[again.join(",")]), Ok(options.clone()), "one string with all of them");
        prop_assert_eq!(options.missing_from(&options_of(&words)), None);
        let single = flags.iter().all(|flag| !flag.contains([',', '"']));
        let trimmed: Vec<&str> = flags.iter().map(|flag| flag.trim()).collect();
        prop_assert!(!single || !trimmed.iter().any(|flag| flag.starts_with("device")));
        let last = trimmed.iter().rev().find(|flag| ["ro", "rw"].contains(flag));
        prop_assert!(!single || options.read_only == last.is_some_and(|flag| *flag == "ro"));
    }

    #[test]
    fn a_label_of_selinux_cannot_end_early(flags in vec(mount_flag(), 0..6)) {
        let Ok(options) = MountOptions::parse(&flags) else { return Ok(()) };
        let mut keys = BTreeSet::new();
        for label in &options.selinux {
            let (key, value) = label.split_once('=').unwrap();
            prop_assert!(["context", "fscontext", "defcontext", "rootcontext"].contains(&key) && keys.insert(key));
            let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let alphabet = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c) || (c == ',' && quoted.is_some());
            let plain = quoted.unwrap_or(value);
            prop_assert!(!plain.is_empty() && plain.chars().all(alphabet), "{}", label);
        }
    }

    #[test]
    fn an_mgs_address_has_one_normal_form(text in prop_oneof![mgs_text(), hostile()]) {
        if let Ok(address) = MgsAddress::parse(&text) {
            let shown = address.to_string();
            prop_assert!(!shown.contains(|c: char| c.is_whitespace() || c.is_control() || "#/".contains(c)), "{:?}", shown);
            prop_assert_eq!(MgsAddress::parse(&shown), Ok(address));
        }
    }

    #[test]
    fn generated_mgs_addresses_are_taken(text in mgs_text()) {
        prop_assert!(MgsAddress::parse(&text).is_ok(), "{}", text);
    }

    #[test]
    fn a_mount_source_has_one_normal_form(
        mgs in mgs_text(), slashes in "/{1,3}", fs_name in "[a-zA-Z0-9_-]{1,8}", dir in hostile(), text in hostile(),
    ) {
        for text in [text, format!("{mgs}:{slashes}{fs_name}{slashes}{dir}")] {
            let Ok(source) = MountSource::parse(&text) else { continue };
            prop_assert!(!source.to_string().contains(|c: char| c.is_control() || c == '#'));
            prop_assert!(source.sub_dir.as_ref().is_none_or(|dir| stays_below("/mnt", dir)));
            prop_assert_eq!(MountSource::parse(&source.to_string()), Ok(source.clone()));
            prop_assert_eq!(MountSource::parse(&source.root().to_string()), Ok(source.root()));
        }
    }

    #[test]
    fn a_file_system_name_is_one_path_component(text in hostile()) {
        if let Ok(name) = FsName::parse(&text) {
            prop_assert!((1..=8).contains(&name.as_str().len()) && !name.as_str().contains(['/', '#', '.']));
        }
    }

    #[test]
    fn any_publish_request_is_planned_or_refused_with_a_reason(request in publish_request()) {
        let planned = MountPlan::new(&request);
        prop_assert!(!planned.as_ref().is_err_and(Problems::is_empty));
        let Ok(plan) = planned else { return Ok(()) };
        prop_assert!(plan.target == request.target && plan.target.is_absolute() && plan.target.file_name().is_some());
        prop_assert!(!plan.target.components().any(|part| part == Component::ParentDir) && !plan.volume_id.is_empty());
        prop_assert!(plan.source.sub_dir.as_ref().is_none_or(|dir| stays_below("/mnt", dir)));
        prop_assert!(plan.options.read_only || !request.read_only);
        prop_assert_eq!(plan.occupancy(&[]), Occupancy::Free);

        let ours = Mounted {
            source: plan.source.to_string(),
            fs_type: "lustre".to_owned(),
            options: options_of(&plan.options.words()),
        };
        let mounted = |one: &Mounted| plan.occupancy(std::slice::from_ref(one));
        prop_assert_eq!(mounted(&ours), Occupancy::AsPlanned, "a repeated call does not find its own mount");
        for other in [
            Mounted { source: format!("{}/more", plan.source), ..ours.clone() },
            Mounted { source: "10.9.9.9@tcp:/lustrefs".to_owned(), ..ours.clone() },
            Mounted { fs_type: "tmpfs".to_owned(), ..ours.clone() },
            Mounted { options: options_of(if plan.options.read_only { &["rw"] } else { &["ro"] }), ..ours.clone() },
        ] {
            prop_assert!(matches!(mounted(&other), Occupancy::Other(_)), "{:?}", other);
        }
    }

    #[test]
    fn what_is_found_is_never_mounted_over(request in publish_request(), found in vec(any_mount(), 1..4)) {
        if let Ok(plan) = MountPlan::new(&request) {
            prop_assert!(matches!(plan.occupancy(&found), Occupancy::AsPlanned | Occupancy::Other(_)));
        }
    }
}
