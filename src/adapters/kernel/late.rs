//! How operations failed that nobody was waiting for any more, kept for the next call about the same thing.
//!
//! Why it exists: a mount on a dead server fails after minutes, when its caller has long been answered. The repeated call
//! then gets the reason instead of another attempt that takes as long.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::failure::Fault;

/// How long a failure says something about the present.
const KEPT_FOR: Duration = Duration::from_mins(2);

/// Failures by what was tried.
#[derive(Debug, Default)]
pub(super) struct Late(Mutex<BTreeMap<String, (Instant, Fault)>>);

impl Late {
    pub(super) fn keep(&self, what: String, fault: Fault) {
        let mut all = self.all();
        all.retain(|_, (at, _)| at.elapsed() < KEPT_FOR);
        all.insert(what, (Instant::now(), fault));
    }

    /// The failure, once.
    pub(super) fn take(&self, what: &str) -> Option<Fault> {
        let (at, fault) = self.all().remove(what)?;
        (at.elapsed() < KEPT_FOR).then_some(fault)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, Fault)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
