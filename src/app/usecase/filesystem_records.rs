//! Records of file systems: what this process knows of each, for the volumes that are not finished.
//!
//! Hints only: a restart may lose them. The ARM resource itself is the journal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::locked;
use crate::domain::history::History;
use crate::domain::names::{FilesystemId, Location};
use crate::domain::provisioning::DynamicProvision;
use crate::ports::inbound::Failure;

/// How long a file system that is finished or was never begun is remembered after the last call about it.
const REMEMBERED_FOR: Duration = Duration::from_hours(24);
/// How often records that are too old are removed.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);

/// What is known of one file system. Times are on the cloud's clock.
#[derive(Debug, Clone)]
pub(super) struct FilesystemRecord {
    pub(super) id: FilesystemId,
    /// Region in which it was asked for.
    pub(super) location: Option<Location>,
    /// What was observed and sent.
    pub(super) history: History,
    /// What was last asked for, while it is not finished.
    plan: Option<Arc<DynamicProvision>>,
    /// Why the last PUT had no clear success.
    pub(super) create_failure: Option<Failure>,
    /// Why the last DELETE had no clear success.
    pub(super) delete_failure: Option<Failure>,
    /// A call reported it as a finished volume.
    finished: bool,
    used: Duration,
}

impl FilesystemRecord {
    fn new(id: &FilesystemId, now: Duration) -> Self {
        Self {
            id: id.clone(),
            location: None,
            history: History::default(),
            plan: None,
            create_failure: None,
            delete_failure: None,
            finished: false,
            used: now,
        }
    }

    /// A call asks for this plan now. Another one than before ends the pauses.
    pub(super) fn requested(&mut self, plan: &Arc<DynamicProvision>) {
        if self.plan.as_ref().is_some_and(|before| !before.is_same_plan(plan)) {
            self.history.other_parameters();
            self.create_failure = None;
        }
        self.plan = Some(Arc::clone(plan));
    }

    /// A call reports it as finished, in this region.
    pub(super) fn finish(&mut self, location: &Location) {
        *self = Self { location: Some(location.clone()), finished: true, ..Self::new(&self.id, self.used) };
    }

    /// Whether something of it exists or may come to exist, as far as this process knows.
    fn may_exist(&self) -> bool {
        self.finished || self.history.is_unfinished()
    }
}

/// Volume name and resource group, the latter in lower case since ARM compares it so.
type RecordKey = (String, String);

fn record_key(id: &FilesystemId) -> RecordKey {
    (id.name.to_string(), id.resource_group.as_str().to_lowercase())
}

#[derive(Debug, Default)]
struct Table {
    records: BTreeMap<RecordKey, FilesystemRecord>,
    swept: Duration,
}

/// The records of all volumes.
#[derive(Debug, Default)]
pub(super) struct FilesystemRecords(Mutex<Table>);

impl FilesystemRecords {
    /// Reads and changes the record of a file system.
    pub(super) fn update<T>(
        &self,
        id: &FilesystemId,
        now: Duration,
        change: impl FnOnce(&mut FilesystemRecord) -> T,
    ) -> T {
        let mut table = locked(&self.0);
        table.sweep(now);
        let record = table.records.entry(record_key(id)).or_insert_with(|| FilesystemRecord::new(id, now));
        record.used = now;
        change(record)
    }

    /// A file system of the same volume that was begun in another resource group, or in another region.
    pub(super) fn elsewhere(&self, id: &FilesystemId, location: &Location) -> Option<FilesystemRecord> {
        let differs = |record: &FilesystemRecord| {
            !record.id.is(id) || record.location.as_ref().is_some_and(|begun_in| begun_in != location)
        };
        self.find(id.name.as_str(), |record| record.may_exist() && differs(record))
    }

    /// An unfinished creation of this volume, wherever it is.
    pub(super) fn unfinished(&self, name: &str) -> Option<FilesystemId> {
        self.find(name, |record| record.history.is_unfinished()).map(|record| record.id)
    }

    fn find(&self, name: &str, wanted: impl Fn(&FilesystemRecord) -> bool) -> Option<FilesystemRecord> {
        let table = locked(&self.0);
        let of_volume = table.records.range((name.to_owned(), String::new())..).take_while(|((of, _), _)| of == name);
        of_volume.map(|(_, record)| record).find(|record| wanted(record)).cloned()
    }

    /// Forgets a file system that is gone.
    pub(super) fn forget(&self, id: &FilesystemId) {
        locked(&self.0).records.remove(&record_key(id));
    }
}

impl Table {
    fn sweep(&mut self, now: Duration) {
        if now.saturating_sub(self.swept) >= SWEEP_INTERVAL {
            self.swept = now;
            self.records
                .retain(|_, record| record.history.is_unfinished() || now.saturating_sub(record.used) < REMEMBERED_FOR);
        }
    }
}
