//! StorageClass parameters: exactly the bad keys and values are reported.

use std::collections::{BTreeMap, BTreeSet};

use azurelustre_csi::domain::parameters::{self, Parameters};
use azurelustre_csi::domain::text::quote;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::config;
use crate::generators::{any_parameters, hostile, written_keys};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn exactly_the_bad_keys_and_values_are_reported(
        keys in written_keys(30), unknown in vec(hostile(), 0..4),
        mgs in option::of(select(&[("10.0.0.4", true), (" mgs.example:10.0.0.5@tcp ", true), ("", false), ("a#b", false)][..])),
    ) {
        let mgs = mgs.map(|(value, good)| ("MGS-ip-address", value, good));
        let known = keys.iter().copied().chain(mgs);
        let unknown = unknown.iter().filter(|key| parameters::canonical(key).is_none() && !parameters::is_reserved(key));
        let map: BTreeMap<String, String> = known.clone().map(|(key, value, _)| (key.to_owned(), value.to_owned()))
            .chain(unknown.clone().map(|key| (key.clone(), "x".to_owned()))).collect();
        let expected: BTreeSet<String> = known.filter(|(_, _, good)| !good).map(|(key, _, _)| key.to_owned())
            .chain(unknown.map(|key| quote(key))).collect();
        let found = match Parameters::parse(&map) {
            Ok(read) => {
                prop_assert_eq!(matches!(read, Parameters::Existing(_)), mgs.is_some());
                BTreeSet::new()
            }
            Err(problems) => problems.as_slice().iter().map(|problem| problem.place.clone()).collect(),
        };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_parameters_are_read_or_refused_with_a_reason(map in any_parameters()) {
        if let Err(problems) = Parameters::parse(&map) {
            prop_assert!(!problems.is_empty());
            prop_assert!(!problems.as_slice().iter().any(|problem| problem.message.is_empty()));
        }
    }

    #[test]
    fn quoted_text_stays_on_its_line(text in hostile()) {
        prop_assert!(!quote(&text).contains(char::is_control));
        prop_assert!(quote(&text).len() <= 1000);
    }
}
