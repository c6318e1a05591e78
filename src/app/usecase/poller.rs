//! Polling one file system: observations, pauses between them, and the end of both when the process ends.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::context::ControllerContext;
use super::polling;
use super::progress::Phase;
use super::time_format::format_duration;
use super::volume_operations::Participants;
use crate::domain::filesystem::Observed;
use crate::domain::names::FilesystemId;
use crate::ports::inbound::{Failure, FailureKind};

/// Failed observations in a row that end a call which waits for a file system.
const OBSERVATION_ERRORS: u32 = 3;
/// Time between two progress lines in the log of one creation or deletion.
const PROGRESS_INTERVAL: Duration = Duration::from_mins(1);

/// The polling of one operation.
#[derive(Debug)]
pub(super) struct Poller {
    pub(super) on: ControllerContext,
    pub(super) id: FilesystemId,
    pub(super) participants: Arc<Participants>,
    /// Whether something was found or asked for, so that a failed observation is worth repeating.
    pub(super) in_progress: bool,
    /// How long the cloud asked to be left alone, for the next pause.
    pub(super) retry_after: Option<Duration>,
    /// Observations since the last request; pauses grow with them.
    polls: u32,
    consecutive_errors: u32,
    /// When progress was last logged.
    logged: Duration,
}

impl Poller {
    pub(super) fn new(on: ControllerContext, id: FilesystemId, participants: Arc<Participants>) -> Self {
        let logged = on.cloud_clock.now();
        let (polls, consecutive_errors) = (0, 0);
        Self { on, id, participants, in_progress: false, retry_after: None, polls, consecutive_errors, logged }
    }

    /// Observes the file system. While the operation waits for something, single failures end only the observation.
    pub(super) async fn observe(&mut self) -> Result<Observed, Failure> {
        loop {
            let observation = self.on.stop.unless_stopped(self.on.cloud.observe(&self.id)).await;
            let error = match observation.ok_or_else(|| self.stopped())? {
                Ok(observed) => {
                    self.consecutive_errors = 0;
                    return Ok(observed);
                }
                Err(error) => error,
            };
            self.consecutive_errors += 1;
            if !self.in_progress || self.consecutive_errors >= OBSERVATION_ERRORS {
                return Err(self.on.unobserved(error));
            }
            tracing::warn!(%error, "an observation of the file system failed; observing again");
            self.retry_after = error.retry_after;
            self.participants.progress.failed(&error);
            let pause = self.next_pause();
            self.wait(pause).await?;
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
        self.participants.progress.enter(phase);
        self.wait(pause).await
    }

    /// A request was sent: observations are frequent again.
    pub(super) fn restart(&mut self) {
        self.in_progress = true;
        self.polls = 0;
    }

    /// Whether something new may begin: a caller waits, and the process is not ending.
    pub(super) async fn may_begin(&self) -> Result<(), Failure> {
        if self.on.stop.has_come().await {
            return Err(self.stopped());
        }
        if self.participants.anyone_waits() { Ok(()) } else { Err(self.abandoned()) }
    }

    /// Makes a request that begins something. The adapter may hold it back for a while (a token, its turn among others), so
    /// whether a caller waits is asked before each step of it. Dropped before it is sent, nothing is sent; what was sent runs
    /// to its end in the adapter, and its outcome is unknown here.
    pub(super) async fn request<T>(&self, request: impl Future<Output = T>) -> Result<T, Failure> {
        let mut request = std::pin::pin!(request);
        let step = std::future::poll_fn(|context| {
            if self.participants.anyone_waits() { request.as_mut().poll(context).map(Some) } else { Poll::Ready(None) }
        });
        step.await.ok_or_else(|| self.abandoned())
    }

    fn abandoned(&self) -> Failure {
        tracing::info!(filesystem = %self.id, "no caller waits any more; nothing new is begun");
        let message = format!("AMLFS {}: no caller waits any more, so nothing new was begun", self.id);
        Failure::new(FailureKind::InProgress, message)
    }

    async fn wait(&self, pause: Duration) -> Result<(), Failure> {
        self.on.stop.unless_stopped(self.on.cloud_clock.sleep(pause)).await.ok_or_else(|| self.stopped())
    }

    fn next_pause(&mut self) -> Duration {
        let pause = polling::pause(self.polls, self.retry_after.take());
        self.polls = self.polls.saturating_add(1);
        pause
    }

    /// Once a minute, so that the log of one operation reads as a story.
    fn log_progress(&mut self, phase: &Phase) {
        let now = self.on.cloud_clock.now();
        let (Phase::Creation(state) | Phase::Deletion(state)) = phase else { return };
        if now.saturating_sub(self.logged) >= PROGRESS_INTERVAL {
            self.logged = now;
            let so_far = format_duration(self.participants.progress.so_far());
            tracing::info!(filesystem = %self.id, state, so_far, "waiting for the file system");
        }
    }

    /// The answer when the process ends.
    pub(super) fn stopped(&self) -> Failure {
        let failure = self.participants.progress.answer();
        let message = format!("{}; this process of the driver is ending, the next one goes on", failure.message);
        Failure { message, ..failure }
    }
}
