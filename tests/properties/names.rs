//! Names: each volume has a valid one of its own, and none changes the path of a request.

use azurelustre_csi::domain::names::{FilesystemName, Location, NetworkName, ResourceGroup, Zone};
use proptest::prelude::*;

use crate::config;
use crate::generators::{hostile, word};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_volume_has_a_valid_name_of_its_own(one in hostile(), other in hostile()) {
        let name = FilesystemName::for_volume(&one);
        prop_assert_eq!(FilesystemName::parse(name.as_str()), Ok(name.clone()));
        prop_assert_eq!(&FilesystemName::for_volume(&one), &name);
        prop_assert_eq!(&FilesystemName::for_volume(name.as_str()), &name);
        prop_assert_eq!(FilesystemName::for_volume(&other) == name, one == other);
    }

    #[test]
    fn no_name_can_change_the_path_of_a_request(text in prop_oneof![hostile(), word()]) {
        let names = [
            FilesystemName::parse(&text).map(|name| name.to_string()),
            ResourceGroup::parse(&text).map(|name| name.to_string()),
            NetworkName::parse(&text).map(|name| name.to_string()),
            Location::parse(&text).map(|name| name.to_string()),
            Zone::parse(&text).map(|name| name.to_string()),
        ];
        for name in names.into_iter().flatten() {
            let bad = |c: char| c.is_control() || c.is_whitespace() || "/\\%?#&:;".contains(c);
            prop_assert!(!name.is_empty() && !name.contains(bad) && !matches!(name.as_str(), "." | ".."), "{:?}", name);
        }
        if let Ok(location) = Location::parse(&text) {
            prop_assert_eq!(Location::parse(location.as_str()), Ok(location));
        }
        if let Ok(group) = ResourceGroup::parse(&text) {
            prop_assert!(group.is(&group));
        }
    }
}
