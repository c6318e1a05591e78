//! The calls that outlive their callers, and what they are about when the process ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Work of the services. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Work {
    tasks: TaskTracker,
    stopping: CancellationToken,
    calls: Arc<Mutex<Calls>>,
}

#[derive(Debug, Default)]
struct Calls {
    next: u64,
    /// Method and volume.
    unfinished: BTreeMap<u64, (&'static str, String)>,
}

impl Work {
    /// Work whose tasks are among these, which the process waits for before it ends.
    pub fn over(tasks: TaskTracker) -> Self {
        Self { tasks, ..Self::default() }
    }

    /// The tasks in which calls run that outlive their callers.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Cancelled when the process is asked to end: from then on new calls are answered `UNAVAILABLE`.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Calls that change something and are not finished, as method and volume, in the order of their arrival.
    pub fn unfinished(&self) -> Vec<String> {
        self.calls().unfinished.values().map(|(method, volume)| format!("{method} {volume}")).collect()
    }

    /// Notes a call until the guard is dropped.
    pub(super) fn begin(&self, method: &'static str, volume: String) -> Unfinished {
        let mut calls = self.calls();
        calls.next += 1;
        let number = calls.next;
        calls.unfinished.insert(number, (method, volume));
        drop(calls);
        Unfinished { work: self.clone(), number }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is not finished.
pub(super) struct Unfinished {
    work: Work,
    number: u64,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.work.calls().unfinished.remove(&self.number);
    }
}
