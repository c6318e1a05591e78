//! [`ArmCloud`]: the cloud port over Azure Resource Manager.
//!
//! What may be final, what is ours and when to poll again is decided in the core. Here an operation of the port becomes requests, and a
//! response becomes a value of the domain or an error with a hint.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::async_operations::AsyncOperations;
use super::client::{Body, Client};
use super::connection::{Connection, Connector};
use super::failure::{ArmFailure, Call, Intent};
use super::list_polling::{ListPolling, key};
use super::single_flight::SingleFlight;
use super::skus::Skus;
use super::subnet_capacity::{Requester, SubnetCapacities};
use super::wire::Method;
use super::writes::Outcome;
use super::{filesystem, path};
use crate::domain::filesystem::{Filesystem, FilesystemSpec, Observed};
use crate::domain::names::{FilesystemId, Location, ResourceGroup};
use crate::domain::sku::SkuCatalog;
use crate::domain::text::quote;
use crate::ports::clock::Clock;
use crate::ports::cloud::{Cloud, CloudError, CloudErrorKind, SubnetCapacity, SubnetCapacityRequest};

/// How old a shared list may be. With the longest pause between two polls it makes 15 seconds.
const LIST_MAX_AGE: Duration = Duration::from_secs(2);

/// File systems of one resource group, by name in lower case.
type Listed = HashMap<String, Filesystem>;

/// AMLFS in Azure.
#[derive(Debug)]
pub struct ArmCloud {
    connector: Connector,
    clock: Arc<dyn Clock>,
    subscription: String,
    network_subscription: String,
    lists: SingleFlight<String, Listed>,
    skus: Skus,
    seen: Arc<Seen>,
}

/// What the process has seen of file systems and asked for. Shared with requests that outlive their callers.
#[derive(Debug, Default)]
struct Seen {
    polling: ListPolling,
    operations: AsyncOperations,
    subnets: SubnetCapacities,
}

impl ArmCloud {
    /// A cloud that connects when it is first asked.
    pub fn new(
        connector: Connector,
        clock: Arc<dyn Clock>,
        subscription: String,
        network_subscription: Option<String>,
    ) -> Self {
        Self {
            connector,
            clock,
            network_subscription: network_subscription.unwrap_or_else(|| subscription.clone()),
            subscription,
            lists: SingleFlight::new(LIST_MAX_AGE),
            skus: Skus::default(),
            seen: Arc::default(),
        }
    }

    /// The way to ARM, for figures and for checks that are no part of the port.
    pub async fn connection(&self) -> Result<&Connection, CloudError> {
        let call = Call {
            missing: "check resourceManagerEndpoint in the cloud settings",
            ..Call::read("connect to", "Azure Resource Manager", "")
        };
        self.connector.connection().await.map_err(|failure| failure.into_cloud_error(&call))
    }

    /// Gets a token, so that a check can distinguish wrong credentials from missing permissions.
    pub async fn sign_in(&self) -> Result<(), CloudError> {
        let connection = self.connection().await?;
        let call = Call::read("get a token for", connection.endpoints.audience.clone(), "");
        let token = connection.tokens.token().await;
        token.map(drop).map_err(|error| ArmFailure::Token(error).into_cloud_error(&call))
    }

    async fn client(&self) -> Result<&Client, CloudError> {
        self.connection().await.map(|connection| &connection.client)
    }

    /// Observes one file system directly and notes what was seen; also says whether it is what was seen so far.
    async fn observe_directly(&self, client: &Client, id: &FilesystemId) -> Result<(Observed, bool), CloudError> {
        let observed = self.get(client, id).await?;
        let found = if let Observed::Present(filesystem) = &observed { Some(&**filesystem) } else { None };
        let unchanged = found.is_some_and(|found| self.seen.polling.is_unchanged(id, found));
        self.seen.polling.seen(id, found, self.clock.now());
        Ok((observed, unchanged))
    }

    async fn get(&self, client: &Client, id: &FilesystemId) -> Result<Observed, CloudError> {
        let mut filesystem = match self.get_filesystem(client, id).await {
            Ok(filesystem) => filesystem,
            Err(ArmFailure::Answer(answer)) if answer.is_absent() => return Ok(Observed::Absent),
            Err(failure) => {
                let action = "Microsoft.StorageCache/amlFilesystems/read";
                let missing = "check subscriptionId and resourceManagerEndpoint in the cloud settings: ARM does not say that \
                               the file system is gone";
                let call = Call { missing, ..Call::read("read file system", id.to_string(), action) };
                return Err(failure.into_cloud_error(&call));
            }
        };
        filesystem.failure = self.seen.operations.reason(id, &filesystem.state, client).await;
        Ok(Observed::Present(Box::new(filesystem)))
    }

    async fn get_filesystem(&self, client: &Client, id: &FilesystemId) -> Result<Filesystem, ArmFailure> {
        named(id, &client.get(&self.url(client, id)?).await?)
    }

    /// Observes one file system in the list of its group. `None` if the list does not settle it.
    async fn listed(&self, client: &Client, id: &FilesystemId) -> Result<Option<Filesystem>, CloudError> {
        let group = key(id).0;
        match self.lists.get(&group, &*self.clock, self.list(client, &id.resource_group)).await {
            Ok(list) => {
                let found = list.value.get(&key(id).1);
                let now = self.clock.now();
                Ok(found.filter(|found| self.seen.polling.believes(id, found, now)).cloned())
            }
            // Asking for each one instead would make it worse.
            Err(error) if matches!(error.kind, CloudErrorKind::Throttled | CloudErrorKind::Unavailable) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "file systems are read one by one for a while");
                self.seen.polling.cannot_list(id, self.clock.now());
                Ok(None)
            }
        }
    }

    async fn list(&self, client: &Client, group: &ResourceGroup) -> Result<Listed, CloudError> {
        let action = "Microsoft.StorageCache/amlFilesystems/read";
        let call = Call::read("list file systems of", format!("resource group {}", group.as_str()), action);
        let list = async {
            let url = client.url(path::filesystems(&self.subscription, group))?;
            client.list(url, |entry| filesystem::view(&entry)).await
        };
        let listed = list.await.map_err(|failure| failure.into_cloud_error(&call))?;
        Ok(listed.into_iter().map(|(name, filesystem)| (name.to_ascii_lowercase(), filesystem)).collect())
    }

    fn url(&self, client: &Client, id: &FilesystemId) -> Result<Url, ArmFailure> {
        client.url(path::filesystem(&self.subscription, id))
    }
}

impl Seen {
    /// Notes how a creation was answered. What was not refused may take addresses; whatever the body of a success is, the
    /// creation was accepted.
    fn created(&self, spec: &FilesystemSpec, outcome: &Outcome, now: Duration) {
        match outcome {
            Err(failure) if failure.kind().is_refusal() => {}
            Err(ArmFailure::HeldBack { .. } | ArmFailure::Throttled { .. }) => {}
            Err(_) => self.subnets.reserve(spec, now),
            Ok(answer) => {
                self.subnets.reserve(spec, now);
                self.operations.accepted(&spec.id, Method::PUT, answer);
                if let Ok(filesystem) = Body::read(answer).and_then(|body| named(&spec.id, &body)) {
                    self.polling.seen(&spec.id, Some(&filesystem), now);
                }
            }
        }
    }

    /// Notes that a deletion was accepted.
    fn deleted(&self, id: &FilesystemId, outcome: &Outcome, now: Duration) {
        if let Ok(answer) = outcome {
            self.operations.accepted(id, Method::DELETE, answer);
            self.polling.seen(id, None, now);
        }
    }
}

#[async_trait]
impl Cloud for ArmCloud {
    async fn observe(&self, id: &FilesystemId) -> Result<Observed, CloudError> {
        let client = self.client().await?;
        if self.seen.polling.shares(id, self.clock.now())
            && let Some(filesystem) = self.listed(client, id).await?
        {
            return Ok(Observed::Present(Box::new(filesystem)));
        }
        Ok(self.observe_directly(client, id).await?.0)
    }

    async fn begin_create(&self, spec: &FilesystemSpec) -> Result<(), CloudError> {
        let call = Call {
            intent: Intent::Create,
            missing: "check the names of resource group, network, subnet and identities in the StorageClass",
            ..Call::read("create file system", spec.id.to_string(), CREATE_ACTIONS)
        };
        let client = self.client().await?;
        // What an earlier creation reported is no reason why this one fails.
        self.seen.operations.ended(&spec.id);
        let body = filesystem::body(spec, &self.network_subscription);
        let (seen, clock, noted) = (Arc::clone(&self.seen), Arc::clone(&self.clock), spec.clone());
        let note = move |outcome: &Outcome| seen.created(&noted, outcome, clock.now());
        let outcome = async { client.put(key(&spec.id), &self.url(client, &spec.id)?, &body, note).await };
        outcome.await.map(drop).map_err(|failure| failure.into_cloud_error(&call))
    }

    async fn begin_delete(&self, id: &FilesystemId) -> Result<(), CloudError> {
        let call = Call {
            intent: Intent::Delete,
            ..Call::read("delete file system", id.to_string(), "Microsoft.StorageCache/amlFilesystems/delete")
        };
        let client = self.client().await?;
        // What was observed before may have come from a list, and a list may be about a file system that is gone.
        if self.seen.polling.shares(id, self.clock.now()) && !self.observe_directly(client, id).await?.1 {
            let message = "it changed since it was last observed; nothing was deleted";
            return Err(CloudError::new(CloudErrorKind::Busy, call.operation, call.resource, message));
        }
        let (seen, clock, noted) = (Arc::clone(&self.seen), Arc::clone(&self.clock), id.clone());
        let note = move |outcome: &Outcome| seen.deleted(&noted, outcome, clock.now());
        let outcome = async { client.delete(key(id), &self.url(client, id)?, note).await };
        match outcome.await {
            Ok(_) => Ok(()),
            Err(ArmFailure::Answer(answer)) if answer.is_absent() => {
                self.seen.polling.seen(id, None, self.clock.now());
                Ok(())
            }
            Err(failure) => Err(failure.into_cloud_error(&call)),
        }
    }

    async fn skus(&self, location: &Location) -> Result<SkuCatalog, CloudError> {
        let client = self.client().await?;
        self.skus.of(location, client, &self.subscription, &*self.clock).await
    }

    async fn subnet_capacity(&self, request: &SubnetCapacityRequest) -> Result<SubnetCapacity, CloudError> {
        let client = self.client().await?;
        let (subscription, network_subscription) = (&self.subscription, &self.network_subscription);
        let on = Requester { client, subscription, network_subscription, clock: &*self.clock };
        self.seen.subnets.subnet_capacity(request, on).await
    }
}

const CREATE_ACTIONS: &str = "Microsoft.StorageCache/amlFilesystems/write and \
                              Microsoft.Network/virtualNetworks/subnets/join/action";

/// The file system in an answer, which must be the one that was asked for.
fn named(id: &FilesystemId, answer: &Body) -> Result<Filesystem, ArmFailure> {
    let (name, filesystem) =
        filesystem::view(&answer.json).ok_or_else(|| answer.unreadable("the answer shows no file system"))?;
    if name.eq_ignore_ascii_case(id.name.as_str()) {
        return Ok(filesystem);
    }
    Err(answer.unreadable(format!("the answer shows the file system {}", quote(&name))))
}
