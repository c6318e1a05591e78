//! What is mounted at a target, compared with the plan of a mount.

use std::path::Path;

use super::blocking::BlockingMounter;
use super::operation_registry::MountAttempt;
use super::vol_data::VolData;
use super::{errno, host_names};
use crate::adapters::mountinfo::MountEntry;
use crate::adapters::target;
use crate::domain::mount::{FS_TYPE, MountPlan, Mounted, Occupancy};
use crate::domain::mount_source::{FsName, MountSource};
use crate::ports::mounter::{MountError, MountErrorKind, MountOutcome};

const OPERATION: &str = "mount";
/// Most entries of a directory that are counted for the warning.
const COUNTED: usize = 1000;

impl BlockingMounter {
    /// The mounts at a target that exists; none if nothing is mounted there. `replace` is the mount id of a corrupt mount,
    /// which is unmounted first.
    pub(super) fn occupancy(
        &self,
        plan: &MountPlan,
        canonical: &Path,
        replace: Option<u64>,
    ) -> Result<Option<MountAttempt>, MountError> {
        let mut stack = self.mounts(OPERATION, &plan.target)?.at(canonical);
        if replace.is_some() && stack.last().map(|top| top.id) == replace {
            self.unmount_or_detach(canonical).map_err(|errno| errno::of_unmount(errno, &plan.target).unknown())?;
            self.records.remove(canonical);
            stack = self.mounts(OPERATION, &plan.target)?.at(canonical);
        }
        let Some(top) = stack.last() else {
            target::check_directory(&plan.target, canonical)?;
            warn_of_entries(plan, canonical);
            return Ok(None);
        };
        let found = self.is_ours(top).then(|| (canonical.to_owned(), top.id));
        let mounts = stack.iter().map(|mount| self.as_mounted(mount, plan)).collect::<Result<Vec<_>, _>>()?;
        let outcome = match plan.occupancy(&mounts) {
            Occupancy::Other(description) => MountOutcome::Occupied(description),
            Occupancy::Free | Occupancy::AsPlanned => MountOutcome::AlreadyMounted,
        };
        Ok(Some(MountAttempt { outcome, found }))
    }

    /// A mount as the domain compares it: the type that stands for Lustre is called so, and a source that is the plan's is
    /// spelled as the plan spells it.
    fn as_mounted(&self, mount: &MountEntry, plan: &MountPlan) -> Result<Mounted, MountError> {
        let MountEntry { source, fs_type, options, .. } = mount.clone();
        let mut mounted = Mounted { source, fs_type, options };
        if self.is_ours(mount) {
            FS_TYPE.clone_into(&mut mounted.fs_type);
            if self.is_of_plan(mount, plan)? {
                mounted.source = plan.source.to_string();
            }
        }
        Ok(mounted)
    }

    /// Whether a mount is of the plan's source, however it is written. A name that cannot be resolved now is no difference:
    /// kubelet's own record of the target decides then, or it stays unknown.
    pub(super) fn is_of_plan(&self, mount: &MountEntry, plan: &MountPlan) -> Result<bool, MountError> {
        if self.records.of(mount).is_some_and(|record| record.source == plan.source) {
            return Ok(true);
        }
        // `lustrefs` is mounted where the MGS has no file system of the planned name.
        let lustrefs = MountSource { fs_name: FsName::default(), ..plan.source.clone() };
        let mounted = mount.sources().filter_map(|text| MountSource::parse(text).ok());
        let compare = |mounted: MountSource| {
            [&plan.source, &lustrefs].map(|planned| host_names::is_same_source(&*self.syscalls, planned, &mounted))
        };
        let same: Vec<_> = mounted.flat_map(compare).collect();
        if same.contains(&Some(true)) || !same.contains(&None) {
            return Ok(same.contains(&Some(true)));
        }
        if VolData::beside(&mount.mount_point).volume_handle.is_some_and(|id| id == plan.volume_id) {
            return Ok(true);
        }
        let (mounted, planned) = (&mount.source, &plan.source);
        let message =
            format!("whether the mount of {mounted} there is of {planned} is unknown: a host name cannot be resolved");
        Err(MountError::at(MountErrorKind::Unknown, OPERATION, &plan.target, message)
            .with_hint("check the node's DNS, or give the address as a number"))
    }
}

/// Warns of files in a target that the mount will hide: they make its removal fail after the unmount.
fn warn_of_entries(plan: &MountPlan, canonical: &Path) {
    let entries = std::fs::read_dir(canonical).map_or(0, |entries| entries.take(COUNTED).count());
    if entries > 0 {
        tracing::warn!(
            target = %plan.target.display(), entries, volume = plan.volume_id,
            "the target holds files that were written while nothing was mounted; the mount hides them, and unpublish will \
             fail until they are moved elsewhere"
        );
    }
}
