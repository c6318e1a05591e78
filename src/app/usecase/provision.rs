//! CreateVolume and ValidateVolumeCapabilities.
//!
//! Why it exists: it ties the local rules, the exclusion of other operations on the same volume and the creation loop
//! together. A static volume is answered without a single request to the cloud.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::attempts::Attempts;
use super::claim_events::ClaimEvents;
use super::claim_events::milestone::Milestone;
use super::creation::Creation;
use super::deadline::Deadline;
use super::in_flight::InFlight;
use super::sku_cache::SkuCache;
use super::{deprovision, notices, verdict};
use crate::domain::access::{self, Capability};
use crate::domain::error::quote;
use crate::domain::filesystem::Observed;
use crate::domain::parameters::{self, MGS_IP_ADDRESS, context_value};
use crate::domain::provisioning::{Defaults, DynamicWish, Volume, VolumeRequest, Wish};
use crate::domain::reclaim::{self, Reclaim};
use crate::domain::volume_id::VolumeId;
use crate::ports::clock::Clock;
use crate::ports::cloud::Cloud;
use crate::ports::inbound::{Failure, FailureKind, Provisioning};
use crate::ports::orchestrator::{ClaimEvent, Orchestrator};

/// The use-cases of the controller.
#[derive(Debug)]
pub struct Provision {
    pub(super) cloud: Arc<dyn Cloud>,
    claim_events: Arc<ClaimEvents>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cloud_clock: Arc<dyn Clock>,
    pub(super) defaults: Defaults,
    pub(super) in_flight: InFlight,
    pub(super) attempts: Attempts,
    pub(super) skus: SkuCache,
}

impl Provision {
    /// Use-cases over these ports. `clock` is that of RPC deadlines; `cloud_clock` that of polling, which differs only
    /// for a simulated cloud that runs fast.
    pub fn new(
        cloud: Arc<dyn Cloud>,
        orchestrator: Arc<dyn Orchestrator>,
        clock: Arc<dyn Clock>,
        cloud_clock: Arc<dyn Clock>,
        defaults: Defaults,
    ) -> Self {
        Self {
            cloud,
            claim_events: Arc::new(ClaimEvents::new(orchestrator, Arc::clone(&clock))),
            clock,
            cloud_clock,
            defaults,
            in_flight: InFlight::default(),
            attempts: Attempts::default(),
            skus: SkuCache::default(),
        }
    }

    /// The events that were emitted on claims; somebody has to write them ([`ClaimEvents::run`]).
    pub fn claim_events(&self) -> Arc<ClaimEvents> {
        Arc::clone(&self.claim_events)
    }

    /// Emits an event on the claim behind a request, where the provisioner names it.
    pub(super) fn emit(&self, wish: &DynamicWish, milestone: &Milestone<'_>) {
        let Some((namespace, claim)) = wish.claim() else { return };
        self.claim_events.emit(ClaimEvent {
            kind: milestone.kind(),
            volume_name: wish.id().name.to_string(),
            namespace: namespace.to_owned(),
            claim: claim.to_owned(),
            reason: milestone.reason(),
            message: milestone.message(),
            age: Duration::ZERO,
        });
    }

    /// Whether something stands behind a volume id. A handle of any form may be a static volume, which its context shows.
    async fn exists(
        &self,
        volume_id: &str,
        context: &BTreeMap<String, String>,
        deadline: Deadline<'_>,
    ) -> Result<bool, Failure> {
        match reclaim::plan(volume_id).map_err(|violation| Failure::new(FailureKind::Invalid, violation.to_string()))? {
            Reclaim::Nothing => {
                Ok(VolumeId::parse(volume_id).is_ok() || context_value(context, MGS_IP_ADDRESS).is_some())
            }
            Reclaim::Filesystem(id) => match deadline.limit(self.cloud.observe(&id)).await {
                Some(Ok(observed)) => Ok(observed != Observed::Absent),
                Some(Err(error)) => Err(verdict::in_doubt(error)),
                None => Err(Failure::new(FailureKind::Unavailable, format!("no answer about {id} in time"))),
            },
        }
    }
}

#[async_trait]
impl Provisioning for Provision {
    async fn create(&self, request: VolumeRequest, budget: Option<Duration>) -> Result<Volume, Failure> {
        let deadline = Deadline::new(&*self.clock, budget);
        notices::log(&parameters::notices(&request.parameters));
        match Wish::parse(&request, &self.defaults).map_err(|error| verdict::refused_locally(&error))? {
            Wish::Existing(volume) => Ok(*volume),
            Wish::Dynamic(wish) => {
                let _reservation = self.in_flight.reserve(wish.id().name.as_str(), "create")?;
                Creation::new(self, &wish, deadline).run().await
            }
        }
    }

    async fn delete(&self, volume_id: &str, budget: Option<Duration>) -> Result<(), Failure> {
        deprovision::delete(self, volume_id, budget).await
    }

    async fn validate(
        &self,
        volume_id: &str,
        context: &BTreeMap<String, String>,
        capabilities: &[Capability],
        budget: Option<Duration>,
    ) -> Result<Option<String>, Failure> {
        if volume_id.is_empty() || capabilities.is_empty() {
            return Err(Failure::new(FailureKind::Invalid, "volume id and volume capabilities are both needed"));
        }
        if !self.exists(volume_id, context, Deadline::new(&*self.clock, budget)).await? {
            return Err(Failure::new(FailureKind::NotFound, format!("volume {} does not exist", quote(volume_id))));
        }
        Ok(access::check_all(capabilities).err().map(|violations| violations.to_string()))
    }
}
