//! The mounts that this process made, with the volume and the spelling that mountinfo does not have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::adapters::mountinfo::MountEntry;
use crate::domain::mount_source::MountSource;

/// A mount that this process made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountRecord {
    /// Its source as mountinfo has it. It decides whether what is mounted there now is still that mount; the mount id would
    /// not, since the kernel gives it to the next mount again.
    pub(super) mounted_source: String,
    pub(super) volume_id: String,
    /// As the caller spelled it.
    pub(super) target: PathBuf,
    /// As the plan spelled it, host names included.
    pub(super) source: MountSource,
}

/// The mounts that this process made, by their canonical targets.
#[derive(Debug, Default)]
pub(super) struct MountRecords(Mutex<BTreeMap<PathBuf, MountRecord>>);

impl MountRecords {
    pub(super) fn insert(&self, canonical: &Path, record: MountRecord) {
        self.records().insert(canonical.to_owned(), record);
    }

    pub(super) fn remove(&self, canonical: &Path) {
        self.records().remove(canonical);
    }

    /// The record of this mount.
    pub(super) fn of(&self, mount: &MountEntry) -> Option<MountRecord> {
        self.at(&mount.mount_point).filter(|record| record.mounted_source == mount.source)
    }

    /// The record of the last mount at this canonical target.
    pub(super) fn at(&self, canonical: &Path) -> Option<MountRecord> {
        self.records().get(canonical).cloned()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<PathBuf, MountRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::mountinfo::Mountinfo;

    #[test]
    fn a_record_is_of_its_own_mount_only() {
        let records = MountRecords::default();
        let source = MountSource::parse("mgs.example:/lustrefs").unwrap();
        let (mounted_source, volume_id) = ("s".to_owned(), "v".to_owned());
        let record = MountRecord { mounted_source, volume_id, target: "/t".into(), source };
        records.insert(Path::new("/t"), record.clone());
        let found = |target: &str, source: &str| {
            let text = format!("7 1 8:1 / {target} rw - lustre {source} rw");
            records.of(&Mountinfo::new(text.into_bytes()).entries().next().unwrap())
        };
        assert_eq!(found("/t", "s"), Some(record));
        assert_eq!(found("/u", "s"), None);
        assert_eq!(found("/t", "t"), None, "another mount at the same target");
        records.remove(Path::new("/t"));
        assert_eq!(found("/t", "s"), None);
    }
}
