//! Reclaim decisions of DeleteVolume: what a volume id may delete, and the next step.
//!
//! The worst thing that this driver could do is delete data that it did not create. A file system goes only if the
//! volume id says that it was made for the volume, and its own tags say so too, at every observation.

use super::filesystem::{Observed, ProvisioningState};
use super::names::{FilesystemId, FilesystemName, ResourceGroup};
use super::ownership::{self, NotOwned};
use super::problem::Problem;
use super::text::quote;
use super::volume_id::{FIELDS_MAX, Origin, SEPARATOR, VolumeId};

/// The file system that a volume id asks to delete, if the tags of the file system agree; `None` for a static volume and for a
/// handle of another driver. An id that says "dynamic" but does not say where, and one with more fields than this driver ever
/// wrote, are errors: something that is billed may be behind them, and success would forget it.
pub fn plan(volume_id: &str) -> Result<Option<FilesystemId>, Problem> {
    let problem = |rule: String| Problem::of("volume id", format!("{}: {rule}", quote(volume_id)));
    let fields = volume_id.split(SEPARATOR).count();
    if fields > FIELDS_MAX {
        let hint = "delete what is behind it by hand, then remove the PersistentVolume";
        return Err(problem(format!("it has {fields} fields between `#`, more than {FIELDS_MAX}; {hint}")));
    }
    let Some(id) = VolumeId::parse(volume_id).filter(|id| id.origin == Origin::Dynamic) else { return Ok(None) };
    if id.resource_group.is_empty() {
        return Err(problem("it names a file system made for the volume but no resource group; delete the file system by hand, then remove the PersistentVolume".into()));
    }
    Ok(Some(FilesystemId {
        resource_group: ResourceGroup::parse(&id.resource_group).map_err(|error| problem(error.to_string()))?,
        name: FilesystemName::parse(&id.name).map_err(|error| problem(error.to_string()))?,
    }))
}

/// What to do next to delete a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReclaimStep {
    /// It is gone.
    Done,
    /// Ask for its deletion.
    Delete,
    /// It is being deleted; observe again later.
    Wait,
    /// It is not owned by this driver, or was made for another volume.
    Refuse(NotOwned),
}

/// Decides the next step of a deletion.
pub fn next(observed: &Observed, name: &FilesystemName) -> ReclaimStep {
    match observed {
        Observed::Absent => ReclaimStep::Done,
        Observed::Present(found) => match ownership::check(name, &found.tags) {
            Err(reason) => ReclaimStep::Refuse(reason),
            Ok(()) if found.state == ProvisioningState::Deleting => ReclaimStep::Wait,
            Ok(()) => ReclaimStep::Delete,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::filesystem::Filesystem;
    use crate::domain::tags::{CREATED_BY, CREATED_BY_US};

    #[test]
    fn only_dynamic_ids_name_something_to_delete() {
        for nothing in ["", "any-handle", "v#lustrefs#1.1.1.1", "v#lustrefs#1.1.1.1##f#rg", "a#b"] {
            assert_eq!(plan(nothing), Ok(None), "{nothing:?}");
        }
        let Ok(Some(id)) = plan("pvc-1#lustrefs#1.1.1.1#sub#t#rg1") else { panic!("not planned") };
        assert_eq!((id.name.as_str(), id.resource_group.as_str()), ("pvc-1", "rg1"));
    }

    #[test]
    fn an_id_with_something_billed_behind_it_is_never_forgotten() {
        for bad in [
            "v1#fs#1.1.1.1##t",
            "v1#fs#1.1.1.1##t#",
            "v1#fs#1.1.1.1##t#..",
            "../x#fs#1.1.1.1##t#rg",
            "#fs#1##t#rg",
            "a#b#c#t#t#rg#x",
            "v1#fs#1.1.1.1##f#rg#x",
            "#######",
        ] {
            assert!(plan(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_what_is_tagged_as_ours_is_deleted() {
        use ProvisioningState::{Canceled, Creating, Deleting, Failed, Succeeded};
        let name = FilesystemName::for_volume("pvc-1");
        let found = |state, creator: &str| {
            let tags = [(CREATED_BY.to_owned(), creator.to_owned())].into();
            Observed::Present(Box::new(Filesystem { tags, ..Filesystem::new(state) }))
        };
        for state in [Creating, Failed, Succeeded, Canceled] {
            assert_eq!(next(&found(state.clone(), CREATED_BY_US), &name), ReclaimStep::Delete);
            assert!(matches!(next(&found(state, "terraform"), &name), ReclaimStep::Refuse(_)));
        }
        assert_eq!(next(&found(Deleting, CREATED_BY_US), &name), ReclaimStep::Wait);
        assert!(matches!(next(&found(Deleting, "terraform"), &name), ReclaimStep::Refuse(_)));
        assert_eq!(next(&Observed::Absent, &name), ReclaimStep::Done);
    }
}
