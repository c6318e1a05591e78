//! Context of the controller's operations: ports, clocks, what this process remembers, and the end of the process.

use std::sync::Arc;
use std::time::Duration;

use super::address_reservations::AddressReservations;
use super::claim_events::ClaimEvents;
use super::claim_events::milestone::{Milestone, MilestoneEvent};
use super::filesystem_records::FilesystemRecords;
use super::finality;
use super::polling;
use super::sku_cache::SkuCache;
use super::stop::Stop;
use super::time_format::format_time_of_day;
use crate::domain::provisioning::DynamicProvision;
use crate::ports::clock::Clock;
use crate::ports::cloud::{Cloud, CloudError, CloudErrorKind};
use crate::ports::inbound::Failure;
use crate::ports::orchestrator::{ClaimEvent, Orchestrator};

/// What the controller's operations share. Clones share everything.
#[derive(Debug, Clone)]
pub(super) struct ControllerContext {
    pub(super) cloud: Arc<dyn Cloud>,
    pub(super) claim_events: Arc<ClaimEvents>,
    /// The clock of RPC deadlines.
    pub(super) clock: Arc<dyn Clock>,
    /// The clock of polling.
    pub(super) cloud_clock: Arc<dyn Clock>,
    pub(super) records: Arc<FilesystemRecords>,
    pub(super) skus: Arc<SkuCache>,
    pub(super) reservations: AddressReservations,
    pub(super) stop: Stop,
}

impl ControllerContext {
    pub(super) fn new(
        cloud: Arc<dyn Cloud>,
        orchestrator: Arc<dyn Orchestrator>,
        clock: Arc<dyn Clock>,
        cloud_clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            cloud,
            claim_events: Arc::new(ClaimEvents::new(orchestrator, Arc::clone(&clock))),
            clock,
            cloud_clock,
            records: Arc::default(),
            skus: Arc::default(),
            reservations: AddressReservations::default(),
            stop: Stop::never(),
        }
    }

    /// Emits an event on the claim behind a request, where the provisioner names it. Returns at once.
    pub(super) fn emit(&self, plan: &DynamicProvision, milestone: &Milestone<'_>) {
        let Some((namespace, claim)) = plan.claim() else { return };
        let MilestoneEvent { kind, reason, message } = milestone.event();
        self.claim_events.emit(ClaimEvent {
            kind,
            volume_name: plan.volume_name().to_owned(),
            namespace: namespace.to_owned(),
            claim: claim.to_owned(),
            reason,
            message,
            age: Duration::ZERO,
        });
    }

    /// A failed observation: never final for any cause.
    pub(super) fn unobserved(&self, error: CloudError) -> Failure {
        if error.kind == CloudErrorKind::Throttled {
            return self.throttled(error, "reads", "it is not known what exists");
        }
        finality::may_exist(error)
    }

    /// ARM holds requests back until a time that the failure names.
    pub(super) fn throttled(&self, error: CloudError, requests: &str, subject: &str) -> Failure {
        let wait = error.retry_after.unwrap_or(polling::LONGEST_PAUSE);
        let next_try = self.time_of_day(self.cloud_clock.now().saturating_add(wait));
        finality::throttled(error, requests, &next_try, subject)
    }

    /// A time of the cloud's clock for people.
    pub(super) fn time_of_day(&self, at: Duration) -> String {
        let (now, unix_time) = (self.cloud_clock.now(), self.cloud_clock.unix_time());
        format_time_of_day(unix_time.saturating_add(at.saturating_sub(now)))
    }
}
