//! Tags: the user's never touch the driver's own.

use std::collections::BTreeSet;

use azurelustre_csi::domain::tags;
use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::select;

use crate::config;
use crate::generators::{hostile, tag_text};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn tags_never_touch_the_drivers_own(text in prop_oneof![tag_text(), hostile()]) {
        let Ok(tags) = tags::parse("tags", &text, ",", |_| Some("value")) else { return Ok(()) };
        let keys: BTreeSet<String> = tags.keys().map(|key| key.to_ascii_lowercase()).collect();
        prop_assert!(tags.len() <= 46 && keys.len() == tags.len());
        for reserved in [tags::CREATED_BY, tags::PVC_NAME, tags::PVC_NAMESPACE, tags::PV_NAME] {
            prop_assert!(!keys.contains(reserved));
        }
        for (key, value) in &tags {
            prop_assert!(!key.is_empty() && !key.contains(['<', '>', '%', '&', '\\', '?', '/', ',', '=']));
            let expanded = !key.contains("${") && !value.contains("${");
            prop_assert!(expanded);
            prop_assert!(!key.contains(char::is_control) && !value.contains(char::is_control));
            prop_assert!(key.chars().count() <= 512 && value.chars().count() <= 256);
        }
    }

    #[test]
    fn tags_are_read_as_meant_whatever_blanks_surround_them(
        tags in btree_map("[a-z][a-z0-9 .:-]{0,9}[a-z0-9]", "([a-zA-Z0-9/?&%]([ -:<=?-z,]{0,9}[a-zA-Z0-9=])?)?", 0..8),
        blank in select(&["", " ", "\n", " \t", "\r\n"][..]),
        delimiter in select(&[";", "|", ",", ">", "||"][..]),
    ) {
        prop_assume!(!tags.values().any(|value| value.contains(delimiter)));
        let pairs: Vec<String> = tags.iter().map(|(key, value)| format!("{blank}{key}{blank}={blank}{value}{blank}")).collect();
        prop_assert_eq!(tags::parse("tags", &pairs.join(delimiter), delimiter, |_| None), Ok(tags));
    }
}
