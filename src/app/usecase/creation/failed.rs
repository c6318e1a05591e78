//! A creation that ARM accepted and that failed: deleted, reported with ARM's reason, and made anew after a pause.

use std::time::Duration;

use super::Creation;
use crate::app::usecase::attempts::{Attempt, Refusal};
use crate::app::usecase::claim_events::milestone::Milestone;
use crate::app::usecase::finality;
use crate::app::usecase::progress::Phase;
use crate::domain::filesystem::{self, ProvisioningState};
use crate::domain::history::FailureCause;
use crate::domain::request_limits::RequestDecision;
use crate::ports::cloud::CloudErrorKind;
use crate::ports::inbound::{Failure, FailureKind};

impl Creation {
    /// Deletes a creation that failed and was never usable; the observation before said so, and that it is ours.
    pub(super) async fn delete_failed(
        &mut self,
        state: &ProvisioningState,
        reason: Option<String>,
    ) -> Result<(), Failure> {
        let reason = reason.or_else(|| (*state == ProvisioningState::Canceled).then(|| "it was cancelled".to_owned()));
        let news = self.update(|attempt, _| attempt.history.creation_failed(reason.as_deref()));
        let attempt = self.update(|attempt, _| attempt.clone());
        if news {
            self.report_failure(&attempt);
        }
        let now = self.on.cloud_clock.now();
        match attempt.history.next_delete(self.deletes, now) {
            RequestDecision::Now => self.send_delete().await,
            RequestDecision::ObserveAfter(rest) => self.poller.sleep(rest, Phase::Creation(REMOVING.to_owned())).await,
            RequestDecision::NotBefore(at) | RequestDecision::FailedNotBefore(at) => {
                Err(self.not_removed(&attempt, at))
            }
        }
    }

    async fn send_delete(&mut self) -> Result<(), Failure> {
        self.poller.may_begin().await?;
        let again = self.deletes.sent > 0;
        let before = self.update(|attempt, now| {
            let before = attempt.history.clone();
            attempt.history.delete_sent(now, again);
            before
        });
        self.poller.participants.progress.enter(Phase::Creation(REMOVING.to_owned()));
        tracing::info!(filesystem = %self.id(), "deleting a failed creation");
        match self.poller.request(self.on.cloud.begin_delete(self.id())).await? {
            Err(error) if error.kind == CloudErrorKind::Throttled => {
                self.update(|attempt, _| attempt.history.delete_throttled(&before));
                let subject = format!("AMLFS {} failed and waits to be deleted", self.id().name);
                return Err(self.on.throttled(error, "deletes", &subject));
            }
            Ok(()) => self.update(|attempt, _| attempt.delete_refusal = None),
            Err(error) => {
                tracing::warn!(%error, "a failed creation was not deleted");
                let ends = error.kind.is_refusal() || error.lasting;
                self.poller.retry_after = error.retry_after;
                self.poller.participants.progress.failed(&error);
                let refusal = Refusal::of(&finality::in_doubt(error));
                let attempt = self.update(|attempt, _| {
                    attempt.delete_refusal = Some(refusal);
                    attempt.clone()
                });
                if ends {
                    self.deletes.count();
                    return Err(self.not_removed(&attempt, attempt.history.delete_not_before()));
                }
            }
        }
        self.deletes.count();
        self.poller.restart();
        self.poller.pause(Phase::Creation(REMOVING.to_owned())).await
    }

    /// It is gone; the next call makes it anew.
    pub(super) fn deleted(&self, attempt: &Attempt) -> Failure {
        let id = self.id();
        let message = match attempt.history.failed() {
            Some(failed) => {
                let next = failed.not_before.map(|at| self.next_try(at)).unwrap_or_default();
                format!("{}; it was deleted and is made anew{next}", self.failure_text(attempt))
            }
            None => format!("AMLFS {id} was being deleted and is gone; the next call makes it anew"),
        };
        Failure::new(FailureKind::InProgress, message)
    }

    /// It failed, is gone, and is not made anew before `at`.
    pub(super) fn failed_before(&self, attempt: &Attempt, at: Duration) -> Failure {
        let reason = attempt.history.failed().and_then(|failed| failed.reason.as_deref()).unwrap_or_default();
        let quota = filesystem::is_quota(reason);
        let kind = if quota { FailureKind::Exhausted } else { FailureKind::Precondition };
        let failure = Failure::new(kind, format!("{}{}", self.failure_text(attempt), self.next_try(at)));
        self.conclude(failure, FailureCause::Circumstance)
    }

    /// It failed and could not be deleted.
    fn not_removed(&self, attempt: &Attempt, at: Duration) -> Failure {
        let (failed, next) = (self.failure_text(attempt), self.next_try(at));
        match &attempt.delete_refusal {
            Some(refusal) => {
                let failure = refusal.failure(&next);
                Failure { message: format!("{failed}; it could not be deleted: {failure}"), ..failure }
            }
            None => Failure::new(FailureKind::Unavailable, format!("{failed}; its deletion had no effect yet{next}")),
        }
    }

    fn failure_text(&self, attempt: &Attempt) -> String {
        let failed = attempt.history.failed();
        let reason = failed.and_then(|failed| failed.reason.as_deref()).unwrap_or("the cloud gives no reason");
        let count = failed.map_or(1, |failed| failed.count);
        format!("creation {count} of AMLFS {} failed: {reason}", self.id().name)
    }

    /// Reports the failure to the owner of the claim.
    fn report_failure(&self, attempt: &Attempt) {
        let failed = attempt.history.failed();
        let milestone = Milestone::CreationFailed {
            name: self.id().name.as_str(),
            failures: failed.map_or(1, |failed| failed.count),
            reason: failed.and_then(|failed| failed.reason.as_deref()),
        };
        tracing::warn!(filesystem = %self.id(), "{}", milestone.message());
        self.on.emit(&self.plan, &milestone);
    }
}

const REMOVING: &str = "failed and being deleted";
