//! Ownership of a file system, as its tags say: the one check before anything is adopted or deleted.
//!
//! Any user who may create a PersistentVolume chooses its volume id, and a name can be taken by a file system that a person
//! made by hand. Only tags prove that this driver (or the Go driver) made it for this volume.

use std::collections::BTreeMap;

use super::names::FilesystemName;
use super::tags::{CREATED_BY, CREATED_BY_US, PV_NAME};
use super::text::quote;

/// Why a file system is not owned by this driver, or was not made for the volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOwned {
    /// The creator's tag is missing.
    #[error("it has no tag {CREATED_BY}; those of this driver have {CREATED_BY_US}")]
    Untagged,
    /// The creator's tag names another creator.
    #[error("its tag {CREATED_BY} is {0}, not {CREATED_BY_US}")]
    OtherCreator(String),
    /// Made by this driver, but for another volume.
    #[error("its tag {PV_NAME} is {0}, which is another volume")]
    OtherVolume(String),
}

/// Whether the tags of the file system `name` say that it was made by this driver for the volume of that name.
pub fn check(name: &FilesystemName, tags: &BTreeMap<String, String>) -> Result<(), NotOwned> {
    let tag = |wanted: &str| tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, value)| value);
    match tag(CREATED_BY) {
        None => return Err(NotOwned::Untagged),
        Some(creator) if creator != CREATED_BY_US => return Err(NotOwned::OtherCreator(quote(creator))),
        Some(_) => {}
    }
    match tag(PV_NAME) {
        Some(volume) if FilesystemName::for_volume(volume) != *name => Err(NotOwned::OtherVolume(quote(volume))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(tags: &[(&str, &str)]) -> Result<(), NotOwned> {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        check(&FilesystemName::for_volume("pvc-1"), &tags)
    }

    #[test]
    fn only_our_tag_for_this_volume_passes() {
        assert_eq!(checked(&[(CREATED_BY, CREATED_BY_US)]), Ok(()));
        assert_eq!(checked(&[(CREATED_BY, CREATED_BY_US), (PV_NAME, "pvc-1")]), Ok(()));
        assert_eq!(checked(&[("K8S-AZURE-CREATED-BY", CREATED_BY_US)]), Ok(()));
        assert_eq!(checked(&[]), Err(NotOwned::Untagged));
        assert_eq!(checked(&[(CREATED_BY, "terraform")]), Err(NotOwned::OtherCreator("`terraform`".into())));
        let other = checked(&[(CREATED_BY, CREATED_BY_US), (PV_NAME, "pvc-2")]);
        assert_eq!(other, Err(NotOwned::OtherVolume("`pvc-2`".into())));
    }

    #[test]
    fn the_tag_is_mapped_by_the_same_naming_rule() {
        let tags = [(CREATED_BY.to_owned(), CREATED_BY_US.to_owned()), (PV_NAME.to_owned(), "a.b".to_owned())].into();
        assert_eq!(check(&FilesystemName::for_volume("a.b"), &tags), Ok(()));
    }
}
