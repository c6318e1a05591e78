//! DeleteVolume's loop: observe, delete what the domain says is owned, until the cloud says that nothing is left.

use std::time::Duration;

use super::context::ControllerContext;
use super::deadline::Deadline;
use super::filesystem_operation::FilesystemOperation;
use super::filesystem_records::FilesystemRecord;
use super::finality;
use super::progress::Phase;
use super::volume_operations::{OperationOutcome, RequestedOperation, VolumeOperations};
use crate::domain::filesystem::{Filesystem, Observed};
use crate::domain::ownership::NotOwned;
use crate::domain::reclaim::{self, ReclaimStep};
use crate::domain::request_limits::{ABSENCE_CONFIRMED_AFTER, RequestDecision};
use crate::domain::text::quote;
use crate::ports::inbound::{Caller, Failure, FailureKind};

/// Deletes what stands behind a volume id. Static ids and those of other drivers are a success without a request.
pub(super) async fn delete(
    context: &ControllerContext,
    operations: &VolumeOperations,
    volume_id: &str,
    caller: Caller,
) -> Result<(), Failure> {
    let deadline = Deadline::new(&*context.clock, caller.timeout);
    if volume_id.is_empty() {
        return Err(Failure::new(FailureKind::Invalid, "volume id: missing"));
    }
    let Some(id) = reclaim::plan(volume_id).map_err(finality::invalid)? else {
        tracing::info!(volume = %quote(volume_id), "nothing is behind this volume that was made for it; nothing is deleted");
        return Ok(());
    };
    context.cloud.configured().map_err(finality::not_configured)?;
    let joined = operations.join_or_begin(context, RequestedOperation::Delete(id.clone()), caller, |callers| {
        Deletion { operation: FilesystemOperation::new(context.clone(), id, callers) }.run()
    })?;
    joined.answer(deadline).await.map(drop)
}

/// The work on one file system, for all calls that ask for its deletion at the same time.
struct Deletion {
    operation: FilesystemOperation,
}

impl Deletion {
    async fn run(mut self) -> Result<OperationOutcome, Failure> {
        loop {
            let observed = self.operation.observe().await?;
            match (reclaim::next(&observed, &self.operation.id.name), &observed) {
                (ReclaimStep::Refuse(reason), _) => return Err(self.refused(&reason)),
                (ReclaimStep::Delete, Observed::Present(found)) => {
                    self.remember(found);
                    self.delete(found).await?;
                }
                (_, Observed::Present(found)) => {
                    self.remember(found);
                    self.operation.pause(phase("being deleted")).await?;
                }
                (_, Observed::Absent) => {
                    let gone = self.operation.update(|record, now| {
                        record.history.absent(now);
                        record.history.is_gone()
                    });
                    if gone {
                        self.operation.context.records.forget(&self.operation.id);
                        tracing::info!(filesystem = %self.operation.id, "the file system is gone");
                        return Ok(OperationOutcome::Deleted);
                    }
                    self.operation.sleep(ABSENCE_CONFIRMED_AFTER, phase("absent, to be confirmed")).await?;
                }
            }
        }
    }

    fn remember(&mut self, found: &Filesystem) {
        self.operation.in_progress = true;
        self.operation.update(|record, now| record.history.present(&found.state, now));
    }

    /// It is there and not being deleted: sends as many DELETEs as one call may.
    async fn delete(&mut self, found: &Filesystem) -> Result<(), Failure> {
        let record = self.operation.record();
        match record.history.next_delete(self.operation.deletes, self.operation.context.cloud_clock.now()) {
            RequestDecision::Now => self.send(found).await,
            RequestDecision::ObserveAfter(rest) => self.operation.sleep(rest, phase(ASKED)).await,
            RequestDecision::NotBefore(at) | RequestDecision::FailedNotBefore(at) => {
                Err(self.not_deleted(&record, found, at))
            }
        }
    }

    async fn send(&mut self, found: &Filesystem) -> Result<(), Failure> {
        self.operation.may_send().await?;
        let before = self.operation.delete_sent(phase(ASKED));
        tracing::info!(filesystem = %self.operation.id, "asking for the deletion of a file system");
        let response = self.operation.context.cloud.begin_delete(&self.operation.id).await;
        let waiting = "waits to be deleted, not asked for yet";
        if !self.operation.delete_answered(response, &before, waiting, finality::not_deleted)? {
            let record = self.operation.record();
            return Err(self.not_deleted(&record, found, record.history.deletes().not_before()));
        }
        self.operation.restart_polling();
        self.operation.pause(phase(ASKED)).await
    }

    /// The deletion failed: the cloud's words, and when it is sent again.
    fn not_deleted(&self, record: &FilesystemRecord, found: &Filesystem, at: Duration) -> Failure {
        let next = self.operation.next_try(at);
        if let Some(failure) = &record.delete_failure {
            return failure.followed_by(&next);
        }
        let (state, reason) = (found.state.as_str(), found.failure.as_deref().unwrap_or("the cloud gives no reason"));
        let message = format!("AMLFS {} was not deleted, its state is {state}: {reason}{next}", self.operation.id);
        Failure::new(FailureKind::Unavailable, message)
    }

    fn refused(&self, reason: &NotOwned) -> Failure {
        let message = format!("AMLFS {} is not deleted: {reason}", self.operation.id);
        let hint = "delete it by hand if it is not needed, or set the PersistentVolume's reclaim policy to Retain";
        Failure::new(FailureKind::Precondition, message).with_hint(hint)
    }
}

const ASKED: &str = "asked to be deleted";

fn phase(state: &str) -> Phase {
    Phase::Deletion(state.to_owned())
}
