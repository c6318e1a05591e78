//! [`RequestCounts`]: metrics of HTTP requests by method and type of resource: sent, succeeded, failed, duration.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Method, StatusCode};

/// Requests of one method and resource type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Answered with success.
    pub succeeded: u64,
    /// Answered with any other status, or without a response.
    pub failed: u64,
    /// Of the failed ones, those that were answered with 429.
    pub throttled: u64,
    /// Sent, without a response yet.
    pub in_flight: u64,
    /// Duration of all completed requests, summed.
    pub duration: Duration,
}

/// A method and the type of the resource that it addresses, such as `amlFilesystems`.
pub type RequestKind = (String, &'static str);

/// Requests so far, by kind.
#[derive(Debug, Default)]
pub struct RequestCounts(Mutex<BTreeMap<RequestKind, Count>>);

impl RequestCounts {
    /// The counts at this moment.
    pub fn snapshot(&self) -> BTreeMap<RequestKind, Count> {
        self.locked().clone()
    }

    /// Counts a request that is about to be sent.
    pub(super) fn begin(&self, method: &Method, path: &str) -> InFlight<'_> {
        let kind = (method.to_string(), resource_type(path));
        self.locked().entry(kind.clone()).or_default().in_flight += 1;
        InFlight { counts: self, kind, status: None, duration: Duration::ZERO }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<RequestKind, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight. Dropping it counts it as completed, and as failed without a status.
#[derive(Debug)]
pub(super) struct InFlight<'a> {
    counts: &'a RequestCounts,
    kind: RequestKind,
    status: Option<StatusCode>,
    duration: Duration,
}

impl InFlight<'_> {
    /// Completes the request; `None` is no response.
    pub(super) fn end(mut self, status: Option<StatusCode>, duration: Duration) {
        (self.status, self.duration) = (status, duration);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.counts.locked().get_mut(&self.kind) {
            let succeeded = self.status.is_some_and(|status| status.is_success());
            count.in_flight = count.in_flight.saturating_sub(1);
            count.duration += self.duration;
            count.succeeded += u64::from(succeeded);
            count.failed += u64::from(!succeeded);
            count.throttled += u64::from(self.status == Some(StatusCode::TOO_MANY_REQUESTS));
        }
    }
}

/// The resource type in an ARM path. Known types only, so that resource names never become labels.
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
