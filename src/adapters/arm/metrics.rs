//! [`RequestCounts`]: how many requests were sent, how they ended, how long they took, by method and type of resource.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::wire::{Method, StatusCode};

/// Requests of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Answered with success.
    pub succeeded: u64,
    /// Answered with anything else, or not at all.
    pub failed: u64,
    /// Of the failed ones, those that were answered with 429.
    pub throttled: u64,
    /// Sent and not answered yet.
    pub in_flight: u64,
    /// Time of all that ended, together.
    pub duration: Duration,
}

/// A method and the type of the resource that it addressed, such as `amlFilesystems`.
pub type RequestKind = (String, &'static str);

/// Requests so far, by kind.
#[derive(Debug, Default)]
pub struct RequestCounts(Mutex<BTreeMap<RequestKind, Count>>);

/// A request in progress. Dropping it without an end counts it as failed: its caller gave up.
#[derive(Debug)]
pub struct Counted<'a> {
    counts: &'a RequestCounts,
    kind: RequestKind,
    ended: bool,
}

impl RequestCounts {
    /// The figures at this moment.
    pub fn snapshot(&self) -> BTreeMap<RequestKind, Count> {
        self.locked().clone()
    }

    /// Notes a request that is about to be sent.
    pub fn begin(&self, method: &Method, path: &str) -> Counted<'_> {
        let kind = (method.to_string(), resource_type(path));
        self.locked().entry(kind.clone()).or_default().in_flight += 1;
        Counted { counts: self, kind, ended: false }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<RequestKind, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, kind: &RequestKind, status: Option<StatusCode>, took: Duration) {
        if let Some(count) = self.locked().get_mut(kind) {
            count.in_flight = count.in_flight.saturating_sub(1);
            count.duration += took;
            match status {
                Some(status) if status.is_success() => count.succeeded += 1,
                other => {
                    count.failed += 1;
                    count.throttled += u64::from(other == Some(StatusCode::TOO_MANY_REQUESTS));
                }
            }
        }
    }
}

impl Counted<'_> {
    /// Notes how it ended; `None` is no answer.
    pub fn end(mut self, status: Option<StatusCode>, took: Duration) {
        self.ended = true;
        self.counts.end(&self.kind, status, took);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.counts.end(&self.kind, None, Duration::ZERO);
        }
    }
}

/// The type in an ARM path: the last segment that is no name. Only known words, so that names never become labels.
fn resource_type(path: &str) -> &'static str {
    const TYPES: [&str; 8] = [
        "expansionJobs",
        "amlFilesystems",
        "skus",
        "getRequiredAmlFSSubnetsSize",
        "ascOperations",
        "virtualNetworks",
        "token",
        "metadata",
    ];
    TYPES.into_iter().find(|kind| path.split('/').any(|part| part.eq_ignore_ascii_case(kind))).unwrap_or("other")
}
