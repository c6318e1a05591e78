//! An operation on one file system: what creation and deletion share. It observes, polls, sends DELETEs and keeps the record.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::context::ControllerContext;
use super::filesystem_records::FilesystemRecord;
use super::polling;
use super::progress::{Phase, Progress};
use super::time_format::format_duration;
use super::volume_operations::Callers;
use crate::domain::filesystem::Observed;
use crate::domain::history::History;
use crate::domain::names::FilesystemId;
use crate::domain::request_limits::CallRequests;
use crate::ports::cloud::{CloudError, CloudErrorKind};
use crate::ports::inbound::{Failure, FailureKind};

/// Failed observations in a row that end a call which waits for a file system.
const OBSERVATION_ERRORS: u32 = 3;
/// Time between two progress lines in the log of one operation.
const PROGRESS_INTERVAL: Duration = Duration::from_mins(1);

/// The work on one file system, for all calls that share it.
#[derive(Debug)]
pub(super) struct FilesystemOperation {
    pub(super) context: ControllerContext,
    pub(super) id: FilesystemId,
    pub(super) callers: Arc<Callers>,
    /// DELETEs of this call.
    pub(super) deletes: CallRequests,
    /// Whether something was found or asked for, so that a failed observation is worth repeating.
    pub(super) in_progress: bool,
    /// The cloud's `Retry-After`, for the next pause.
    pub(super) retry_after: Option<Duration>,
    /// Observations since the last request; pauses grow with them.
    polls: u32,
    consecutive_errors: u32,
    /// When progress was last logged.
    logged: Duration,
}

impl FilesystemOperation {
    pub(super) fn new(context: ControllerContext, id: FilesystemId, callers: Arc<Callers>) -> Self {
        let now = context.cloud_clock.now();
        let deletes = context.records.update(&id, now, |record| record.history.deletes().of_call());
        let (in_progress, retry_after, polls, consecutive_errors) = (false, None, 0, 0);
        Self { context, id, callers, deletes, in_progress, retry_after, polls, consecutive_errors, logged: now }
    }

    /// Observes the file system. While the operation waits for something, single failures end only the observation.
    pub(super) async fn observe(&mut self) -> Result<Observed, Failure> {
        loop {
            let observation = self.unless_stopped(self.context.cloud.observe(&self.id)).await?;
            let error = match observation {
                Ok(observed) => {
                    self.consecutive_errors = 0;
                    return Ok(observed);
                }
                Err(error) => error,
            };
            self.consecutive_errors += 1;
            if !self.in_progress || self.consecutive_errors >= OBSERVATION_ERRORS {
                return Err(self.context.unobserved(error));
            }
            tracing::warn!(%error, "an observation of the file system failed; observing again");
            self.retry_after = error.retry_after;
            self.progress().failed(&error);
            let pause = self.next_pause();
            self.unless_stopped(self.context.cloud_clock.sleep(pause)).await?;
        }
    }

    /// Waits for the next observation, longer each time.
    pub(super) async fn pause(&mut self, phase: Phase) -> Result<(), Failure> {
        let pause = self.next_pause();
        self.sleep(pause, phase).await
    }

    /// Waits for this long.
    pub(super) async fn sleep(&mut self, pause: Duration, phase: Phase) -> Result<(), Failure> {
        self.log_progress(&phase);
        self.progress().enter(phase);
        self.unless_stopped(self.context.cloud_clock.sleep(pause)).await
    }

    /// A request was sent: observations are frequent again.
    pub(super) fn restart_polling(&mut self) {
        self.in_progress = true;
        self.polls = 0;
    }

    /// The outcome of `work`, unless the process ends before.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        self.context.stop.unless_stopped(work).await.ok_or_else(|| self.stopped())
    }

    /// Whether a request may be sent: the process is not ending.
    pub(super) async fn may_send(&self) -> Result<(), Failure> {
        if self.context.stop.has_come().await { Err(self.stopped()) } else { Ok(()) }
    }

    /// Whether something new may begin: also a caller waits.
    pub(super) async fn may_begin(&self) -> Result<(), Failure> {
        self.may_send().await?;
        if self.callers.any_waits() { Ok(()) } else { Err(self.abandoned()) }
    }

    /// Makes a request that begins something. The adapter may hold it back for a while (a token, its turn among others), so
    /// whether a caller waits is checked before each step of it. Dropped before it is sent, nothing is sent; what was sent
    /// runs to its end in the adapter, and its outcome is unknown here.
    pub(super) async fn request<T>(&self, request: impl Future<Output = T>) -> Result<T, Failure> {
        let mut request = std::pin::pin!(request);
        let step = std::future::poll_fn(|context| {
            if self.callers.any_waits() { request.as_mut().poll(context).map(Some) } else { Poll::Ready(None) }
        });
        step.await.ok_or_else(|| self.abandoned())
    }

    /// Notes in the record that a DELETE is sent. Returns the history before.
    pub(super) fn delete_sent(&mut self, phase: Phase) -> History {
        let again = self.deletes.sent > 0;
        let before = self.update(|record, now| {
            let before = record.history.clone();
            record.history.delete_sent(now, again);
            before
        });
        self.deletes.count();
        self.progress().enter(phase);
        before
    }

    /// Notes the response to a DELETE. `Ok(false)` ends the call: the cloud refused, or named a cause that repeating does not
    /// cure. A throttled DELETE does not count and is the failure of the call; `waiting` is the state of the file system.
    pub(super) fn delete_answered(
        &mut self,
        response: Result<(), CloudError>,
        before: &History,
        waiting: &str,
        meaning: fn(CloudError) -> Failure,
    ) -> Result<bool, Failure> {
        let error = match response {
            Ok(()) => {
                self.progress().recovered();
                self.update(|record, _| record.delete_failure = None);
                return Ok(true);
            }
            Err(error) if error.kind == CloudErrorKind::Throttled => {
                self.update(|record, _| record.history.delete_throttled(before));
                let subject = format!("AMLFS {} {waiting}", self.id.name);
                return Err(self.context.throttled(error, "deletes", &subject));
            }
            Err(error) => error,
        };
        tracing::warn!(%error, lasting = error.lasting, "the outcome of a deletion is unknown or it was refused");
        let continues = !error.kind.is_refusal() && !error.lasting;
        self.retry_after = error.retry_after;
        self.progress().failed(&error);
        self.update(|record, _| record.delete_failure = Some(meaning(error)));
        Ok(continues)
    }

    /// Reads and changes the record of the file system.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut FilesystemRecord, Duration) -> T) -> T {
        let now = self.context.cloud_clock.now();
        self.context.records.update(&self.id, now, |record| change(record, now))
    }

    /// A copy of the record.
    pub(super) fn record(&self) -> FilesystemRecord {
        self.update(|record, _| record.clone())
    }

    /// "; next try at 14:03:20 UTC".
    pub(super) fn next_try(&self, at: Duration) -> String {
        format!("; next try at {}", self.context.time_of_day(at))
    }

    /// What callers are answered when their time ends.
    pub(super) fn progress(&self) -> &Progress {
        &self.callers.progress
    }

    fn abandoned(&self) -> Failure {
        tracing::info!(filesystem = %self.id, "no caller waits any more; nothing new is begun");
        let message = format!("AMLFS {}: no caller waits any more, so nothing new was begun", self.id);
        Failure::new(FailureKind::InProgress, message)
    }

    fn next_pause(&mut self) -> Duration {
        let pause = polling::pause(self.polls, self.retry_after.take());
        self.polls = self.polls.saturating_add(1);
        pause
    }

    /// Logs what the operation waits for, once a minute.
    fn log_progress(&mut self, phase: &Phase) {
        let now = self.context.cloud_clock.now();
        let (Phase::Creation(state) | Phase::Deletion(state)) = phase else { return };
        if now.saturating_sub(self.logged) >= PROGRESS_INTERVAL {
            self.logged = now;
            let so_far = format_duration(self.progress().so_far());
            tracing::info!(filesystem = %self.id, state, so_far, "waiting for the file system");
        }
    }

    /// The answer when the process ends.
    fn stopped(&self) -> Failure {
        let failure = self.progress().answer();
        let message = format!("{}; this process of the driver is ending, the next one continues", failure.message);
        Failure { message, ..failure }
    }
}
