//! [`RunningCalls`]: the calls that may outlive their callers, and the token that announces the end of the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The running calls of all services. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct RunningCalls {
    tasks: TaskTracker,
    stopping: CancellationToken,
    unfinished: Arc<Mutex<Unfinished>>,
}

#[derive(Debug, Default)]
struct Unfinished {
    next: u64,
    /// Method and volume, by arrival.
    calls: BTreeMap<u64, (&'static str, String)>,
}

impl RunningCalls {
    /// Calls that run among these tasks, which the process waits for before it ends.
    pub fn over(tasks: TaskTracker) -> Self {
        Self { tasks, ..Self::default() }
    }

    /// The tasks of calls that outlive their callers.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Cancelled when the process is asked to end: from then on new calls are answered `UNAVAILABLE`.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Calls that change something and are not finished, as method and volume, in the order of their arrival.
    pub fn unfinished(&self) -> Vec<String> {
        self.lock().calls.values().map(|(method, volume)| format!("{method} {volume}")).collect()
    }

    /// Registers a call as unfinished until the guard is dropped.
    pub(super) fn register(&self, method: &'static str, volume: String) -> UnfinishedGuard {
        let mut unfinished = self.lock();
        unfinished.next += 1;
        let number = unfinished.next;
        unfinished.calls.insert(number, (method, volume));
        drop(unfinished);
        UnfinishedGuard { calls: self.clone(), number }
    }

    fn lock(&self) -> MutexGuard<'_, Unfinished> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a call registered as unfinished.
pub(super) struct UnfinishedGuard {
    calls: RunningCalls,
    number: u64,
}

impl Drop for UnfinishedGuard {
    fn drop(&mut self) {
        self.calls.lock().calls.remove(&self.number);
    }
}
