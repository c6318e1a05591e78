//! CreateVolume's loop: observe, decide, act, until the file system is ready or the call has an answer.
//!
//! A creation outlives every call that asks for it. Each call continues from what it observes: [`lifecycle`] decides what to
//! do about an observation, [`History`] whether something may be sent and whether a failure may be final, and this module
//! acts. The checks before a PUT and the PUT are in `request`, the deletion of a failed creation is in `failed`.
//!
//! [`History`]: crate::domain::history::History

use std::sync::Arc;

use super::claim_events::milestone::Milestone;
use super::context::ControllerContext;
use super::filesystem_operation::FilesystemOperation;
use super::finality;
use super::progress::Phase;
use super::time_format::format_duration;
use super::volume_operations::{Callers, OperationOutcome};
use crate::domain::filesystem::{Filesystem, Observed, ProvisioningState, ReadyFilesystem};
use crate::domain::history::FailureCause;
use crate::domain::lifecycle::{self, Step};
use crate::domain::names::FilesystemId;
use crate::domain::ownership;
use crate::domain::provisioning::DynamicProvision;
use crate::domain::request_limits::{CallRequests, RequestDecision};
use crate::ports::inbound::{Failure, FailureKind};

mod failed;
mod request;

/// What a creation waits for where its PUT has no visible effect yet.
const NOT_VISIBLE: &str = "asked for, not visible yet";

/// The work on one file system, for all calls that ask for it at the same time.
#[derive(Debug)]
pub(super) struct Creation {
    plan: Arc<DynamicProvision>,
    operation: FilesystemOperation,
    /// PUTs of this call.
    creates: CallRequests,
    /// An observation of this call showed that it was being deleted.
    saw_deleting: bool,
}

impl Creation {
    pub(super) fn new(context: ControllerContext, plan: Arc<DynamicProvision>, callers: Arc<Callers>) -> Self {
        let operation = FilesystemOperation::new(context, plan.id().clone(), callers);
        let creates = operation.update(|record, _| record.history.creates().of_call());
        Self { plan, operation, creates, saw_deleting: false }
    }

    /// Works until the file system is ready or the call has another answer.
    pub(super) async fn run(mut self) -> Result<OperationOutcome, Failure> {
        self.refuse_if_begun_elsewhere().await?;
        self.creates = self.operation.update(|record, _| {
            record.requested(&self.plan);
            record.history.creates().of_call()
        });
        loop {
            let observed = self.operation.observe().await?;
            self.remember(&observed);
            match (lifecycle::next(&observed, self.plan.desired()), &observed) {
                (Step::Ready(ready), _) => return Ok(OperationOutcome::Ready(Box::new(self.finished(*ready)))),
                (Step::Wait(state), _) => self.wait_for(&state).await?,
                (Step::Create, _) => self.create().await?,
                (Step::DeleteFailed { reason }, Observed::Present(found)) => {
                    self.delete_failed(&found.state, reason).await?;
                }
                (refused, Observed::Present(found)) => return Err(self.refused(&refused, found)),
                (refused, Observed::Absent) => {
                    tracing::error!(?refused, "nothing was found, and yet it is refused");
                    return Err(Failure::new(FailureKind::Internal, "nothing was found, and yet it is refused"));
                }
            }
        }
    }

    /// Records what was observed, and logs a file system that this process did not ask for.
    fn remember(&mut self, observed: &Observed) {
        let Observed::Present(found) = observed else {
            self.operation.update(|record, now| record.history.absent(now));
            return;
        };
        self.operation.progress().recovered();
        let owned = ownership::check(&self.id().name, &found.tags).is_ok();
        let (first, asked_for, begun) = self.operation.update(|record, now| {
            let asked_for = record.history.create_attempted();
            if !owned && !asked_for {
                record.history.present_not_owned();
                return (false, false, None);
            }
            record.create_failure = None;
            (record.history.present(&found.state, now), asked_for, record.history.begun())
        });
        if owned || asked_for {
            self.operation.in_progress = true;
            self.saw_deleting |= found.state == ProvisioningState::Deleting;
            self.operation.progress().begun(begun);
        }
        if first && !asked_for {
            let (id, state) = (self.id(), found.state.as_str());
            tracing::info!(filesystem = %id, state, "found the file system of this volume, which this process did not ask for");
        }
    }

    /// Nothing is there: creates it, unless a creation may still be on its way or the pause after an earlier one lasts.
    async fn create(&mut self) -> Result<(), Failure> {
        let now = self.operation.context.cloud_clock.now();
        let record = self.operation.record();
        if (self.saw_deleting || self.operation.deletes.sent > 0) && record.history.is_gone_after_deletion() {
            return Err(self.deleted(&record));
        }
        match record.history.next_create(self.creates, now) {
            RequestDecision::Now => {
                let (spec, reservation) = self.prepare().await?;
                let sent = self.send(&spec).await;
                drop(reservation);
                sent
            }
            RequestDecision::ObserveAfter(rest) => {
                self.operation.sleep(rest, Phase::Creation(NOT_VISIBLE.to_owned())).await
            }
            RequestDecision::FailedNotBefore(at) => Err(self.failed_before(&record, at)),
            RequestDecision::NotBefore(at) => match &record.create_failure {
                Some(failure) => {
                    let failure = failure.followed_by(&self.operation.next_try(at));
                    Err(self.conclude(failure, FailureCause::Circumstance))
                }
                // Accepted, or cut off by the end of an earlier call: it may become visible at any moment.
                None if at > now => self.pause(NOT_VISIBLE).await,
                None => {
                    let message = format!("AMLFS {} was asked for and is not visible", self.id());
                    Err(Failure::new(FailureKind::Unavailable, message))
                }
            },
        }
    }

    /// A file system of this volume that was begun in another resource group or region: a second one would orphan it.
    async fn refuse_if_begun_elsewhere(&mut self) -> Result<(), Failure> {
        let (id, location, context) = (self.id(), &self.plan.desired().location, &self.operation.context);
        let Some(begun) = context.records.elsewhere(id, location) else { return Ok(()) };
        let observation = self.operation.unless_stopped(context.cloud.observe(&begun.id)).await?;
        let observed = observation.map_err(|error| context.unobserved(error))?;
        let now = context.cloud_clock.now();
        let (gone, absent_for) = context.records.update(&begun.id, now, |record| {
            match &observed {
                Observed::Present(found) => drop(record.history.present(&found.state, now)),
                Observed::Absent => record.history.absent(now),
            }
            let gone = record.history.is_gone() && !record.history.is_unfinished();
            (gone, record.history.proved_absent_for())
        });
        if gone {
            context.records.forget(&begun.id);
            return Ok(());
        }
        let region = begun.location.map(|location| format!(" in {location}")).unwrap_or_default();
        let message = format!(
            "AMLFS {} was begun{region} for this volume; the request now asks for resource group {} in {location}",
            begun.id, id.resource_group
        );
        Err(match absent_for {
            None => finality::exists_and_is_billed(&message, &begun.id),
            Some(absent_for) => finality::begun_elsewhere_and_absent(&message, absent_for),
        })
    }

    fn finished(&self, ready: ReadyFilesystem) -> ReadyFilesystem {
        let so_far = self.operation.progress().so_far();
        let waited = self.operation.update(|record, _| {
            let waited = record.history.create_attempted() || !so_far.is_zero();
            record.finish(&self.plan.desired().location);
            waited
        });
        if waited {
            let after = format_duration(so_far);
            tracing::info!(filesystem = %self.id(), mgs = ready.mgs_address, after, "the file system is ready");
            self.emit(&Milestone::Ready { name: self.id().name.as_str(), so_far });
        }
        ready
    }

    /// What is there cannot become this volume.
    fn refused(&self, step: &Step, found: &Filesystem) -> Failure {
        let id = self.id();
        let asked_for = self.operation.update(|record, _| record.history.create_attempted());
        let usable = found.was_ready() && found.state != ProvisioningState::Deleting;
        match step {
            Step::Conflict(differences) => {
                let named: Vec<String> = differences.iter().map(ToString::to_string).collect();
                let message = format!("AMLFS {id} exists with other properties: {}", named.join("; "));
                if usable { Failure::new(FailureKind::Conflict, message) } else { self.unusable(&message, found) }
            }
            Step::NotOwned(reason) => {
                let message = format!("AMLFS {id} exists but was not made for this volume: {reason}");
                let changed = if asked_for { "; this process asked for it, so its tags were changed" } else { "" };
                if asked_for && !usable {
                    return self.unusable(&format!("{message}{changed}"), found);
                }
                Failure::new(FailureKind::Conflict, format!("{message}{changed}"))
                    .with_hint("it is left alone; remove or rename it if it is not needed")
            }
            Step::FailedAfterReady { reason } => {
                let (why, state) = (reason.as_deref().unwrap_or("the cloud gives no reason"), found.state.as_str());
                let message = format!(
                    "AMLFS {id} was usable once and is in state {state} now ({why}); it may hold data and is left alone"
                );
                Failure::new(FailureKind::Precondition, message)
                    .with_hint("check it in the Azure portal, or open a support request")
            }
            Step::Create | Step::Wait(_) | Step::Ready(_) | Step::DeleteFailed { .. } => {
                Failure::new(FailureKind::Unavailable, format!("AMLFS {id} changed meanwhile"))
            }
        }
    }

    fn unusable(&self, message: &str, found: &Filesystem) -> Failure {
        finality::exists_and_is_billed(&format!("{message}; its state is {}", found.state.as_str()), self.id())
    }

    /// A failure whose kind is final only if nothing was found for long enough; until then the same text is reported as
    /// "may still exist", and Kubernetes calls again.
    fn conclude(&self, failure: Failure, cause: FailureCause) -> Failure {
        if failure.kind.is_final() && !self.operation.update(|record, _| record.history.is_final(cause)) {
            return Failure { kind: FailureKind::Unavailable, ..failure };
        }
        failure
    }

    /// It exists and is not ready.
    async fn wait_for(&mut self, state: &ProvisioningState) -> Result<(), Failure> {
        let text = match state {
            ProvisioningState::Succeeded => "Succeeded but without a usable MGS address",
            other => other.as_str(),
        };
        if *state != ProvisioningState::Deleting {
            let (name, so_far) = (self.id().name.as_str(), self.operation.progress().so_far());
            self.emit(&Milestone::Creating { name, state: text, so_far });
        }
        self.pause(text).await
    }

    async fn pause(&mut self, state: &str) -> Result<(), Failure> {
        self.operation.pause(Phase::Creation(state.to_owned())).await
    }

    fn emit(&self, milestone: &Milestone<'_>) {
        self.operation.context.emit(&self.plan, milestone);
    }

    fn id(&self) -> &FilesystemId {
        self.plan.id()
    }
}
