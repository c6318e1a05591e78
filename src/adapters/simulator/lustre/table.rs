//! The table of simulated mounts, with one turn at a time for each target.
//!
//! Why turns: two mounts that find a target free at the same moment would stack. A target is therefore taken out of the
//! table before anything is done to it and put back, changed or not, when the one who took it is done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failure;
use super::filesystem::Filesystem;
use crate::domain::mount::{FS_TYPE, MountPlan, Mounted};
use crate::ports::mounter::{MountError, MountErrorKind};

/// What a Lustre client of version 2.17 shows besides the options that it was given.
const LUSTRE_ADDS: [&str; 9] = [
    "flock",
    "checksum",
    "encrypt",
    "lazystatfs",
    "lruresize",
    "statfs_project",
    "nouser_fid2path",
    "nouser_xattr",
    "verbose",
];

/// What holds a mount in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hold {
    /// The mount with this number in mountinfo.
    Bind(u64),
    /// A symbolic link to this directory.
    Link(PathBuf),
}

/// One mount of this node.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Volume that is published.
    pub(super) volume_id: String,
    /// The target as the caller spelled it.
    pub(super) target: PathBuf,
    /// As the kernel would show it.
    pub(super) shown: Mounted,
    /// Where its files are.
    pub(super) filesystem: Arc<Filesystem>,
    /// How it is mounted.
    pub(super) hold: Hold,
}

impl Entry {
    /// The entry of a plan that was carried out.
    pub(super) fn new(plan: &MountPlan, filesystem: Filesystem, hold: Hold) -> Self {
        let shown =
            Mounted { source: plan.source.to_string(), fs_type: FS_TYPE.to_owned(), options: shown_options(plan) };
        let (volume_id, target) = (plan.volume_id.clone(), plan.target.clone());
        Self { volume_id, target, shown, filesystem: Arc::new(filesystem), hold }
    }
}

fn shown_options(plan: &MountPlan) -> Vec<String> {
    let asked = plan.options.words();
    let added = LUSTRE_ADDS.into_iter().filter(|word| !asked.iter().any(|other| subject(other) == subject(word)));
    asked.iter().copied().chain(added).map(str::to_owned).collect()
}

/// What an option is about: `flock` for `flock`, `noflock` and `localflock`.
fn subject(option: &str) -> &str {
    option.strip_prefix("no").or_else(|| option.strip_prefix("local")).unwrap_or(option)
}

/// The mounts of a node by their targets, which hold no symbolic links. `None` while somebody has the turn.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<BTreeMap<PathBuf, Option<Entry>>>);

impl Table {
    /// Takes the turn at a target; an error while somebody else has it.
    pub(super) fn turn(&self, operation: &'static str, place: &Path) -> Result<Turn<'_>, MountError> {
        match self.entries().insert(place.to_owned(), None) {
            Some(None) => Err(busy(operation, place)),
            found => Ok(Turn { table: self, place: place.to_owned(), entry: found.flatten() }),
        }
    }

    /// The mount at a target; an error while somebody has the turn.
    pub(super) fn get(&self, operation: &'static str, place: &Path) -> Result<Option<Entry>, MountError> {
        match self.entries().get(place) {
            Some(None) => Err(busy(operation, place)),
            found => Ok(found.cloned().flatten()),
        }
    }

    /// All mounts at whose targets nobody has the turn.
    pub(super) fn settled(&self) -> Vec<(PathBuf, Entry)> {
        self.entries().iter().filter_map(|(place, entry)| Some((place.clone(), entry.clone()?))).collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Option<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy(operation: &'static str, place: &Path) -> MountError {
    let message = "another mount or unmount at this path is in progress";
    failure::refused(MountErrorKind::Busy, operation, place, message, "try again when it has ended")
}

/// The turn at one target. What [`Turn::entry`] holds at the end is what the table holds afterwards.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    table: &'a Table,
    place: PathBuf,
    /// The mount at the target.
    pub(super) entry: Option<Entry>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut entries = self.table.entries();
        entries.remove(&self.place);
        if let Some(entry) = self.entry.take() {
            entries.insert(self.place.clone(), Some(entry));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::simulator::lustre::tests::{plan, servers};

    fn entry(root: &Path) -> Entry {
        let plan = plan("/target", None, &["noflock", "noatime"]);
        let filesystem = Filesystem::open("mount", &servers(root), &plan.source).unwrap();
        Entry::new(&plan, filesystem, Hold::Bind(1))
    }

    #[test]
    fn a_target_has_one_turn_at_a_time_and_keeps_what_the_turn_leaves() {
        let (root, table, place) = (tempfile::tempdir().unwrap(), Table::default(), Path::new("/target"));
        let mut turn = table.turn("mount", place).unwrap();
        assert!(turn.entry.is_none());
        assert_eq!(table.turn("mount", place).unwrap_err().kind, MountErrorKind::Busy);
        assert_eq!(table.turn("mount", place).unwrap_err().kind, MountErrorKind::Busy, "a refusal takes no turn away");
        assert_eq!(table.get("inspect", place).unwrap_err().kind, MountErrorKind::Busy);
        assert!(table.turn("mount", Path::new("/other")).is_ok());
        turn.entry = Some(entry(root.path()));
        drop(turn);
        assert_eq!(table.get("inspect", place).unwrap().unwrap().hold, Hold::Bind(1));
        drop(table.turn("unmount", place).unwrap());
        assert_eq!(table.settled().len(), 1, "an unchanged turn changes nothing");
        table.turn("unmount", place).unwrap().entry = None;
        assert!(table.get("inspect", place).unwrap().is_none() && table.settled().is_empty());
    }

    #[test]
    fn options_are_shown_with_what_lustre_adds_unless_contradicted() {
        let root = tempfile::tempdir().unwrap();
        let options = entry(root.path()).shown.options.join(",");
        assert!(options.starts_with("rw,noatime,noflock,checksum,") && !options.contains(",flock"), "{options}");
        let plain = shown_options(&plan("/target", None, &[]));
        assert!(["rw", "flock", "lazystatfs"].iter().all(|word| plain.iter().any(|shown| shown == word)));
        assert_eq!(
            plan("/target", None, &["user_xattr", "localflock"]).options.missing_from(&shown_options(&plan(
                "/target",
                None,
                &["user_xattr", "localflock"]
            ))),
            None
        );
    }
}
