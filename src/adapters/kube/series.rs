//! [`SeriesTable`]: event series, which create an Event object once and then update its `count`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;

use super::api::ApiErrorKind;
use super::event;
use crate::ports::orchestrator::{ClaimEvent, EventKind};

/// Most series that are remembered; beyond that the oldest are forgotten, and would begin anew.
const CAPACITY: usize = 2000;

/// What makes two events the same one that happened again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SeriesKey {
    volume_name: String,
    kind: EventKind,
    reason: &'static str,
}

#[derive(Debug, Clone)]
struct Series {
    /// Name of the event.
    name: String,
    /// The number in its name, which grows from event to event.
    number: i128,
    /// How often it was written; 0 while it is unknown whether it was created.
    count: i32,
}

/// What to send for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Create an event under this name.
    Create {
        /// Name of the new event.
        name: String,
    },
    /// Update the event of this name.
    Update {
        /// Name of the event.
        name: String,
        /// How often it happened, this time included.
        count: i32,
    },
}

/// The events that this process wrote.
#[derive(Debug, Default)]
pub struct SeriesTable(Mutex<AllSeries>);

#[derive(Debug, Default)]
struct AllSeries {
    series: BTreeMap<SeriesKey, Series>,
    /// Number of the newest event: nanoseconds since 1970, always growing.
    newest: i128,
}

impl SeriesTable {
    /// What to send for this event. Until [`SeriesTable::record`] it is unknown whether it arrived; a repeated creation has the
    /// same name, so that it cannot make a second event.
    pub fn plan(&self, event: &ClaimEvent, now: Timestamp) -> Write {
        let mut table = self.lock();
        let key = series_key(event);
        if let Some(Series { name, count, .. }) = table.series.get(&key).cloned() {
            let repeated = || Write::Update { name: name.clone(), count: count.saturating_add(1) };
            return if count == 0 { Write::Create { name } } else { repeated() };
        }
        table.newest = now.as_nanosecond().max(table.newest + 1);
        let name = event::name(&event.claim, table.newest);
        if table.series.len() >= CAPACITY {
            table.forget_oldest();
        }
        let number = table.newest;
        table.series.insert(key, Series { name: name.clone(), number, count: 0 });
        Write::Create { name }
    }

    /// Records the result of a write.
    pub fn record(&self, event: &ClaimEvent, write: &Write, failed: Option<ApiErrorKind>) {
        let (mut table, key) = (self.lock(), series_key(event));
        match (failed, write) {
            (None, Write::Create { .. }) => table.count(&key, 1),
            (None, Write::Update { count, .. }) => table.count(&key, *count),
            // The event has expired, or its namespace is gone.
            (Some(ApiErrorKind::NotFound), _) => drop(table.series.remove(&key)),
            (Some(_), _) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, AllSeries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AllSeries {
    fn count(&mut self, key: &SeriesKey, count: i32) {
        if let Some(series) = self.series.get_mut(key) {
            series.count = count;
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.series.iter().min_by_key(|(_, series)| series.number).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.series.remove(&key);
        }
    }
}

fn series_key(event: &ClaimEvent) -> SeriesKey {
    SeriesKey { volume_name: event.volume_name.clone(), kind: event.kind, reason: event.reason }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn event(volume: &str, reason: &'static str) -> ClaimEvent {
        ClaimEvent {
            kind: EventKind::Normal,
            volume_name: volume.to_owned(),
            namespace: "team".to_owned(),
            claim: "claim".to_owned(),
            reason,
            message: String::new(),
            age: Duration::ZERO,
        }
    }

    fn name(write: &Write) -> &str {
        match write {
            Write::Create { name } | Write::Update { name, .. } => name,
        }
    }

    #[test]
    fn a_repeated_event_updates_the_first_with_a_growing_count() {
        let table = SeriesTable::default();
        let first = table.plan(&event("pvc-1", "A"), event::now());
        assert!(matches!(first, Write::Create { .. }), "{first:?}");
        table.record(&event("pvc-1", "A"), &first, None);
        for expected in 2..5 {
            let again = table.plan(&event("pvc-1", "A"), event::now());
            assert_eq!(again, Write::Update { name: name(&first).to_owned(), count: expected });
            table.record(&event("pvc-1", "A"), &again, None);
        }
    }

    #[test]
    fn what_differs_in_volume_or_reason_is_another_event_even_in_the_same_nanosecond() {
        let (table, now) = (SeriesTable::default(), event::now());
        let events = [event("pvc-1", "A"), event("pvc-1", "B"), event("pvc-2", "A")];
        let names: std::collections::BTreeSet<String> =
            events.iter().map(|event| name(&table.plan(event, now)).to_owned()).collect();
        assert_eq!(names.len(), 3);
    }

    #[test]
    fn an_update_that_failed_is_not_counted() {
        let table = SeriesTable::default();
        let first = table.plan(&event("pvc-1", "A"), event::now());
        table.record(&event("pvc-1", "A"), &first, None);
        let second = table.plan(&event("pvc-1", "A"), event::now());
        table.record(&event("pvc-1", "A"), &second, Some(ApiErrorKind::Unavailable));
        assert_eq!(table.plan(&event("pvc-1", "A"), event::now()), second);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_stays() {
        let table = SeriesTable::default();
        for number in 0..CAPACITY + 10 {
            let event = event(&format!("pvc-{number}"), "A");
            let write = table.plan(&event, event::now());
            table.record(&event, &write, None);
        }
        assert_eq!(table.lock().series.len(), CAPACITY);
        let newest = event(&format!("pvc-{}", CAPACITY + 9), "A");
        assert!(matches!(table.plan(&newest, event::now()), Write::Update { count: 2, .. }));
    }
}
