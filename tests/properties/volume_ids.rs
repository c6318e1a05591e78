//! Volume ids: read back as written, and only a dynamic one names what to delete.

use azurelustre_csi::domain::reclaim;
use azurelustre_csi::domain::volume_id::{Origin, VolumeId, VolumeIdFields};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::config;
use crate::generators::{hostile, origin, word};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_volume_id_reads_back_as_written_or_is_not_written(
        texts in [hostile(), hostile(), hostile(), hostile(), hostile()], origin in origin(),
    ) {
        let [name, fs_name, mgs_address, sub_dir, resource_group] = texts.clone();
        let built = VolumeId::new(VolumeIdFields { name: name.clone(), fs_name, mgs_address, sub_dir, origin, resource_group: resource_group.clone() });
        prop_assert_eq!(built.is_err(), texts.iter().any(|text| text.contains('#')));
        if let Ok(id) = built {
            prop_assert_eq!(VolumeId::parse(&id.to_string()), Some(id.clone()));
            prop_assert_eq!((id.origin, &id.name, &id.resource_group), (origin, &name, &resource_group));
            if origin == Origin::Static {
                prop_assert_eq!(reclaim::plan(&id.to_string()), Ok(None), "a static id asks for a deletion");
            }
        }
    }

    #[test]
    fn every_form_of_a_volume_id_gives_its_fields(fields in vec(hostile().prop_map(|text| text.replace('#', "")), 1..9)) {
        let id = VolumeId::parse(&fields.join("#"));
        prop_assert_eq!(id.is_some(), (3..=6).contains(&fields.len()));
        if let Some(id) = id {
            let field = |index: usize| fields.get(index).map_or("", String::as_str);
            prop_assert_eq!([&id.name, &id.mgs_address, &id.resource_group], [field(0), field(2), field(5)]);
            prop_assert_eq!([&id.fs_name, &id.sub_dir], [field(1), field(3)].map(|text| text.trim_matches('/')));
            prop_assert_eq!(id.origin == Origin::Dynamic, field(4) == "t");
        }
    }

    #[test]
    fn any_text_is_read_or_refused_as_a_volume_id(text in hostile()) {
        if let Some(id) = VolumeId::parse(&text) {
            prop_assert_eq!(VolumeId::parse(&id.to_string()), Some(id));
        }
    }

    #[test]
    fn only_a_dynamic_id_names_what_to_delete_and_exactly_that(
        name in word(), group in word(), flag in prop_oneof![Just("t".to_owned()), Just("f".to_owned()), hostile()],
        text in hostile(),
    ) {
        for id in [text, format!("{name}#lustrefs#10.0.0.4##{flag}#{group}")] {
            let Ok(Some(target)) = reclaim::plan(&id) else { continue };
            let fields: Vec<&str> = id.split('#').collect();
            prop_assert_eq!((fields[4], fields.len()), ("t", 6));
            prop_assert_eq!((target.name.as_str(), target.resource_group.as_str()), (fields[0], fields[5]));
        }
    }
}
