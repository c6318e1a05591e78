//! Calls that wait for a thread, and why: what they are answered if their time ends meanwhile.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ports::mounter::MountError;

/// Faults of the calls that wait, by a number of their own.
#[derive(Debug, Default)]
pub(super) struct Starved(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<u64, MountError>,
    numbers: u64,
}

impl Starved {
    /// Notes that a call waits, until the note is dropped.
    pub(super) fn note(&self, fault: MountError) -> Note<'_> {
        let mut state = self.state();
        state.numbers += 1;
        let number = state.numbers;
        state.waiting.insert(number, fault);
        Note { starved: self, number }
    }

    /// Why a call about this subject waits; none if none does.
    pub(super) fn why(&self, subject: &str) -> Option<MountError> {
        self.state().waiting.values().find(|fault| fault.subject == subject).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call that waits.
#[derive(Debug)]
pub(super) struct Note<'a> {
    starved: &'a Starved,
    number: u64,
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        self.starved.state().waiting.remove(&self.number);
    }
}
