//! Progress of a creation or deletion, for callers whose time ends before it does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::finality;
use super::locked;
use super::time_format::format_duration;
use crate::domain::names::FilesystemId;
use crate::ports::clock::Clock;
use crate::ports::cloud::CloudError;
use crate::ports::inbound::{Failure, FailureKind};

/// What an operation waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// The cloud's response about this, before anything was found or asked for.
    Query(&'static str),
    /// The file system, which is in this state.
    Creation(String),
    /// The end of the file system, which is in this state.
    Deletion(String),
}

/// What a caller is answered when its time ends.
#[derive(Debug)]
pub(super) struct Progress {
    id: FilesystemId,
    cloud_clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    begun: Option<Duration>,
    /// The last error of the cloud, if nothing was observed since.
    last_error: Option<CloudError>,
}

impl Progress {
    /// An operation on `id` that has not observed anything.
    pub(super) fn new(id: FilesystemId, cloud_clock: Arc<dyn Clock>) -> Self {
        let state = State { phase: Phase::Query("it"), begun: None, last_error: None };
        Self { id, cloud_clock, state: Mutex::new(state) }
    }

    /// The operation enters a phase.
    pub(super) fn enter(&self, phase: Phase) {
        locked(&self.state).phase = phase;
    }

    /// When the operation was begun, on the cloud's clock.
    pub(super) fn begun(&self, begun: Option<Duration>) {
        locked(&self.state).begun = begun;
    }

    /// The last request failed with this, and the operation continues.
    pub(super) fn failed(&self, error: &CloudError) {
        locked(&self.state).last_error = Some(error.clone());
    }

    /// What failed before does not matter any more.
    pub(super) fn recovered(&self) {
        locked(&self.state).last_error = None;
    }

    /// How long the operation has taken so far.
    pub(super) fn so_far(&self) -> Duration {
        let begun = locked(&self.state).begun;
        begun.map_or(Duration::ZERO, |begun| self.cloud_clock.now().saturating_sub(begun))
    }

    /// The answer at this moment: "AMLFS pvc-… is Creating, 6m30s so far, usually ready in 10 to 20 minutes".
    pub(super) fn answer(&self) -> Failure {
        let so_far = format_duration(self.so_far());
        let state = locked(&self.state);
        let (id, name) = (&self.id, &self.id.name);
        let message = match &state.phase {
            Phase::Query(subject) => {
                let message = format!("no answer about {subject} in time; AMLFS {id} was not asked for by this call");
                return Failure::new(FailureKind::Unavailable, message);
            }
            Phase::Creation(word) => {
                let usual = "usually ready in 10 to 20 minutes; the call is repeated until then";
                format!("AMLFS {name} is {word}, {so_far} so far, {usual}")
            }
            Phase::Deletion(word) => {
                format!("AMLFS {id} is {word}, usually gone in about 5 minutes; the call is repeated until then")
            }
        };
        finality::in_progress(message, state.last_error.as_ref())
    }
}
