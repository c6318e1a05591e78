//! Before and with the PUT: the preflight checks, the request, and what its answer means.

use super::Creation;
use crate::app::usecase::addresses::Reservation;
use crate::app::usecase::attempts::Refusal;
use crate::app::usecase::claim_events::milestone::Milestone;
use crate::app::usecase::finality;
use crate::app::usecase::progress::Phase;
use crate::domain::filesystem::FilesystemSpec;
use crate::domain::history::FailureCause;
use crate::domain::provisioning::RequestError;
use crate::ports::cloud::{CloudError, CloudErrorKind, SubnetCapacityRequest};
use crate::ports::inbound::{Failure, FailureKind};

impl Creation {
    /// The checks before a PUT: SKU, zone, size, addresses. While a creation may be on its way, the subnet is not asked: that
    /// creation may be the very thing that fills it.
    pub(super) async fn prepare(&mut self) -> Result<(FilesystemSpec, Option<Reservation>), Failure> {
        self.asking("the SKU list");
        let skus = self.on.skus.get(&*self.on.cloud, &*self.on.cloud_clock, &self.plan.desired().location);
        let skus = self.on.stop.unless_stopped(skus).await.ok_or_else(|| self.poller.stopped())?;
        let skus = skus.map_err(|error| self.preflight_failed(error, FailureCause::Circumstance))?;
        let refuse = |error: RequestError| self.conclude(finality::refused_locally(&error), FailureCause::Request);
        let sku = skus.get(&self.plan.desired().sku_name).map_err(|problem| refuse(problem.into()))?;
        let spec = self.plan.spec(sku).map_err(refuse)?;
        if let Some(warning) = sku.support_request(spec.capacity) {
            tracing::warn!(filesystem = %spec.id, "{warning}");
        }
        if self.update(|attempt, _| attempt.history.create_outcome_unknown()) {
            return Ok((spec, None));
        }
        let reservation = self.reserve_addresses(&spec).await?;
        Ok((spec, Some(reservation)))
    }

    async fn reserve_addresses(&mut self, spec: &FilesystemSpec) -> Result<Reservation, Failure> {
        self.asking("the subnet's addresses");
        let request = SubnetCapacityRequest {
            subnet: spec.subnet.clone(),
            sku_name: spec.sku_name.clone(),
            capacity: spec.capacity,
        };
        let question = self.on.addresses.ask();
        let subnet_capacity = self.on.stop.unless_stopped(self.on.cloud.subnet_capacity(&request)).await;
        let subnet_capacity = subnet_capacity.ok_or_else(|| self.poller.stopped())?.map_err(|error| {
            // A network that does not exist would be refused in any PUT.
            let absent = error.kind == CloudErrorKind::NotFound;
            self.preflight_failed(error, if absent { FailureCause::Request } else { FailureCause::Circumstance })
        })?;
        question.reserve(&spec.subnet, subnet_capacity).map_err(|others| {
            let (subnet, size) = (&spec.subnet, spec.capacity);
            let taken = match others {
                0 => String::new(),
                others => format!(", {others} of them are for creations in progress"),
            };
            let message = format!(
                "subnet {subnet} is full: {} addresses are needed for {size}, {} are free{taken}",
                subnet_capacity.required, subnet_capacity.available
            );
            let failure = Failure::new(FailureKind::Exhausted, message);
            self.conclude(
                failure.with_hint("use a larger subnet (subnet-name), or a smaller size"),
                FailureCause::Circumstance,
            )
        })
    }

    fn preflight_failed(&self, error: CloudError, cause: FailureCause) -> Failure {
        if error.kind == CloudErrorKind::Throttled {
            return self.throttled(error, "reads");
        }
        self.conclude(finality::nothing_exists(error), cause)
    }

    /// Sends the PUT. From here on, until the file system is seen or the PUT is refused, its outcome is unknown.
    pub(super) async fn send(&mut self, spec: &FilesystemSpec) -> Result<(), Failure> {
        self.poller.may_begin().await?;
        let again = self.creates.sent > 0;
        let (before, begun) = self.update(|attempt, now| {
            let before = attempt.history.clone();
            attempt.history.create_sent(now, again);
            attempt.location = Some(spec.location.clone());
            (before, attempt.history.begun())
        });
        self.poller.participants.progress.begun(begun);
        self.poller.participants.progress.enter(Phase::Creation("asked for".to_owned()));
        let repeated = before.create_outcome_unknown();
        tracing::info!(filesystem = %spec.id, sku = %spec.sku_name, size = %spec.capacity, repeated, "asking for a file system");
        let answer = self.poller.request(self.on.cloud.begin_create(spec)).await?;
        let error = match answer {
            Ok(()) => {
                self.creates.count();
                self.poller.restart();
                self.update(|attempt, _| {
                    attempt.history.create_accepted();
                    attempt.create_refusal = None;
                });
                self.on.emit(&self.plan, &Milestone::Requested(spec));
                return self.pause("asked for").await;
            }
            Err(error) => error,
        };
        if error.kind == CloudErrorKind::Throttled {
            self.update(|attempt, _| attempt.history = before);
            return Err(self.throttled(error, "writes"));
        }
        self.creates.count();
        if error.kind.is_refusal() {
            let failure = finality::nothing_exists(error);
            let at = self.update(|attempt, _| {
                attempt.history.create_refused(&before);
                attempt.create_refusal = Some(Refusal::of(&failure));
                attempt.history.create_not_before()
            });
            let failure = Refusal::of(&failure).failure(&self.next_try(at));
            return Err(self.conclude(failure, FailureCause::Circumstance));
        }
        self.ambiguous(error).await
    }

    /// The PUT may or may not have had its effect: observations will show it.
    async fn ambiguous(&mut self, error: CloudError) -> Result<(), Failure> {
        tracing::warn!(%error, lasting = error.lasting, "the outcome of a creation is unknown; observing");
        if error.lasting {
            self.creates.left = 0;
        }
        self.poller.restart();
        self.poller.retry_after = error.retry_after;
        self.poller.participants.progress.failed(&error);
        let refusal = Refusal::of(&finality::in_doubt(error));
        self.update(|attempt, _| attempt.create_refusal = Some(refusal));
        self.pause("asked for, without a clear answer").await
    }

    /// ARM holds requests back: nothing was accepted, and that is no attempt.
    pub(super) fn throttled(&self, error: CloudError, requests: &str) -> Failure {
        let unfinished = self.update(|attempt, _| attempt.history.is_unfinished());
        let asked_for = if unfinished { "asked for before, its outcome is not known" } else { "not asked for yet" };
        let subject = format!("AMLFS {} waits for it, {asked_for}", self.id().name);
        self.on.throttled(error, requests, &subject)
    }

    /// What the cloud is asked about before anything was found or asked for.
    fn asking(&self, about: &'static str) {
        if !self.poller.in_progress {
            self.poller.participants.progress.enter(Phase::Answer(about));
        }
    }
}
