//! The synchronous node behind [`super::SimulatedLustre`]: observes, decides with the table, then acts in the mode.
//!
//! Every method may block, so none is async and no lock is ever held across an await.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::failure;
use super::filesystem::Filesystem;
use super::table::{Entry, Hold, Table, Turn};
use super::{Mode, bind, link};
use crate::adapters::mountinfo::MountEntry;
use crate::adapters::simulator::servers::Servers;
use crate::adapters::target;
use crate::domain::mount::{MountPlan, Mounted, Occupancy};
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind, MountOutcome, Readiness, Usage};

/// Servers, mounts and mode of one simulated node.
#[derive(Debug)]
pub(super) struct Node {
    servers: Arc<Servers>,
    mode: Mode,
    sub_dir_mode: u32,
    table: Table,
    readiness: Mutex<Readiness>,
}

impl Node {
    pub(super) fn new(servers: Arc<Servers>, mode: Mode, sub_dir_mode: u32) -> Self {
        Self { servers, mode, sub_dir_mode, table: Table::default(), readiness: Mutex::new(Readiness::Ready) }
    }

    /// A node like this one, without its mounts.
    pub(super) fn with_sub_dir_mode(&self, sub_dir_mode: u32) -> Self {
        Self::new(Arc::clone(&self.servers), self.mode, sub_dir_mode)
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn readiness(&self) -> Readiness {
        self.readiness.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_readiness(&self, readiness: Readiness) {
        *self.readiness.lock().unwrap_or_else(PoisonError::into_inner) = readiness;
    }

    pub(super) fn published(&self, plan: &MountPlan) -> Result<Vec<PathBuf>, MountError> {
        let own = target::canonical("list the mounts of", &plan.target)?;
        let mut targets = vec![];
        for (place, entry) in self.table.settled() {
            if entry.volume_id == plan.volume_id && !self.mounts_at(&place, Some(&entry))?.is_empty() {
                targets.push(if own.as_ref() == Some(&place) { plan.target.clone() } else { entry.target });
            }
        }
        Ok(targets)
    }

    pub(super) fn make_sub_dir(&self, source: &MountSource) -> Result<(), MountError> {
        Filesystem::open("make the sub-directory of", &self.servers, source)?.make_directory(self.sub_dir_mode)
    }

    /// Mounts, unless something is there; a corrupt mount is replaced.
    pub(super) fn mount(&self, plan: &MountPlan) -> Result<MountOutcome, MountError> {
        let place =
            target::canonical("mount", &plan.target)?.ok_or_else(|| target::no_parent("mount", &plan.target))?;
        let mut turn = self.table.turn("mount", &place)?;
        let made = target::make(&plan.target)?;
        if !made {
            if let Some(entry) = turn.entry.take_if(|entry| entry.filesystem.gone(&self.servers).is_some()) {
                tracing::warn!(target = %place.display(), "a corrupt mount is replaced");
                detach(&place, &entry.hold)?;
            }
            match plan.occupancy(&self.shown_at(&place, turn.entry.as_ref())?) {
                Occupancy::AsPlanned => return Ok(MountOutcome::AlreadyMounted),
                Occupancy::Other(what) => return Ok(MountOutcome::Occupied(what)),
                Occupancy::Free => target::check_directory(&plan.target, &place)?,
            }
        }
        let mounted = self.mount_on(plan, &place, &mut turn);
        if mounted.is_err() && made {
            target::remove(&plan.target)?;
        }
        mounted.map(|()| MountOutcome::Mounted)
    }

    fn mount_on(&self, plan: &MountPlan, place: &Path, turn: &mut Turn<'_>) -> Result<(), MountError> {
        let filesystem = Filesystem::open("mount", &self.servers, &plan.source)?;
        let (directory, path) = filesystem.directory("mount")?;
        let hold = match self.mode {
            Mode::Bind => Hold::Bind(bind::mount(&directory, place, &plan.options, self.servers.root())?),
            Mode::Link => {
                link::mount(&path, place)?;
                Hold::Link(path)
            }
        };
        turn.entry = Some(Entry::new(plan, filesystem, hold));
        Ok(())
    }

    pub(super) fn unmount(&self, target: &Path) -> Result<(), MountError> {
        let Some(place) = target::canonical("unmount", target)? else { return Ok(()) };
        let mut turn = self.table.turn("unmount", &place)?;
        self.unmount_place(&place, &mut turn)?;
        target::remove(target)
    }

    fn unmount_place(&self, place: &Path, turn: &mut Turn<'_>) -> Result<(), MountError> {
        match turn.entry.as_ref().map(|entry| &entry.hold) {
            Some(Hold::Link(directory)) => link::unmount(directory, place)?,
            _ if self.mode == Mode::Bind => bind::unmount(place)?,
            _ => {}
        }
        turn.entry = None;
        Ok(())
    }

    pub(super) fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        let Some(place) = target::canonical("statfs", path)? else { return Ok(None) };
        let Some(entry) = self.table.get("statfs", &place)? else { return Ok(None) };
        if !matches!(self.mounts_at(&place, Some(&entry))?.as_slice(), [.., Found::Ours]) {
            return Ok(None);
        }
        match entry.filesystem.gone(&self.servers) {
            None => Ok(Some(entry.filesystem.usage())),
            Some(reason) => {
                let hint = "unmount it and publish the volume again";
                Err(failure::refused(MountErrorKind::Unreachable, "statfs", path, reason, hint))
            }
        }
    }

    /// Unmounts all that is in the table; what is in use is detached and ends with its last user. Target directories stay.
    pub(super) fn close(&self) {
        for (place, _) in self.table.settled() {
            let unmounted =
                self.table.turn("unmount", &place).and_then(|mut turn| self.unmount_place(&place, &mut turn));
            let Err(error) = unmounted else { continue };
            tracing::warn!(%error, cause = ?error.source, "a simulated mount is still in use at the end");
            let detached = self.mode == Mode::Bind && bind::detach(&place).is_ok();
            let forgotten = self.table.turn("unmount", &place).map(|mut turn| turn.entry = None);
            if !detached || forgotten.is_err() {
                tracing::warn!(target = %place.display(), "a simulated mount is left; unmount it by hand");
            }
        }
    }

    /// The mounts at a place, the lowest first, as a Lustre client would show them.
    fn shown_at(&self, place: &Path, entry: Option<&Entry>) -> Result<Vec<Mounted>, MountError> {
        Ok(self.mounts_at(place, entry)?.into_iter().filter_map(|found| found.shown(entry)).collect())
    }

    fn mounts_at(&self, place: &Path, entry: Option<&Entry>) -> Result<Vec<Found>, MountError> {
        let hold = entry.map(|entry| &entry.hold);
        if self.mode == Mode::Link {
            let linked = matches!(hold, Some(Hold::Link(directory)) if link::is_held(directory, place));
            return Ok(if linked { vec![Found::Ours] } else { vec![] });
        }
        let failed = |cause| failure::unknown("mount", place, "/proc/self/mountinfo cannot be read", cause);
        let lines = bind::at(place).map_err(failed)?;
        let found = |MountEntry { id, source, fs_type, options, .. }| {
            let ours = hold == Some(&Hold::Bind(id));
            if ours { Found::Ours } else { Found::Other(Mounted { source, fs_type, options }) }
        };
        Ok(lines.into_iter().map(found).collect())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close();
    }
}

/// Unmounts a corrupt mount, in use or not.
fn detach(place: &Path, hold: &Hold) -> Result<(), MountError> {
    let failed = |cause| failure::unknown("unmount", place, "the corrupt mount cannot be detached", cause);
    match hold {
        Hold::Link(directory) => link::unmount(directory, place),
        Hold::Bind(_) => bind::detach(place).map_err(failed),
    }
}

/// A mount at a place: the one that the table knows, or another.
enum Found {
    Ours,
    Other(Mounted),
}

impl Found {
    fn shown(self, entry: Option<&Entry>) -> Option<Mounted> {
        match self {
            Self::Ours => entry.map(|entry| entry.shown.clone()),
            Self::Other(shown) => Some(shown),
        }
    }
}
