//! A creation that ARM accepted and that failed: deleted, reported with ARM's reason, and made anew after a pause.

use std::time::Duration;

use super::Creation;
use crate::app::usecase::claim_events::milestone::Milestone;
use crate::app::usecase::filesystem_records::FilesystemRecord;
use crate::app::usecase::finality;
use crate::app::usecase::progress::Phase;
use crate::domain::filesystem::{self, ProvisioningState};
use crate::domain::history::FailureCause;
use crate::domain::request_limits::RequestDecision;
use crate::ports::inbound::{Failure, FailureKind};

fn removing() -> Phase {
    Phase::Creation("failed and being deleted".to_owned())
}

impl Creation {
    /// Deletes a creation that failed and was never usable, as the observation before showed, and that it is owned.
    pub(super) async fn delete_failed(
        &mut self,
        state: &ProvisioningState,
        reason: Option<String>,
    ) -> Result<(), Failure> {
        let reason = reason.or_else(|| (*state == ProvisioningState::Canceled).then(|| "it was cancelled".to_owned()));
        let first = self.operation.update(|record, _| record.history.creation_failed(reason.as_deref()));
        let record = self.operation.record();
        if first {
            self.report_failure(&record);
        }
        match record.history.next_delete(self.operation.deletes, self.operation.context.cloud_clock.now()) {
            RequestDecision::Now => self.send_delete().await,
            RequestDecision::ObserveAfter(rest) => self.operation.sleep(rest, removing()).await,
            RequestDecision::NotBefore(at) | RequestDecision::FailedNotBefore(at) => Err(self.not_removed(&record, at)),
        }
    }

    async fn send_delete(&mut self) -> Result<(), Failure> {
        self.operation.may_begin().await?;
        let before = self.operation.delete_sent(removing());
        tracing::info!(filesystem = %self.id(), "deleting a failed creation");
        let response = self.operation.request(self.operation.context.cloud.begin_delete(self.id())).await?;
        let waiting = "failed and waits to be deleted";
        if !self.operation.delete_answered(response, &before, waiting, finality::may_exist)? {
            let record = self.operation.record();
            return Err(self.not_removed(&record, record.history.deletes().not_before()));
        }
        self.operation.restart_polling();
        self.operation.pause(removing()).await
    }

    /// It is gone; the next call makes it anew.
    pub(super) fn deleted(&self, record: &FilesystemRecord) -> Failure {
        let message = match record.history.failed() {
            Some(failed) => {
                let next = failed.not_before.map(|at| self.operation.next_try(at)).unwrap_or_default();
                format!("{}; it was deleted and is made anew{next}", self.failure_text(record))
            }
            None => format!("AMLFS {} was being deleted and is gone; the next call makes it anew", self.id()),
        };
        Failure::new(FailureKind::InProgress, message)
    }

    /// It failed, is gone, and is not made anew before `at`.
    pub(super) fn failed_before(&self, record: &FilesystemRecord, at: Duration) -> Failure {
        let reason = record.history.failed().and_then(|failed| failed.reason.as_deref()).unwrap_or_default();
        let quota = filesystem::is_quota(reason);
        let kind = if quota { FailureKind::Exhausted } else { FailureKind::Precondition };
        let message = format!("{}{}", self.failure_text(record), self.operation.next_try(at));
        self.conclude(Failure::new(kind, message), FailureCause::Circumstance)
    }

    /// It failed and could not be deleted.
    fn not_removed(&self, record: &FilesystemRecord, at: Duration) -> Failure {
        let (failed, next) = (self.failure_text(record), self.operation.next_try(at));
        match &record.delete_failure {
            Some(failure) => {
                let failure = failure.followed_by(&next);
                Failure { message: format!("{failed}; it could not be deleted: {failure}"), ..failure }
            }
            None => Failure::new(FailureKind::Unavailable, format!("{failed}; its deletion had no effect yet{next}")),
        }
    }

    fn failure_text(&self, record: &FilesystemRecord) -> String {
        let failed = record.history.failed();
        let reason = failed.and_then(|failed| failed.reason.as_deref()).unwrap_or("the cloud gives no reason");
        let count = failed.map_or(1, |failed| failed.count);
        format!("creation {count} of AMLFS {} failed: {reason}", self.id().name)
    }

    /// Reports the failure to the owner of the claim.
    fn report_failure(&self, record: &FilesystemRecord) {
        let failed = record.history.failed();
        let milestone = Milestone::CreationFailed {
            name: self.id().name.as_str(),
            failures: failed.map_or(1, |failed| failed.count),
            reason: failed.and_then(|failed| failed.reason.as_deref()),
        };
        tracing::warn!(filesystem = %self.id(), "{}", milestone.event().message);
        self.emit(&milestone);
    }
}
