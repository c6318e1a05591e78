//! The table of a node's simulated mounts, with a lock for each target.
//!
//! Two mounts that find a target free at the same moment would stack. So an operation locks its target before it observes
//! it, and another operation on a locked target is refused as busy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attachment::Attachment;
use super::filesystem::Filesystem;
use crate::domain::mount::{FS_TYPE, MountPlan, Mounted};
use crate::ports::mounter::{MountError, MountErrorKind};

/// What a Lustre client of version 2.17 shows besides the options that it was given (`ll_show_options` in `lustre/llite/llite_lib.c`).
const DEFAULT_OPTIONS: [&str; 9] = [
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
    /// What shows it at the target.
    pub(super) attachment: Attachment,
}

impl Entry {
    /// The entry of a plan that was carried out.
    pub(super) fn new(plan: &MountPlan, filesystem: Filesystem, attachment: Attachment) -> Self {
        let shown =
            Mounted { source: plan.source.to_string(), fs_type: FS_TYPE.to_owned(), options: shown_options(plan) };
        let (volume_id, target) = (plan.volume_id.clone(), plan.target.clone());
        Self { volume_id, target, shown, filesystem: Arc::new(filesystem), attachment }
    }
}

fn shown_options(plan: &MountPlan) -> Vec<String> {
    let given = plan.options.words();
    let added = DEFAULT_OPTIONS.into_iter().filter(|word| !given.iter().any(|other| name(other) == name(word)));
    given.iter().copied().chain(added).map(str::to_owned).collect()
}

/// What an option sets: `flock` for `flock`, `noflock` and `localflock`.
fn name(option: &str) -> &str {
    option.strip_prefix("no").or_else(|| option.strip_prefix("local")).unwrap_or(option)
}

/// The mounts of a node by their canonical targets. `None` while a target is locked.
#[derive(Debug, Default)]
pub(super) struct MountTable(Mutex<BTreeMap<PathBuf, Option<Entry>>>);

impl MountTable {
    /// Locks a target; an error while it is locked.
    pub(super) fn lock(&self, operation: &'static str, target: &Path) -> Result<TargetLock<'_>, MountError> {
        match self.entries().insert(target.to_owned(), None) {
            Some(None) => Err(busy(operation, target)),
            found => Ok(TargetLock { table: self, target: target.to_owned(), entry: found.flatten() }),
        }
    }

    /// The mount at a target; an error while it is locked.
    pub(super) fn get(&self, operation: &'static str, target: &Path) -> Result<Option<Entry>, MountError> {
        match self.entries().get(target) {
            Some(None) => Err(busy(operation, target)),
            found => Ok(found.cloned().flatten()),
        }
    }

    /// All mounts whose targets are not locked.
    pub(super) fn unlocked(&self) -> Vec<(PathBuf, Entry)> {
        self.entries().iter().filter_map(|(target, entry)| Some((target.clone(), entry.clone()?))).collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Option<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy(operation: &'static str, target: &Path) -> MountError {
    let message = "another mount or unmount at this path is in progress";
    MountError::at(MountErrorKind::Busy, operation, target, message).with_hint("try again when it has ended")
}

/// The lock of one target. What [`TargetLock::entry`] holds when it is dropped is what the table holds afterwards.
#[derive(Debug)]
pub(super) struct TargetLock<'a> {
    table: &'a MountTable,
    target: PathBuf,
    /// The mount at the target.
    pub(super) entry: Option<Entry>,
}

impl Drop for TargetLock<'_> {
    fn drop(&mut self) {
        let mut entries = self.table.entries();
        entries.remove(&self.target);
        if let Some(entry) = self.entry.take() {
            entries.insert(self.target.clone(), Some(entry));
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
        Entry::new(&plan, filesystem, Attachment::BindMount(1))
    }

    #[test]
    fn a_target_has_one_lock_and_the_table_keeps_the_entry_that_the_lock_leaves() {
        let (root, table, target) = (tempfile::tempdir().unwrap(), MountTable::default(), Path::new("/target"));
        let mut lock = table.lock("mount", target).unwrap();
        assert!(lock.entry.is_none());
        for _ in 0..2 {
            let refused = table.lock("mount", target).unwrap_err();
            assert_eq!(refused.kind, MountErrorKind::Busy, "a refusal releases no lock");
        }
        assert_eq!(table.get("statfs", target).unwrap_err().kind, MountErrorKind::Busy);
        assert!(table.lock("mount", Path::new("/other")).is_ok());
        lock.entry = Some(entry(root.path()));
        drop(lock);
        assert_eq!(table.get("statfs", target).unwrap().unwrap().attachment, Attachment::BindMount(1));
        drop(table.lock("unmount", target).unwrap());
        assert_eq!(table.unlocked().len(), 1, "an unchanged entry stays");
        table.lock("unmount", target).unwrap().entry = None;
        assert!(table.get("statfs", target).unwrap().is_none() && table.unlocked().is_empty());
    }

    #[test]
    fn options_are_shown_with_what_lustre_adds_unless_contradicted() {
        let root = tempfile::tempdir().unwrap();
        let options = entry(root.path()).shown.options.join(",");
        assert!(options.starts_with("rw,noatime,noflock,checksum,") && !options.contains(",flock"), "{options}");
        let plain = shown_options(&plan("/target", None, &[]));
        assert!(["rw", "flock", "lazystatfs"].iter().all(|word| plain.iter().any(|shown| shown == word)));
        let replaced = plan("/target", None, &["user_xattr", "localflock"]);
        assert_eq!(replaced.options.missing_from(&shown_options(&replaced)), None);
    }
}
