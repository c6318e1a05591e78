//! The controller's use-cases where the cloud settings are absent or incomplete: volumes on existing file systems only.
//!
//! external-provisioner takes every code but a few for "finished, nothing exists". An earlier process with good settings
//! may have asked for a file system, so a dynamic class is never refused with a final code here, not even for a mistake in
//! it; and an id that says that a file system was made is never answered with success.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::access::Capability;
use crate::domain::error::quote;
use crate::domain::parameters::{MGS_IP_ADDRESS, Parameters, context_value};
use crate::domain::provisioning::{Volume, VolumeRequest};
use crate::domain::reclaim::{self, Reclaim};
use crate::ports::inbound::{Failure, FailureKind, Provisioning};

/// What an operator can do about it.
const HINT: &str = "mount the cluster's azure.json into the controller's container (or name it by AZURE_CONFIG_FILE), or \
    set AZURE_SUBSCRIPTION_ID and credentials, and restart it; until then only classes with mgs-ip-address work";

/// Use-cases of volumes on existing file systems, over `inner`, which may ask a cloud that cannot answer.
#[derive(Debug)]
pub struct StaticOnly<P> {
    inner: P,
    reason: String,
}

impl<P> StaticOnly<P> {
    /// Lets `inner` answer what needs no cloud. `reason` names the settings file and what is missing in it.
    pub fn new(inner: P, reason: impl Into<String>) -> Self {
        Self { inner, reason: reason.into() }
    }

    fn failure(&self, kind: FailureKind, what: &str) -> Failure {
        Failure::new(kind, format!("{what}: {}", self.reason)).with_hint(HINT)
    }
}

#[async_trait]
impl<P: Provisioning> Provisioning for StaticOnly<P> {
    async fn create(&self, request: VolumeRequest, budget: Option<Duration>) -> Result<Volume, Failure> {
        if context_value(&request.parameters, MGS_IP_ADDRESS).is_some() {
            return self.inner.create(request, budget).await;
        }
        let mistakes = Parameters::parse(&request.parameters).err().map(|mistakes| format!("{mistakes}; "));
        let what = format!(
            "{}volume {} needs a file system of its own, which cannot be created or looked for",
            mistakes.unwrap_or_default(),
            quote(&request.name)
        );
        Err(self.failure(FailureKind::Unavailable, &what))
    }

    async fn delete(&self, volume_id: &str, budget: Option<Duration>) -> Result<(), Failure> {
        match reclaim::plan(volume_id) {
            Ok(Reclaim::Filesystem(id)) => {
                Err(self.failure(FailureKind::Precondition, &format!("AMLFS {id} cannot be deleted")))
            }
            Ok(Reclaim::Nothing) | Err(_) => self.inner.delete(volume_id, budget).await,
        }
    }

    async fn validate(
        &self,
        volume_id: &str,
        context: &BTreeMap<String, String>,
        capabilities: &[Capability],
        budget: Option<Duration>,
    ) -> Result<Option<String>, Failure> {
        self.inner.validate(volume_id, context, capabilities, budget).await
    }
}
