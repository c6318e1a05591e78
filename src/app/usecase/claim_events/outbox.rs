//! Which event is written when: at most one a minute for each claim and kind, the newest first of all.
//!
//! Pure: time comes in as a [`Duration`] since a fixed beginning.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ports::orchestrator::{ClaimEvent, EventKind};

/// Least time between two events of one claim and kind.
pub const INTERVAL: Duration = Duration::from_mins(1);
/// Most claims and kinds that are remembered. Beyond that, the ones that were quiet longest are forgotten first.
const CAPACITY: usize = 1000;
/// Pause of all events after the first failure that passes by itself; doubled with each further one up to [`INTERVAL`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Events that wait for their time.
#[derive(Debug, Default)]
pub struct Outbox {
    slots: BTreeMap<SlotKey, Slot>,
    paused_until: Duration,
    failures: u32,
}

/// A claim and the kind of its events. The volume's name distinguishes a claim from a later one of the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SlotKey {
    volume_name: String,
    kind: EventKind,
}

impl SlotKey {
    fn of(event: &ClaimEvent) -> Self {
        Self { volume_name: event.volume_name.clone(), kind: event.kind }
    }
}

#[derive(Debug, Default)]
struct Slot {
    /// The newest event that is not written, and when it was emitted.
    waiting: Option<(ClaimEvent, Duration)>,
    /// The event that is being written, and when it was emitted.
    writing: Option<Duration>,
    /// When the next event may be written.
    not_before: Duration,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum NextWrite {
    /// Write this event, then report how that ended ([`Outbox::complete`]). Its age is filled in.
    Write(ClaimEvent),
    /// Nothing for this long.
    Wait(Duration),
    /// Nothing until something is put in.
    Idle,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The event is there.
    Written,
    /// It is not, and may be later.
    TryAgain,
    /// It never will be.
    Dropped,
}

impl Outbox {
    /// Takes an event. One of the same claim and kind that still waits is replaced: the newer one says more.
    pub fn put(&mut self, event: ClaimEvent, now: Duration) {
        let key = SlotKey::of(&event);
        if self.slots.len() >= CAPACITY && !self.slots.contains_key(&key) {
            self.forget_one(now);
        }
        self.slots.entry(key).or_default().waiting = Some((event, now));
    }

    /// The event that is due, or how long there is none.
    pub fn next(&mut self, now: Duration) -> NextWrite {
        let waiting = self.slots.values_mut().filter(|slot| slot.waiting.is_some() && slot.writing.is_none());
        let Some(slot) = waiting.min_by_key(|slot| slot.not_before) else { return NextWrite::Idle };
        let due = slot.not_before.max(self.paused_until);
        if due > now {
            return NextWrite::Wait(due.saturating_sub(now));
        }
        let Some((event, emitted)) = slot.waiting.take() else { return NextWrite::Idle };
        slot.writing = Some(emitted);
        NextWrite::Write(ClaimEvent { age: now.saturating_sub(emitted), ..event })
    }

    /// Notes how writing `event` ended.
    pub fn complete(&mut self, event: ClaimEvent, outcome: WriteOutcome, now: Duration) {
        let Some(slot) = self.slots.get_mut(&SlotKey::of(&event)) else { return };
        let emitted = slot.writing.take().unwrap_or(now);
        if outcome == WriteOutcome::TryAgain {
            slot.waiting.get_or_insert((event, emitted));
            self.paused_until = now + INTERVAL.min(FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(8)));
            self.failures = self.failures.saturating_add(1);
            return;
        }
        slot.not_before = now + INTERVAL;
        self.failures = 0;
    }

    /// Drops one: a claim without a waiting event if there is one, else the one whose event waits longest.
    fn forget_one(&mut self, now: Duration) {
        let age = |slot: &Slot| slot.waiting.as_ref().map_or(slot.not_before, |(_, emitted)| *emitted);
        let quiet = |slot: &Slot| slot.waiting.is_none() && slot.writing.is_none() && slot.not_before <= now;
        let oldest = self.slots.iter().min_by_key(|(_, slot)| (!quiet(slot), age(slot)));
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.slots.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
