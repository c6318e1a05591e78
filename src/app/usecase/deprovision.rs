//! DeleteVolume: observe, delete what the domain says is ours, until the cloud says that nothing is left.

use std::sync::Arc;
use std::time::Duration;

use super::attempts::{Attempt, Refusal};
use super::context::ControllerContext;
use super::deadline::Deadline;
use super::finality;
use super::poller::Poller;
use super::progress::{Phase, Progress};
use super::volume_operations::{Content, Done, Participants, VolumeOperations};
use crate::domain::filesystem::Observed;
use crate::domain::names::FilesystemId;
use crate::domain::ownership::NotOwned;
use crate::domain::reclaim::{self, Reclaim, ReclaimStep};
use crate::domain::request_limits::{ABSENCE_CONFIRMED_AFTER, CallRequests, RequestDecision};
use crate::domain::text::quote;
use crate::ports::cloud::CloudErrorKind;
use crate::ports::inbound::{Caller, Failure, FailureKind};

/// Deletes what stands behind a volume id. Static ids and those of other drivers are a success without a request.
pub(super) async fn delete(
    on: &ControllerContext,
    operations: &VolumeOperations,
    volume_id: &str,
    caller: Caller,
) -> Result<(), Failure> {
    let deadline = Deadline::new(&*on.clock, caller.timeout);
    if volume_id.is_empty() {
        return Err(Failure::new(FailureKind::Invalid, "volume id: missing"));
    }
    match reclaim::plan(volume_id).map_err(|problem| Failure::new(FailureKind::Invalid, problem.to_string()))? {
        Reclaim::Nothing => {
            tracing::info!(volume = %quote(volume_id), "nothing is behind this volume that was made for it; nothing is deleted");
            Ok(())
        }
        Reclaim::Filesystem(id) => {
            on.cloud.configured().map_err(finality::not_configured)?;
            let progress = Progress::new(id.clone(), Arc::clone(&on.cloud_clock));
            let (name, content) = (id.name.as_str().to_owned(), Content::Delete(id.clone()));
            let joined =
                operations.join_or_begin(&name, content, caller, on.clock.now(), progress, |participants| {
                    Deletion::new(on.clone(), id, participants).run()
                })?;
            joined.answer(deadline).await.map(drop)
        }
    }
}

/// The work on one file system, for all calls that ask for its deletion at the same time.
struct Deletion {
    on: ControllerContext,
    id: FilesystemId,
    poller: Poller,
    deletes: CallRequests,
}

impl Deletion {
    fn new(on: ControllerContext, id: FilesystemId, participants: Arc<Participants>) -> Self {
        let deletes = on.attempts.with(&id, on.cloud_clock.now(), |attempt| attempt.history.deletes_of_call());
        let poller = Poller::new(on.clone(), id.clone(), participants);
        Self { on, id, poller, deletes }
    }

    async fn run(mut self) -> Result<Done, Failure> {
        loop {
            let observed = self.poller.observe().await?;
            match reclaim::next(&observed, &self.id.name) {
                ReclaimStep::Done => {
                    let gone = self.update(|attempt, now| {
                        attempt.history.absent(now);
                        attempt.history.is_gone()
                    });
                    if gone {
                        self.on.attempts.forget(&self.id);
                        tracing::info!(filesystem = %self.id, "the file system is gone");
                        return Ok(Done::Deleted);
                    }
                    self.poller.sleep(ABSENCE_CONFIRMED_AFTER, phase("absent, to be confirmed")).await?;
                }
                ReclaimStep::Wait => {
                    self.note(&observed);
                    self.poller.pause(phase("being deleted")).await?;
                }
                ReclaimStep::Delete => {
                    self.note(&observed);
                    self.delete(&observed).await?;
                }
                ReclaimStep::Refuse(reason) => return Err(self.refused(&reason)),
            }
        }
    }

    fn note(&mut self, observed: &Observed) {
        let Observed::Present(found) = observed else { return };
        self.poller.in_progress = true;
        self.update(|attempt, now| attempt.history.present(&found.state, now));
    }

    /// It is there and not being deleted: asks for its deletion as often as one call may.
    async fn delete(&mut self, observed: &Observed) -> Result<(), Failure> {
        let attempt = self.update(|attempt, _| attempt.clone());
        match attempt.history.next_delete(self.deletes, self.on.cloud_clock.now()) {
            RequestDecision::Now => self.send().await,
            RequestDecision::ObserveAfter(rest) => self.poller.sleep(rest, phase(ASKED)).await,
            RequestDecision::NotBefore(at) | RequestDecision::FailedNotBefore(at) => {
                Err(self.not_deleted(&attempt, observed, at))
            }
        }
    }

    async fn send(&mut self) -> Result<(), Failure> {
        if self.on.stop.has_come().await {
            return Err(self.poller.stopped());
        }
        let again = self.deletes.sent > 0;
        let before = self.update(|attempt, now| {
            let before = attempt.history.clone();
            attempt.history.delete_sent(now, again);
            before
        });
        self.poller.participants.progress.enter(phase(ASKED));
        tracing::info!(filesystem = %self.id, "asking for the deletion of a file system");
        match self.on.cloud.begin_delete(&self.id).await {
            Ok(()) => {
                self.poller.participants.progress.recovered();
                self.update(|attempt, _| attempt.delete_refusal = None);
            }
            Err(error) if error.kind == CloudErrorKind::Throttled => {
                self.update(|attempt, _| attempt.history.delete_throttled(&before));
                let subject = format!("AMLFS {} waits to be deleted, not asked for yet", self.id.name);
                return Err(self.on.throttled(error, "deletes", &subject));
            }
            Err(error) => {
                let ends = error.kind.is_refusal() || error.lasting;
                tracing::warn!(%error, "the outcome of a deletion is unknown or it was refused");
                self.poller.retry_after = error.retry_after;
                self.poller.participants.progress.failed(&error);
                let refusal = Refusal::of(&finality::not_deleted(error));
                let at = self.update(|attempt, _| {
                    attempt.delete_refusal = Some(refusal.clone());
                    attempt.history.delete_not_before()
                });
                if ends {
                    return Err(refusal.failure(&self.next_try(at)));
                }
            }
        }
        self.deletes.count();
        self.poller.restart();
        self.poller.pause(phase(ASKED)).await
    }

    /// The deletion failed: the cloud's words, and when it is asked for again.
    fn not_deleted(&self, attempt: &Attempt, observed: &Observed, at: Duration) -> Failure {
        if let Some(refusal) = &attempt.delete_refusal {
            return refusal.failure(&self.next_try(at));
        }
        let (state, reason) = match observed {
            Observed::Present(found) => (found.state.as_str(), found.failure.as_deref()),
            Observed::Absent => ("absent", None),
        };
        let reason = reason.unwrap_or("the cloud gives no reason");
        let message = format!("AMLFS {} was not deleted, its state is {state}: {reason}", self.id);
        Failure::new(FailureKind::Unavailable, format!("{message}{}", self.next_try(at)))
    }

    fn refused(&self, reason: &NotOwned) -> Failure {
        let message = format!("AMLFS {} is not deleted: {reason}", self.id);
        let hint = "delete it by hand if it is not needed, or set the PersistentVolume's reclaim policy to Retain";
        Failure::new(FailureKind::Precondition, message).with_hint(hint)
    }

    fn next_try(&self, at: Duration) -> String {
        format!("; next try at {}", self.on.time_of_day(at))
    }

    fn update<T>(&self, change: impl FnOnce(&mut Attempt, Duration) -> T) -> T {
        let now = self.on.cloud_clock.now();
        self.on.attempts.with(&self.id, now, |attempt| change(attempt, now))
    }
}

const ASKED: &str = "asked to be deleted";

fn phase(state: &str) -> Phase {
    Phase::Deletion(state.to_owned())
}
