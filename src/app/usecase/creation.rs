//! The creation loop: look, decide, act, until the file system is ready or an answer is due.
//!
//! Why it exists: a creation outlives every call that asks for it. Each call picks up whatever is there; the rules of
//! when a failure may be final are in [`verdict`], what to do next is in [`lifecycle`], and this file only acts.

use std::time::Duration;

use super::attempts::Attempt;
use super::claim_events::milestone::Milestone;
use super::deadline::Deadline;
use super::provision::Provision;
use super::verdict;
use crate::domain::filesystem::{FilesystemSpec, Observed, ProvisioningState, ReadyFilesystem};
use crate::domain::lifecycle::{self, Desired, Step};
use crate::domain::polling;
use crate::domain::provisioning::{DynamicWish, RequestError, Volume};
use crate::ports::cloud::{CloudError, HeadroomRequest};
use crate::ports::inbound::{Failure, FailureKind};

/// How many looks in a row may fail for passing reasons before a wait that has begun ends.
const PASSING_TROUBLES: u32 = 3;

/// One call's work on one file system.
#[derive(Debug)]
pub(super) struct Creation<'a> {
    on: &'a Provision,
    wish: &'a DynamicWish,
    desired: Desired,
    deadline: Deadline<'a>,
    attempt: Attempt,
    /// Pauses since the last act; they grow.
    looks: u32,
    /// How long the cloud asked to be left alone, for the next pause.
    retry_after: Option<Duration>,
    /// Failed looks in a row.
    troubles: u32,
    /// This call saw the file system or asked for it.
    engaged: bool,
    /// When the file system was first not there, after a creation whose fate is open.
    absent_since: Option<Duration>,
    /// The refusal of a repeated creation, to be told once another look finds nothing.
    refusal: Option<Failure>,
    /// The last answer that was no success, to be told if the time ends before a better one.
    trouble: Option<CloudError>,
}

impl<'a> Creation<'a> {
    pub(super) fn new(on: &'a Provision, wish: &'a DynamicWish, deadline: Deadline<'a>) -> Self {
        Self {
            on,
            wish,
            desired: wish.desired(),
            deadline,
            attempt: on.attempts.recall(wish.id()),
            looks: 0,
            retry_after: None,
            troubles: 0,
            engaged: false,
            absent_since: None,
            refusal: None,
            trouble: None,
        }
    }

    /// Works until the volume is ready, a failure is certain, or an answer is due.
    pub(super) async fn run(mut self) -> Result<Volume, Failure> {
        loop {
            let observed = self.look().await?;
            if observed != Observed::Absent {
                self.seen();
            }
            match lifecycle::next(&observed, &self.desired) {
                Step::Ready(ready) => return self.finish(&ready),
                Step::Wait(state) => self.pause(&waiting_for(&state)).await?,
                Step::Create => self.create().await?,
                Step::DeleteFailed { reason } => self.delete_failed(reason).await?,
                refused => {
                    self.on.attempts.forget(self.wish.id());
                    return Err(self.refused(&refused));
                }
            }
        }
    }

    /// Looks once. While this call already waits for something, passing troubles end only the look, not the wait.
    async fn look(&mut self) -> Result<Observed, Failure> {
        loop {
            let error = match self.deadline.limit(self.on.cloud.observe(self.wish.id())).await {
                None if self.engaged => return Err(self.in_progress("not answering")),
                None => return Err(self.no_answer("it")),
                Some(Ok(observed)) => {
                    self.troubles = 0;
                    return Ok(observed);
                }
                Some(Err(error)) => error,
            };
            self.troubles += 1;
            if !self.engaged || !verdict::is_passing(error.kind) || self.troubles > PASSING_TROUBLES {
                return Err(verdict::in_doubt(error));
            }
            tracing::warn!(%error, "a look at the file system failed; looking again");
            self.retry_after = error.retry_after;
            self.trouble = Some(error);
            self.pause("not answering").await?;
        }
    }

    /// The file system is there, so a creation that was in doubt has arrived.
    fn seen(&mut self) {
        self.engaged = true;
        self.absent_since = None;
        self.refusal = None;
        self.trouble = None;
        self.update(|attempt, now| {
            attempt.put_in_doubt = false;
            attempt.begun.get_or_insert(now);
        });
    }

    /// Nothing is there: create it, unless a creation may still be on its way or a failed one asks for patience.
    async fn create(&mut self) -> Result<(), Failure> {
        let now = self.on.cloud_clock.now();
        if let Some(refusal) = self.refusal.take() {
            self.on.attempts.forget(self.wish.id());
            return Err(refusal);
        }
        if self.attempt.put_in_doubt {
            let since = *self.absent_since.get_or_insert(now);
            let rest = polling::ABSENCE_CONFIRMED_AFTER.saturating_sub(now.saturating_sub(since));
            if rest > Duration::ZERO {
                return self.sleep(rest, "asked for, not visible yet").await;
            }
        }
        if self.attempt.deleting {
            self.update(|attempt, now| {
                attempt.deleting = false;
                attempt.not_before = Some(now + polling::recreate_pause(attempt.failures));
            });
        }
        if let Some(rest) = self.attempt.not_before.and_then(|at| at.checked_sub(now)).filter(|rest| !rest.is_zero()) {
            return self.sleep(rest, &self.retry_told(rest)).await;
        }
        match self.prepare().await {
            Ok(spec) => self.send(&spec).await,
            Err(failure) => self.confirm(failure).await,
        }
    }

    /// Before a final failure, one more look: a creation of an earlier process may have been invisible at the first, and be
    /// the very thing that fills the subnet or the quota.
    async fn confirm(&mut self, failure: Failure) -> Result<(), Failure> {
        if failure.kind.is_final() && self.look().await? != Observed::Absent {
            return Ok(());
        }
        Err(failure)
    }

    /// The checks before a creation. They may end the call for good, since this call saw that nothing exists; unless an
    /// earlier creation is in doubt, which may be the very thing that fills the subnet.
    async fn prepare(&self) -> Result<FilesystemSpec, Failure> {
        let doubtful = self.attempt.put_in_doubt;
        let judge = if doubtful { verdict::in_doubt } else { verdict::nothing_exists };
        let refuse = |error: RequestError| {
            let failure = verdict::refused_locally(&error);
            if doubtful { Failure { kind: FailureKind::Unavailable, ..failure } } else { failure }
        };
        let skus = self.on.skus.get(&*self.on.cloud, &*self.on.cloud_clock, self.wish.location());
        let skus = self.deadline.limit(skus).await.ok_or_else(|| self.no_answer("the SKU list"))?.map_err(judge)?;
        let sku = skus.get(self.wish.sku_name()).map_err(|violation| refuse(violation.into()))?;
        let spec = self.wish.spec(sku).map_err(refuse)?;
        if doubtful {
            return Ok(spec);
        }
        let room =
            HeadroomRequest { subnet: spec.subnet.clone(), sku_name: spec.sku_name.clone(), capacity: spec.capacity };
        let found = self.deadline.limit(self.on.cloud.headroom(&room)).await;
        let found = found.ok_or_else(|| self.no_answer("the subnet's addresses"))?.map_err(judge)?;
        if found.required > found.available {
            let (required, available, subnet) = (found.required, found.available, &spec.subnet);
            let message = format!(
                "subnet {subnet} is full: {required} addresses are needed for {}, {available} are free",
                spec.capacity
            );
            return Err(Failure::new(FailureKind::Exhausted, message)
                .with_hint("use a larger subnet (subnet-name), or a smaller size"));
        }
        Ok(spec)
    }

    /// Sends the creation. From here on, until the file system is seen or the creation is refused, its fate is open.
    async fn send(&mut self, spec: &FilesystemSpec) -> Result<(), Failure> {
        let repeated = self.attempt.put_in_doubt;
        self.engaged = true;
        self.absent_since = None;
        self.looks = 0;
        self.update(|attempt, now| {
            attempt.put_in_doubt = true;
            attempt.begun.get_or_insert(now);
        });
        tracing::info!(filesystem = %spec.id, sku = %spec.sku_name, size = %spec.capacity, repeated, "asking for a file system");
        match self.deadline.limit(self.on.cloud.begin_create(spec)).await {
            None => Err(self.in_progress("asked for")),
            Some(Ok(())) => self.pause("asked for").await,
            Some(Err(error)) if error.kind.is_refusal() && repeated => {
                self.refusal = Some(verdict::nothing_exists(error));
                self.sleep(polling::ABSENCE_CONFIRMED_AFTER, "asked for again and refused").await
            }
            Some(Err(error)) if error.kind.is_refusal() => {
                self.on.attempts.forget(self.wish.id());
                self.confirm(verdict::nothing_exists(error)).await
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "a creation's fate is open; looking");
                self.retry_after = error.retry_after;
                self.trouble = Some(error);
                self.pause("asked for, without a clear answer").await
            }
        }
    }

    /// Deletes a creation that failed and was never usable; the look before said so, and that it is ours.
    async fn delete_failed(&mut self, reason: Option<String>) -> Result<(), Failure> {
        if !self.attempt.deleting {
            self.update(|attempt, _| {
                attempt.deleting = true;
                attempt.failures += 1;
                attempt.reason.clone_from(&reason);
            });
            self.tell_claim();
        }
        match self.deadline.limit(self.on.cloud.begin_delete(self.wish.id())).await {
            None => Err(self.in_progress("failed and being deleted")),
            Some(Ok(())) => self.pause("failed and being deleted").await,
            Some(Err(error)) if verdict::is_passing(error.kind) => {
                self.retry_after = error.retry_after;
                self.trouble = Some(error);
                self.pause("failed and being deleted").await
            }
            Some(Err(error)) => Err(verdict::in_doubt(error)),
        }
    }

    fn tell_claim(&self) {
        tracing::warn!(filesystem = %self.wish.id(), "{}", self.failure_told());
        let (name, failures) = (self.wish.id().name.as_str(), self.attempt.failures);
        self.on.emit(self.wish, &Milestone::CreationFailed { name, failures, reason: self.attempt.reason.as_deref() });
    }

    fn finish(&self, ready: &ReadyFilesystem) -> Result<Volume, Failure> {
        self.on.attempts.forget(self.wish.id());
        self.wish.volume(ready).map_err(|error| {
            let message = format!("AMLFS {} is ready but cannot be described as a volume: {error}", self.wish.id());
            Failure::new(FailureKind::Unavailable, message)
        })
    }

    fn refused(&self, step: &Step) -> Failure {
        let id = self.wish.id();
        match step {
            Step::Conflict(differences) => {
                let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
                let message = format!("AMLFS {id} exists with other properties: {}", told.join("; "));
                Failure::new(FailureKind::Conflict, message)
            }
            Step::Foreign(reason) => {
                let message = format!("AMLFS {id} exists but was not made for this volume: {reason}");
                Failure::new(FailureKind::Conflict, message)
                    .with_hint("it is left alone; remove or rename it if it is not needed")
            }
            Step::Broken { reason } => {
                let why = reason.as_deref().unwrap_or("the cloud gives no reason");
                let message = format!(
                    "AMLFS {id} was usable once and is in state Failed now ({why}); it may hold data and is left alone"
                );
                Failure::new(FailureKind::Precondition, message)
                    .with_hint("look at it in the Azure portal, or open a support request")
            }
            Step::Create | Step::Wait(_) | Step::Ready(_) | Step::DeleteFailed { .. } => {
                Failure::new(FailureKind::Unavailable, format!("AMLFS {id} changed meanwhile"))
            }
        }
    }

    /// Waits for the next look, longer each time.
    async fn pause(&mut self, state: &str) -> Result<(), Failure> {
        let pause = polling::pause(self.looks, self.retry_after.take());
        self.looks = self.looks.saturating_add(1);
        self.sleep(pause, state).await
    }

    async fn sleep(&self, pause: Duration, state: &str) -> Result<(), Failure> {
        self.deadline.limit(self.on.cloud_clock.sleep(pause)).await.ok_or_else(|| self.in_progress(state))
    }

    fn update(&mut self, change: impl FnOnce(&mut Attempt, Duration)) {
        change(&mut self.attempt, self.on.cloud_clock.now());
        self.on.attempts.remember(self.wish.id(), &self.attempt);
    }

    /// "AMLFS pvc-… is Creating, 6m30s so far, usually ready in 10 to 20 minutes".
    fn in_progress(&self, state: &str) -> Failure {
        let begun = self.attempt.begun.unwrap_or_else(|| self.on.cloud_clock.now());
        let so_far = polling::in_words(self.on.cloud_clock.now().saturating_sub(begun));
        let name = &self.wish.id().name;
        let usual = "usually ready in 10 to 20 minutes; the call is repeated until then";
        verdict::in_progress(format!("AMLFS {name} is {state}, {so_far} so far, {usual}"), self.trouble.as_ref())
    }

    fn no_answer(&self, about: &str) -> Failure {
        let message =
            format!("no answer about {about} in time; AMLFS {} was not asked for by this call", self.wish.id());
        Failure::new(FailureKind::Unavailable, message)
    }

    fn failure_told(&self) -> String {
        let reason = self.attempt.reason.as_deref().unwrap_or("the cloud gives no reason");
        let name = &self.wish.id().name;
        format!("creation {} of AMLFS {name} failed: {reason}; it is deleted and made anew", self.attempt.failures)
    }

    fn retry_told(&self, rest: Duration) -> String {
        format!("to be made again in {} ({})", polling::in_words(rest), self.failure_told())
    }
}

fn waiting_for(state: &ProvisioningState) -> String {
    match state {
        ProvisioningState::Succeeded => "Succeeded but without a usable MGS address".to_owned(),
        other => other.as_str().to_owned(),
    }
}
