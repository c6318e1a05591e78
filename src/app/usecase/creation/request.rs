//! The PUT of a creation: the checks before it (SKU, zone, size, addresses), the request, and what its response means.

use super::Creation;
use crate::app::usecase::address_reservations::Reservation;
use crate::app::usecase::claim_events::milestone::Milestone;
use crate::app::usecase::finality;
use crate::app::usecase::progress::Phase;
use crate::domain::filesystem::FilesystemSpec;
use crate::domain::history::FailureCause;
use crate::domain::provisioning::RequestError;
use crate::ports::cloud::{CloudError, CloudErrorKind, SubnetCapacityRequest};
use crate::ports::inbound::{Failure, FailureKind};

impl Creation {
    /// The checks before a PUT. While a creation may be on its way, the subnet is not checked: that creation may be the very
    /// thing that fills it.
    pub(super) async fn prepare(&mut self) -> Result<(FilesystemSpec, Option<Reservation>), Failure> {
        self.checking("the SKU list");
        let (desired, context) = (self.plan.desired(), &self.operation.context);
        let skus = context.skus.get(&*context.cloud, &*context.cloud_clock, &desired.location);
        let skus = self.operation.unless_stopped(skus).await?;
        let skus = skus.map_err(|error| self.check_failed(error, FailureCause::Circumstance))?;
        let refuse = |error: RequestError| self.conclude(finality::refused_locally(&error), FailureCause::Request);
        let sku = skus.get(&desired.sku_name).map_err(|problem| refuse(problem.into()))?;
        let spec = self.plan.spec(sku).map_err(refuse)?;
        if let Some(warning) = sku.support_request(spec.capacity) {
            tracing::warn!(filesystem = %spec.id, "{warning}");
        }
        if self.operation.update(|record, _| record.history.create_outcome_unknown()) {
            return Ok((spec, None));
        }
        let reservation = self.reserve_addresses(&spec).await?;
        Ok((spec, Some(reservation)))
    }

    async fn reserve_addresses(&self, spec: &FilesystemSpec) -> Result<Reservation, Failure> {
        self.checking("the subnet's addresses");
        let request = SubnetCapacityRequest {
            subnet: spec.subnet.clone(),
            sku_name: spec.sku_name.clone(),
            capacity: spec.capacity,
        };
        let query = self.operation.context.reservations.begin_query();
        let response = self.operation.unless_stopped(self.operation.context.cloud.subnet_capacity(&request)).await?;
        let found = response.map_err(|error| {
            // A network that does not exist would be refused in any PUT.
            let absent = error.kind == CloudErrorKind::NotFound;
            self.check_failed(error, if absent { FailureCause::Request } else { FailureCause::Circumstance })
        })?;
        query.reserve(&spec.subnet, found).map_err(|others| {
            let taken = match others {
                0 => String::new(),
                others => format!(", {others} of them are for creations in progress"),
            };
            let message = format!(
                "subnet {} is full: {} addresses are needed for {}, {} are free{taken}",
                spec.subnet, found.required, spec.capacity, found.available
            );
            let failure = Failure::new(FailureKind::Exhausted, message);
            let failure = failure.with_hint("use a larger subnet (subnet-name), or a smaller size");
            self.conclude(failure, FailureCause::Circumstance)
        })
    }

    fn check_failed(&self, error: CloudError, cause: FailureCause) -> Failure {
        if error.kind == CloudErrorKind::Throttled {
            return self.throttled(error, "reads");
        }
        self.conclude(finality::nothing_exists(error), cause)
    }

    /// Sends the PUT. From here on, until the file system is seen or the PUT is refused, its outcome is unknown.
    pub(super) async fn send(&mut self, spec: &FilesystemSpec) -> Result<(), Failure> {
        self.operation.may_begin().await?;
        let again = self.creates.sent > 0;
        let (before, begun) = self.operation.update(|record, now| {
            let before = record.history.clone();
            record.history.create_sent(now, again);
            record.location = Some(spec.location.clone());
            (before, record.history.begun())
        });
        self.operation.progress().begun(begun);
        self.operation.progress().enter(Phase::Creation("asked for".to_owned()));
        let repeated = before.create_outcome_unknown();
        tracing::info!(filesystem = %spec.id, sku = %spec.sku_name, size = %spec.capacity, repeated, "asking for a file system");
        let response = self.operation.request(self.operation.context.cloud.begin_create(spec)).await?;
        self.creates.count();
        let Err(error) = response else {
            self.operation.restart_polling();
            self.operation.update(|record, _| {
                record.history.create_accepted();
                record.create_failure = None;
            });
            self.emit(&Milestone::Requested(spec));
            return self.pause("asked for").await;
        };
        if error.kind == CloudErrorKind::Throttled {
            self.operation.update(|record, _| record.history = before);
            return Err(self.throttled(error, "writes"));
        }
        if error.kind.is_refusal() {
            let failure = finality::nothing_exists(error);
            let at = self.operation.update(|record, _| {
                record.history.create_refused(&before);
                record.create_failure = Some(failure.clone());
                record.history.creates().not_before()
            });
            let failure = failure.followed_by(&self.operation.next_try(at));
            return Err(self.conclude(failure, FailureCause::Circumstance));
        }
        self.outcome_unknown(error).await
    }

    /// The PUT may or may not have had its effect: observations will show it.
    async fn outcome_unknown(&mut self, error: CloudError) -> Result<(), Failure> {
        tracing::warn!(%error, lasting = error.lasting, "the outcome of a creation is unknown; observing");
        if error.lasting {
            self.creates.left = 0;
        }
        self.operation.restart_polling();
        self.operation.retry_after = error.retry_after;
        self.operation.progress().failed(&error);
        self.operation.update(|record, _| record.create_failure = Some(finality::may_exist(error)));
        self.pause("asked for, without a clear answer").await
    }

    /// ARM holds requests back: nothing was accepted, and that is no attempt.
    fn throttled(&self, error: CloudError, requests: &str) -> Failure {
        let unfinished = self.operation.update(|record, _| record.history.is_unfinished());
        let asked_for = if unfinished { "asked for before, its outcome is not known" } else { "not asked for yet" };
        let subject = format!("AMLFS {} waits for it, {asked_for}", self.id().name);
        self.operation.context.throttled(error, requests, &subject)
    }

    /// What the cloud is queried about before anything was found or asked for.
    fn checking(&self, subject: &'static str) {
        if !self.operation.in_progress {
            self.operation.progress().enter(Phase::Query(subject));
        }
    }
}
