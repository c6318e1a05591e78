//! Mount, unmount, usage and list of simulated mounts, synchronous: observe the target, decide with the mount table, then
//! act in the node's mode.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::attachment::{Mode, Seen};
use super::filesystem::Filesystem;
use super::mount_table::{Entry, MountTable, TargetLock};
use crate::adapters::simulator::servers::Servers;
use crate::adapters::target;
use crate::domain::mount::{MountPlan, Mounted, Occupancy};
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind, MountOutcome, Usage};

/// The mounts of one simulated node. Every method may block.
#[derive(Debug)]
pub(super) struct Mounts {
    servers: Arc<Servers>,
    mode: Mode,
    table: MountTable,
}

impl Mounts {
    pub(super) fn new(servers: Arc<Servers>, mode: Mode) -> Self {
        Self { servers, mode, table: MountTable::default() }
    }

    pub(super) fn published(&self, plan: &MountPlan) -> Result<Vec<PathBuf>, MountError> {
        let own = target::canonical("list the mounts of", &plan.target)?;
        let mut targets = vec![];
        for (target, entry) in self.table.unlocked() {
            if entry.volume_id == plan.volume_id && !self.seen_at(&target, Some(&entry))?.is_empty() {
                targets.push(if own.as_ref() == Some(&target) { plan.target.clone() } else { entry.target });
            }
        }
        Ok(targets)
    }

    pub(super) fn make_sub_dir(&self, source: &MountSource, mode: u32) -> Result<(), MountError> {
        Filesystem::open("make the sub-directory of", &self.servers, source)?.make_directory(mode)
    }

    /// Mounts, unless something is mounted there; a corrupt mount is replaced.
    pub(super) fn mount(&self, plan: &MountPlan) -> Result<MountOutcome, MountError> {
        let canonical =
            target::canonical("mount", &plan.target)?.ok_or_else(|| target::no_parent("mount", &plan.target))?;
        let mut lock = self.table.lock("mount", &canonical)?;
        let made = target::make(&plan.target)?;
        if !made {
            if let Some(entry) = lock.entry.take_if(|entry| entry.filesystem.corruption(&self.servers).is_some()) {
                tracing::warn!(target = %canonical.display(), "a corrupt mount is replaced");
                entry.attachment.detach(&canonical)?;
            }
            let seen = self.seen_at(&canonical, lock.entry.as_ref())?;
            match plan.occupancy(&seen.into_iter().map(|seen| seen.mounted).collect::<Vec<Mounted>>()) {
                Occupancy::AsPlanned => return Ok(MountOutcome::AlreadyMounted),
                Occupancy::Other(difference) => return Ok(MountOutcome::Occupied(difference)),
                Occupancy::Free => target::check_directory(&plan.target, &canonical)?,
            }
        }
        let mounted = self.attach(plan, &canonical, &mut lock);
        if mounted.is_err() && made {
            target::remove(&plan.target)?;
        }
        mounted.map(|()| MountOutcome::Mounted)
    }

    fn attach(&self, plan: &MountPlan, target: &Path, lock: &mut TargetLock<'_>) -> Result<(), MountError> {
        let filesystem = Filesystem::open("mount", &self.servers, &plan.source)?;
        let (directory, path) = filesystem.directory("mount")?;
        let attachment = self.mode.attach((&directory, path), target, &plan.options, self.servers.root())?;
        lock.entry = Some(Entry::new(plan, filesystem, attachment));
        Ok(())
    }

    pub(super) fn unmount(&self, target: &Path) -> Result<(), MountError> {
        let Some(canonical) = target::canonical("unmount", target)? else { return Ok(()) };
        self.detach(&canonical, &mut self.table.lock("unmount", &canonical)?)?;
        target::remove(target)
    }

    fn detach(&self, target: &Path, lock: &mut TargetLock<'_>) -> Result<(), MountError> {
        self.mode.unmount(target, lock.entry.as_ref().map(|entry| &entry.attachment))?;
        lock.entry = None;
        Ok(())
    }

    pub(super) fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        let Some(target) = target::canonical("statfs", path)? else { return Ok(None) };
        let Some(entry) = self.table.get("statfs", &target)? else { return Ok(None) };
        if !self.seen_at(&target, Some(&entry))?.last().is_some_and(|seen| seen.is_own) {
            return Ok(None);
        }
        let Some(reason) = entry.filesystem.corruption(&self.servers) else {
            return Ok(Some(entry.filesystem.usage()));
        };
        let hint = "unmount it and publish the volume again";
        Err(MountError::at(MountErrorKind::Unreachable, "statfs", path, reason).with_hint(hint))
    }

    /// Unmounts everything in the table; what is in use is detached and ends with its last user. Target directories stay.
    pub(super) fn close(&self) {
        for (target, _) in self.table.unlocked() {
            let lock = self.table.lock("unmount", &target);
            let Err(error) = lock.and_then(|mut lock| self.detach(&target, &mut lock)) else { continue };
            tracing::warn!(%error, cause = ?error.source, "a simulated mount is still in use at the end");
            let lock = self.table.lock("unmount", &target);
            let detached =
                lock.and_then(|mut lock| lock.entry.take().map_or(Ok(()), |entry| entry.attachment.detach(&target)));
            if detached.is_err() {
                tracing::warn!(target = %target.display(), "a simulated mount is left; unmount it by hand");
            }
        }
    }

    fn seen_at(&self, target: &Path, entry: Option<&Entry>) -> Result<Vec<Seen>, MountError> {
        self.mode.mounts_at(target, entry.map(|entry| (&entry.attachment, &entry.shown)))
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        self.close();
    }
}
