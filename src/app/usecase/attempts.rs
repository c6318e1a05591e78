//! What this process remembers of creations that are not finished. Hints only: a restart may lose them.
//!
//! Why it exists: the cloud resource is the journal, but it does not say that a request was sent a second ago whose answer
//! was lost, or that the last three creations failed. With these hints the next call is more careful and more patient.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::locked;
use crate::domain::names::FilesystemId;

/// Hints about one file system that is being created. Times are on the cloud's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    /// When this process first asked for it or first saw it under way.
    pub begun: Option<Duration>,
    /// A creation was sent and the file system was not seen since: the request may still be alive.
    pub put_in_doubt: bool,
    /// How many creations failed and were deleted.
    pub failures: u32,
    /// Why the last one failed.
    pub reason: Option<String>,
    /// A failed creation is being deleted; it counts once.
    pub deleting: bool,
    /// Not to be created again before this time.
    pub not_before: Option<Duration>,
}

/// Hints about all file systems that are being created.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<FilesystemId, Attempt>>);

impl Attempts {
    /// What is remembered of a file system.
    pub fn recall(&self, id: &FilesystemId) -> Attempt {
        locked(&self.0).get(id).cloned().unwrap_or_default()
    }

    /// Remembers; an empty hint is forgotten.
    pub fn remember(&self, id: &FilesystemId, attempt: &Attempt) {
        let mut attempts = locked(&self.0);
        if *attempt == Attempt::default() {
            attempts.remove(id);
        } else {
            attempts.insert(id.clone(), attempt.clone());
        }
    }

    /// Forgets a file system that is finished or gone.
    pub fn forget(&self, id: &FilesystemId) {
        locked(&self.0).remove(id);
    }
}
