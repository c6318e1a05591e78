//! The creation loop of CreateVolume: observe, decide, act, until the file system is ready or the call has an answer.
//!
//! A creation outlives every call that asks for it. Each call picks up whatever is there: [`lifecycle`] says what to do
//! about what was observed, [`History`] whether something may be sent and whether a failure may be final, and this module
//! acts. What is done before and with a PUT is in `request`, what becomes of a failed creation in `failed`.
//!
//! [`History`]: crate::domain::history::History

use std::sync::Arc;
use std::time::Duration;

use super::attempts::Attempt;
use super::claim_events::milestone::Milestone;
use super::context::ControllerContext;
use super::finality;
use super::poller::Poller;
use super::progress::Phase;
use super::time_format::format_duration;
use super::volume_operations::{Done, Participants};
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

/// The work on one file system, for all calls that ask for it at the same time.
#[derive(Debug)]
pub(super) struct Creation {
    on: ControllerContext,
    plan: Arc<DynamicProvision>,
    poller: Poller,
    creates: CallRequests,
    deletes: CallRequests,
    /// An observation of this call showed that it was being deleted.
    saw_deleting: bool,
}

impl Creation {
    pub(super) fn new(on: ControllerContext, plan: Arc<DynamicProvision>, participants: Arc<Participants>) -> Self {
        let (creates, deletes) = on.attempts.with(plan.id(), on.cloud_clock.now(), |attempt| {
            (attempt.history.creates_of_call(), attempt.history.deletes_of_call())
        });
        let poller = Poller::new(on.clone(), plan.id().clone(), participants);
        Self { on, plan, poller, creates, deletes, saw_deleting: false }
    }

    /// Works until the file system is ready or the call has another answer.
    pub(super) async fn run(mut self) -> Result<Done, Failure> {
        self.refuse_if_begun_elsewhere().await?;
        let plan = Arc::clone(&self.plan);
        self.creates = self.update(|attempt, _| {
            attempt.asked_for(&plan);
            attempt.history.creates_of_call()
        });
        loop {
            let observed = self.poller.observe().await?;
            self.note(&observed);
            match (lifecycle::next(&observed, self.plan.desired()), &observed) {
                (Step::Ready(ready), _) => return Ok(Done::Ready(Box::new(self.finish(*ready)))),
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

    /// Remembers what was observed, and logs what is news.
    fn note(&mut self, observed: &Observed) {
        let Observed::Present(found) = observed else {
            self.update(|attempt, now| attempt.history.absent(now));
            return;
        };
        self.poller.participants.progress.recovered();
        let owned = ownership::check(&self.id().name, &found.tags).is_ok();
        let (first, asked_for, begun) = self.update(|attempt, now| {
            let asked_for = attempt.history.create_attempted();
            if !owned && !asked_for {
                attempt.history.present_not_owned();
                return (false, false, None);
            }
            attempt.create_refusal = None;
            (attempt.history.present(&found.state, now), asked_for, attempt.history.begun())
        });
        if owned || asked_for {
            self.poller.in_progress = true;
            self.saw_deleting |= found.state == ProvisioningState::Deleting;
            self.poller.participants.progress.begun(begun);
        }
        if first && !asked_for {
            let (id, state) = (self.plan.id(), found.state.as_str());
            tracing::info!(filesystem = %id, state, "found the file system of this volume, which this process did not ask for");
        }
    }

    /// Nothing is there: create it, unless a creation may still be on its way or an earlier one asks for patience.
    async fn create(&mut self) -> Result<(), Failure> {
        let now = self.on.cloud_clock.now();
        let attempt = self.update(|attempt, _| attempt.clone());
        if (self.saw_deleting || self.deletes.sent > 0) && attempt.history.is_gone_after_deletion() {
            return Err(self.deleted(&attempt));
        }
        match attempt.history.next_create(self.creates, now) {
            RequestDecision::Now => {
                let (spec, reservation) = self.prepare().await?;
                let sent = self.send(&spec).await;
                drop(reservation);
                sent
            }
            RequestDecision::ObserveAfter(rest) => {
                self.poller.sleep(rest, Phase::Creation(NOT_VISIBLE.to_owned())).await
            }
            RequestDecision::FailedNotBefore(at) => Err(self.failed_before(&attempt, at)),
            RequestDecision::NotBefore(at) => match &attempt.create_refusal {
                Some(refusal) => Err(self.conclude(refusal.failure(&self.next_try(at)), FailureCause::Circumstance)),
                // Accepted, or cut off by the end of an earlier call: it may become visible at any moment.
                None if at > now => self.pause(NOT_VISIBLE).await,
                None => {
                    let message = format!("AMLFS {} was asked for and is not visible", self.plan.id());
                    Err(Failure::new(FailureKind::Unavailable, message))
                }
            },
        }
    }

    /// A file system of this volume that was begun in another resource group or region: a second one would orphan it.
    async fn refuse_if_begun_elsewhere(&mut self) -> Result<(), Failure> {
        let (id, location) = (self.plan.id().clone(), self.plan.desired().location.clone());
        let Some(begun) = self.on.attempts.elsewhere(&id, &location) else { return Ok(()) };
        let observation = self.on.stop.unless_stopped(self.on.cloud.observe(&begun.id)).await;
        let observation = observation.ok_or_else(|| self.poller.stopped())?;
        let observed = observation.map_err(|error| self.on.unobserved(error))?;
        let (gone, absent_for) = self.on.attempts.with(&begun.id, self.on.cloud_clock.now(), |attempt| {
            let now = self.on.cloud_clock.now();
            match &observed {
                Observed::Present(found) => drop(attempt.history.present(&found.state, now)),
                Observed::Absent => attempt.history.absent(now),
            }
            let gone = attempt.history.is_gone() && !attempt.history.is_unfinished();
            (gone, attempt.history.proved_absent_for())
        });
        if gone {
            self.on.attempts.forget(&begun.id);
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

    fn finish(&self, ready: ReadyFilesystem) -> ReadyFilesystem {
        let so_far = self.poller.participants.progress.so_far();
        let waited = self.update(|attempt, _| {
            let waited = attempt.history.create_attempted() || !so_far.is_zero();
            attempt.location = Some(self.plan.desired().location.clone());
            attempt.finish();
            waited
        });
        if waited {
            let after = format_duration(so_far);
            tracing::info!(filesystem = %self.plan.id(), mgs = ready.mgs_address, after, "the file system is ready");
            self.on.emit(&self.plan, &Milestone::Ready { name: self.id().name.as_str(), so_far });
        }
        ready
    }

    /// What is there cannot become this volume.
    fn refused(&self, step: &Step, found: &Filesystem) -> Failure {
        let id = self.plan.id();
        let asked_for = self.update(|attempt, _| attempt.history.create_attempted());
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
        finality::exists_and_is_billed(&format!("{message}; its state is {}", found.state.as_str()), self.plan.id())
    }

    /// A failure whose kind is final only if nothing was found for long enough; until then the same text is reported as
    /// "may still exist", and Kubernetes calls again.
    fn conclude(&self, failure: Failure, cause: FailureCause) -> Failure {
        if failure.kind.is_final() && !self.update(|attempt, _| attempt.is_final(cause)) {
            return Failure { kind: FailureKind::Unavailable, ..failure };
        }
        failure
    }

    /// It exists and is not ready.
    async fn wait_for(&mut self, state: &ProvisioningState) -> Result<(), Failure> {
        let text = waiting_for(state);
        if *state != ProvisioningState::Deleting {
            let (name, so_far) = (self.id().name.as_str(), self.poller.participants.progress.so_far());
            self.on.emit(&self.plan, &Milestone::Creating { name, state: &text, so_far });
        }
        self.pause(&text).await
    }

    async fn pause(&mut self, state: &str) -> Result<(), Failure> {
        self.poller.pause(Phase::Creation(state.to_owned())).await
    }

    /// "; next try at 14:03:20 UTC".
    fn next_try(&self, at: Duration) -> String {
        format!("; next try at {}", self.on.time_of_day(at))
    }

    fn id(&self) -> &FilesystemId {
        self.plan.id()
    }

    fn update<T>(&self, change: impl FnOnce(&mut Attempt, Duration) -> T) -> T {
        let now = self.on.cloud_clock.now();
        self.on.attempts.with(self.plan.id(), now, |attempt| change(attempt, now))
    }
}

const NOT_VISIBLE: &str = "asked for, not visible yet";

fn waiting_for(state: &ProvisioningState) -> String {
    match state {
        ProvisioningState::Succeeded => "Succeeded but without a usable MGS address".to_owned(),
        other => other.as_str().to_owned(),
    }
}
