//! Kubernetes events on claims: queued by the use-cases, written in the background.
//!
//! Emitting never waits and never fails, so a cluster that does not answer slows no creation down. What is written when is
//! decided by [`outbox::Outbox`].

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::locked;
use super::shared::first;
use crate::ports::clock::Clock;
use crate::ports::orchestrator::{ClaimEvent, Orchestrator, OrchestratorError, OrchestratorErrorKind};

pub mod milestone;
pub mod outbox;

use outbox::{NextWrite, Outbox, WriteOutcome};

/// The events of this process that are still to be written.
#[derive(Debug)]
pub struct ClaimEvents {
    orchestrator: Arc<dyn Orchestrator>,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    outbox: Outbox,
    /// The task that waits for an event to be emitted.
    waiting: Option<Waker>,
    /// An event was emitted since the task last waited.
    changed: bool,
    /// The last failure that was logged; `None` while events are written.
    failing: Option<OrchestratorErrorKind>,
}

impl ClaimEvents {
    /// An empty queue in front of `orchestrator`. `clock` is real time, also where the cloud's time runs faster.
    pub fn new(orchestrator: Arc<dyn Orchestrator>, clock: Arc<dyn Clock>) -> Self {
        Self { orchestrator, clock, queue: Mutex::default() }
    }

    /// Queues an event. Returns at once.
    pub fn emit(&self, event: ClaimEvent) {
        let now = self.clock.now();
        let mut queue = locked(&self.queue);
        queue.outbox.put(event, now);
        queue.changed = true;
        if let Some(waker) = queue.waiting.take() {
            waker.wake();
        }
    }

    /// Writes events whenever they are due. Never ends; drop the future to stop.
    pub async fn run(&self) {
        loop {
            match self.write_due().await {
                Some(pause) => first(self.clock.sleep(pause), self.emitted()).await,
                None => self.emitted().await,
            }
        }
    }

    /// Writes all events that are due, and says when the next one is; `None` if nothing is queued.
    pub async fn write_due(&self) -> Option<Duration> {
        loop {
            let next = locked(&self.queue).outbox.next(self.clock.now());
            match next {
                NextWrite::Idle => return None,
                NextWrite::Wait(pause) => return Some(pause),
                NextWrite::Write(event) => {
                    let written = self.orchestrator.report(&event).await;
                    self.complete(event, written);
                }
            }
        }
    }

    fn complete(&self, event: ClaimEvent, written: Result<(), OrchestratorError>) {
        let now = self.clock.now();
        let mut queue = locked(&self.queue);
        let outcome = match &written {
            Ok(()) => WriteOutcome::Written,
            Err(error) if error.kind == OrchestratorErrorKind::Unavailable => WriteOutcome::TryAgain,
            Err(_) => WriteOutcome::Dropped,
        };
        queue.outbox.complete(event, outcome, now);
        let before = std::mem::replace(&mut queue.failing, written.as_ref().err().map(|error| error.kind));
        drop(queue);
        match written {
            Ok(()) if before.is_some() => tracing::info!("events on claims are written again"),
            Err(error) if before != Some(error.kind) => {
                tracing::warn!(%error, "an event on a claim is not written; volumes are not affected");
            }
            Err(error) => tracing::debug!(%error, "an event on a claim is not written"),
            Ok(()) => {}
        }
    }

    /// Ends when something was emitted since the last time.
    async fn emitted(&self) {
        poll_fn(|context| {
            let mut queue = locked(&self.queue);
            if std::mem::take(&mut queue.changed) {
                return Poll::Ready(());
            }
            queue.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
