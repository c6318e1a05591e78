//! CreateVolume, DeleteVolume and ValidateVolumeCapabilities over the cloud port.
//!
//! A static volume is answered without a request to the cloud. Everything else is work that is shared by all calls for the
//! same volume: the modules `creation` and `deprovision`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::claim_events::ClaimEvents;
use super::context::ControllerContext;
use super::creation::Creation;
use super::deadline::Deadline;
use super::stop::Stop;
use super::volume_operations::{OperationOutcome, RequestedOperation, VolumeOperations};
use super::{deprovision, finality, log_notices};
use crate::domain::access;
use crate::domain::confirmation;
use crate::domain::filesystem::{Filesystem, Observed};
use crate::domain::names::{FilesystemId, FilesystemName};
use crate::domain::ownership;
use crate::domain::parameters::{self, MGS_IP_ADDRESS, context_value};
use crate::domain::placement::Placement;
use crate::domain::provisioning::{self, DynamicProvision, ProvisionPlan, Volume, VolumeRequest};
use crate::domain::reclaim;
use crate::domain::text::quote;
use crate::domain::volume_id::VolumeId;
use crate::ports::clock::Clock;
use crate::ports::cloud::Cloud;
use crate::ports::inbound::{Caller, Failure, FailureKind, Provisioning, ValidateRequest};
use crate::ports::orchestrator::Orchestrator;

/// The use-cases of the controller. Clones share everything.
#[derive(Debug, Clone)]
pub struct Provision {
    context: ControllerContext,
    defaults: Placement,
    operations: VolumeOperations,
}

impl Provision {
    /// Use-cases over these ports. `clock` is that of RPC deadlines; `cloud_clock` that of polling, which differs only
    /// for a simulated cloud that runs fast.
    pub fn new(
        cloud: Arc<dyn Cloud>,
        orchestrator: Arc<dyn Orchestrator>,
        clock: Arc<dyn Clock>,
        cloud_clock: Arc<dyn Clock>,
        defaults: Placement,
    ) -> Self {
        let context = ControllerContext::new(cloud, orchestrator, clock, cloud_clock);
        Self { context, defaults, operations: VolumeOperations::default() }
    }

    /// The events that were emitted on claims; they are written by [`ClaimEvents::run`].
    pub fn claim_events(&self) -> Arc<ClaimEvents> {
        Arc::clone(&self.context.claim_events)
    }

    /// The same, ending with the process: once `stop` ends, calls that only wait are answered at once, and nothing new
    /// begins. What was sent to the cloud is still waited for.
    #[must_use]
    pub fn stopping_at(mut self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        self.context.stop = Stop::at(stop);
        self
    }

    async fn create_dynamic(&self, plan: DynamicProvision, caller: Caller) -> Result<Volume, Failure> {
        self.context.cloud.configured().map_err(finality::may_exist)?;
        let deadline = Deadline::new(&*self.context.clock, caller.timeout);
        let plan = Arc::new(plan);
        let requested = RequestedOperation::Create(Arc::clone(&plan));
        let joined = self.operations.join_or_begin(&self.context, requested, caller, |callers| {
            Creation::new(self.context.clone(), Arc::clone(&plan), callers).run()
        })?;
        let OperationOutcome::Ready(ready) = joined.answer(deadline).await? else {
            return Err(Failure::new(FailureKind::Unavailable, format!("AMLFS {} was deleted", plan.id())));
        };
        plan.volume(&ready).map_err(|error| {
            let message = format!("AMLFS {} is ready but cannot be described as a volume: {error}", plan.id());
            Failure::new(FailureKind::Unavailable, message)
        })
    }

    /// A request that local rules refuse. That is final, unless a file system of this volume exists that was never ready
    /// (made by an earlier call with other parameters): the claim must not be forgotten while that is billed.
    async fn refuse(&self, request: &VolumeRequest, failure: Failure, deadline: Deadline<'_>) -> Failure {
        if provisioning::is_on_existing(request) {
            return failure;
        }
        if let Err(error) = self.context.cloud.configured() {
            return failed_observation(&failure, finality::may_exist(error));
        }
        let name = FilesystemName::for_volume(&request.name);
        let unfinished = self.context.records.unfinished(name.as_str());
        let Some(id) = unfinished.or_else(|| provisioning::filesystem_id(request, &self.defaults)) else {
            return failure;
        };
        if self.operations.is_creating(name.as_str()) {
            return finality::exists_and_is_billed(&failure.message, &id);
        }
        let observed = match self.observe(&id, deadline).await {
            Ok(observed) => observed,
            Err(observation) => return failed_observation(&failure, observation),
        };
        let now = self.context.cloud_clock.now();
        let (unfinished, absent_for) = self.context.records.update(&id, now, |record| {
            let asked_for = record.history.is_unfinished();
            match &observed {
                Observed::Absent => record.history.absent(now),
                Observed::Present(found) if asked_for || is_unfinished(&name, found) => {
                    record.history.present(&found.state, now);
                }
                Observed::Present(_) => record.history.present_not_owned(),
            }
            (record.history.is_unfinished(), record.history.proved_absent_for())
        });
        match (unfinished, absent_for) {
            (false, _) => failure,
            (true, None) => finality::exists_and_is_billed(&failure.message, &id),
            (true, Some(absent_for)) => finality::seen_and_absent(&failure, &id, absent_for),
        }
    }

    /// The file system behind an existing volume, where one was made for it. A handle of any form may be a static volume,
    /// which its context shows. [`FailureKind::NotFound`] if the volume does not exist.
    async fn existing(
        &self,
        question: &ValidateRequest,
        deadline: Deadline<'_>,
    ) -> Result<Option<Box<Filesystem>>, Failure> {
        let ValidateRequest { volume_id, context, .. } = question;
        let not_found = || Failure::new(FailureKind::NotFound, format!("volume {} does not exist", quote(volume_id)));
        let Some(id) = reclaim::plan(volume_id).map_err(finality::invalid)? else {
            let known = VolumeId::parse(volume_id).is_some() || context_value(context, MGS_IP_ADDRESS).is_some();
            return if known { Ok(None) } else { Err(not_found()) };
        };
        match self.observe(&id, deadline).await? {
            Observed::Present(found) => Ok(Some(found)),
            Observed::Absent => Err(not_found()),
        }
    }

    async fn observe(&self, id: &FilesystemId, deadline: Deadline<'_>) -> Result<Observed, Failure> {
        let late = || Failure::new(FailureKind::Unavailable, format!("no answer about {id} in time"));
        let observed = deadline.limit(self.context.cloud.observe(id)).await.ok_or_else(late)?;
        observed.map_err(|error| self.context.unobserved(error))
    }
}

/// Whether a file system was made for this volume and never became one.
fn is_unfinished(name: &FilesystemName, found: &Filesystem) -> bool {
    ownership::check(name, &found.tags).is_ok() && !found.was_ready()
}

/// A refused request of which it could not be observed whether it is safe to say so for good.
fn failed_observation(refusal: &Failure, observation: Failure) -> Failure {
    let Failure { kind, message, hint, source } = observation;
    Failure { kind, message: format!("{}; {message}", refusal.message), hint, source }
}

#[async_trait]
impl Provisioning for Provision {
    async fn create(&self, request: VolumeRequest, caller: Caller) -> Result<Volume, Failure> {
        log_notices(&parameters::notices(&request.parameters));
        let volume = match ProvisionPlan::parse(&request, &self.defaults) {
            Ok(ProvisionPlan::Existing(volume)) => *volume,
            Ok(ProvisionPlan::Dynamic(plan)) => self.create_dynamic(*plan, caller).await?,
            Err(error) => {
                let deadline = Deadline::new(&*self.context.clock, caller.timeout);
                return Err(self.refuse(&request, finality::refused_locally(&error), deadline).await);
            }
        };
        Ok(if self.context.cloud.is_simulated() { volume.simulated() } else { volume })
    }

    async fn delete(&self, volume_id: &str, caller: Caller) -> Result<(), Failure> {
        deprovision::delete(&self.context, &self.operations, volume_id, caller).await
    }

    async fn validate(&self, question: ValidateRequest, timeout: Option<Duration>) -> Result<Option<String>, Failure> {
        if question.volume_id.is_empty() || question.capabilities.is_empty() {
            return Err(Failure::new(FailureKind::Invalid, "volume id and volume capabilities are both needed"));
        }
        let found = self.existing(&question, Deadline::new(&*self.context.clock, timeout)).await?;
        if let Err(problems) = access::check_all(&question.capabilities) {
            return Ok(Some(problems.to_string()));
        }
        let ValidateRequest { volume_id, context, parameters, .. } = &question;
        Ok(confirmation::check(parameters, context, volume_id, found.as_deref()).err())
    }
}
