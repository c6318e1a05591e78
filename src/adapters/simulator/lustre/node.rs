//! The synchronous node behind [`super::SimulatedLustre`]: looks, decides with the table, then acts in the mode.
//!
//! Why it is apart: every method may block, so none is async and no lock is ever held across an await.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::failure;
use super::filesystem::Filesystem;
use super::table::{Entry, Hold, Table};
use super::target::{free, not_removed, obstructed, place, unmounted};
use super::{Mode, bind, link};
use crate::adapters::mountinfo::Line;
use crate::adapters::simulator::servers::Servers;
use crate::domain::mount::{MountPlan, MountState, Mounted};
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind, Readiness, Usage};

/// Servers, mounts and mode of one simulated node.
#[derive(Debug)]
pub(super) struct Node {
    servers: Arc<Servers>,
    mode: Mode,
    table: Table,
    readiness: Mutex<Readiness>,
}

impl Node {
    pub(super) fn new(servers: Arc<Servers>, mode: Mode) -> Self {
        Self { servers, mode, table: Table::default(), readiness: Mutex::new(Readiness::Ready) }
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

    pub(super) fn inspect(&self, target: &Path) -> Result<MountState, MountError> {
        let place = place(target);
        let entry = self.table.get("inspect", &place)?;
        self.state(&place, entry.as_ref())
    }

    /// What is at a place, given what the table knows of it.
    fn state(&self, place: &Path, entry: Option<&Entry>) -> Result<MountState, MountError> {
        let mounts = self.mounts_at(place, entry)?;
        match (entry, mounts.as_slice()) {
            (_, []) => unmounted(place),
            (Some(entry), [Found::Ours]) => Ok(self.state_of(entry)),
            (entry, found) => Ok(MountState::Mounted(found.iter().filter_map(|found| found.shown(entry)).collect())),
        }
    }

    fn state_of(&self, entry: &Entry) -> MountState {
        match entry.filesystem.gone(&self.servers) {
            Some(reason) => MountState::Corrupt { reason },
            None => MountState::Mounted(vec![entry.shown.clone()]),
        }
    }

    fn mounts_at(&self, place: &Path, entry: Option<&Entry>) -> Result<Vec<Found>, MountError> {
        let hold = entry.map(|entry| &entry.hold);
        if self.mode == Mode::Link {
            let linked = matches!(hold, Some(Hold::Link(directory)) if link::is_held(directory, place));
            return Ok(if linked { vec![Found::Ours] } else { vec![] });
        }
        let failed = |cause| failure::at("inspect", place, "/proc/self/mountinfo cannot be read", cause);
        let lines = bind::at(place).map_err(failed)?;
        let found = |Line { id, source, fs_type, options, .. }| {
            let ours = hold == Some(&Hold::Bind(id));
            if ours { Found::Ours } else { Found::Other(Mounted { source, fs_type, options }) }
        };
        Ok(lines.into_iter().map(found).collect())
    }

    pub(super) fn published(&self, volume_id: &str) -> Result<Vec<PathBuf>, MountError> {
        let mut targets = vec![];
        for (place, entry) in self.table.settled() {
            if entry.volume_id == volume_id && !self.mounts_at(&place, Some(&entry))?.is_empty() {
                targets.push(entry.target);
            }
        }
        Ok(targets)
    }

    pub(super) fn make_sub_dir(&self, source: &MountSource) -> Result<(), MountError> {
        Filesystem::open("make the sub-directory of", &self.servers, source)?.make_directory()
    }

    pub(super) fn make_target(&self, target: &Path) -> Result<bool, MountError> {
        let failed = |cause| failure::at("make", target, "the target directory cannot be made", cause);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        match std::fs::create_dir(target) {
            Ok(()) => Ok(true),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => match self.inspect(target)? {
                MountState::Obstructed { what } => Err(obstructed("make", target, &what)),
                _ => Ok(false),
            },
            Err(cause) => Err(failed(cause)),
        }
    }

    pub(super) fn mount(&self, plan: &MountPlan) -> Result<(), MountError> {
        let place = place(&plan.target);
        let mut turn = self.table.turn("mount", &place)?;
        free(&plan.target, self.state(&place, turn.entry.as_ref())?)?;
        let filesystem = Filesystem::open("mount", &self.servers, &plan.source)?;
        let (directory, path) = filesystem.directory("mount")?;
        let hold = match self.mode {
            Mode::Bind => Hold::Bind(bind::mount(&directory, &place, &plan.options, self.servers.root())?),
            Mode::Link => {
                link::mount(&path, &place)?;
                Hold::Link(path)
            }
        };
        turn.entry = Some(Entry::new(plan, filesystem, hold));
        Ok(())
    }

    pub(super) fn unmount(&self, target: &Path) -> Result<(), MountError> {
        let place = place(target);
        let mut turn = self.table.turn("unmount", &place)?;
        match turn.entry.as_ref().map(|entry| &entry.hold) {
            Some(Hold::Link(directory)) => link::unmount(directory, &place)?,
            _ if self.mode == Mode::Bind => bind::unmount(&place)?,
            _ => {}
        }
        turn.entry = None;
        Ok(())
    }

    pub(super) fn remove_target(&self, target: &Path) -> Result<(), MountError> {
        let place = place(target);
        let turn = self.table.turn("remove", &place)?;
        if !self.mounts_at(&place, turn.entry.as_ref())?.is_empty() {
            let message = "something is still mounted on it";
            return Err(failure::refused(MountErrorKind::Busy, "remove", target, message, "unmount it first"));
        }
        match std::fs::remove_dir(&place) {
            Ok(()) => Ok(()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(cause) => Err(not_removed(target, cause)),
        }
    }

    pub(super) fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        let place = place(path);
        let Some(entry) = self.table.get("measure", &place)? else { return Ok(None) };
        match self.state(&place, Some(&entry))? {
            MountState::Mounted(_) => Ok(Some(entry.filesystem.usage())),
            MountState::Corrupt { reason } => {
                let hint = "unmount it and publish the volume again";
                Err(failure::refused(MountErrorKind::Unreachable, "measure", path, reason, hint))
            }
            MountState::Absent | MountState::Directory | MountState::Obstructed { .. } => Ok(None),
        }
    }

    /// Unmounts all that is in the table; what is in use is taken out of sight and ends with its last user.
    pub(super) fn close(&self) {
        for (place, _) in self.table.settled() {
            let Err(error) = self.unmount(&place) else { continue };
            tracing::warn!(%error, cause = ?error.source, "a simulated mount is still in use at the end");
            let detached = self.mode == Mode::Bind && bind::detach(&place).is_ok();
            if !detached || self.unmount(&place).is_err() {
                tracing::warn!(target = %place.display(), "a simulated mount is left; unmount it by hand");
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close();
    }
}

/// A mount at a place: the one that the table knows, or another.
enum Found {
    Ours,
    Other(Mounted),
}

impl Found {
    fn shown(&self, entry: Option<&Entry>) -> Option<Mounted> {
        match self {
            Self::Ours => entry.map(|entry| entry.shown.clone()),
            Self::Other(shown) => Some(shown.clone()),
        }
    }
}
