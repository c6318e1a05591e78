//! [`ArmCloud`]: the cloud port over Azure Resource Manager.
//!
//! What may be final, what is ours and when to poll again is decided in the core. Here a question becomes requests, and an
//! answer becomes the domain's words or an error that says what to do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::client::{Body, Client};
use super::connection::{Connection, Connector};
use super::failure::{ArmFailure, Call, Intent};
use super::operations::Operations;
use super::room::{Asking, Rooms};
use super::shared::Shared;
use super::skus::Skus;
use super::waiting::{Waiting, key};
use super::wire::{Method, WireAnswer};
use super::writes::Writes;
use super::{filesystem, path};
use crate::domain::error::quote;
use crate::domain::filesystem::{Filesystem, FilesystemSpec, Observed};
use crate::domain::names::{FilesystemId, Location, ResourceGroup};
use crate::domain::sku::SkuCatalog;
use crate::ports::clock::Clock;
use crate::ports::cloud::{Cloud, CloudError, CloudErrorKind, SubnetCapacity, SubnetCapacityRequest};

/// How old a shared list may be. With the longest pause between two looks it makes 15 seconds.
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
    lists: Shared<String, Listed>,
    skus: Skus,
    writes: Writes,
    seen: Arc<Seen>,
}

/// What the process has seen of file systems and asked for. Shared with requests that outlive their callers.
#[derive(Debug, Default)]
struct Seen {
    waiting: Waiting,
    operations: Operations,
    rooms: Rooms,
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
            lists: Shared::new(LIST_MAX_AGE),
            skus: Skus::default(),
            writes: Writes::default(),
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

    /// Gets a token, so that a check can tell wrong credentials from missing permissions.
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
    async fn look(&self, client: &Client, id: &FilesystemId) -> Result<(Observed, bool), CloudError> {
        let observed = self.get(client, id).await?;
        let found = if let Observed::Present(filesystem) = &observed { Some(&**filesystem) } else { None };
        let unchanged = found.is_some_and(|found| self.seen.waiting.is_unchanged(id, found));
        self.seen.waiting.seen(id, found, self.clock.now());
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
        let url = client.url(path::filesystem(&self.subscription, id))?;
        named(id, &client.get(&url).await?)
    }

    /// Observes one file system in the list of its group. `None` if the list does not settle it.
    async fn listed(&self, client: &Client, id: &FilesystemId) -> Result<Option<Filesystem>, CloudError> {
        let group = key(id).0;
        match self.lists.get(&group, &*self.clock, self.list(client, &id.resource_group)).await {
            Ok(list) => {
                let found = list.value.get(&key(id).1);
                let now = self.clock.now();
                Ok(found.filter(|found| self.seen.waiting.believes(id, found, now)).cloned())
            }
            // Asking for each one instead would make it worse.
            Err(error) if matches!(error.kind, CloudErrorKind::Throttled | CloudErrorKind::Unavailable) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "file systems are read one by one for a while");
                self.seen.waiting.cannot_list(id, self.clock.now());
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

    /// Sends a request that changes a file system, or meets the same one that has no answer yet. It is sent once; only a
    /// token that ARM did not accept is replaced.
    async fn write(
        &self,
        client: &Client,
        id: &FilesystemId,
        (method, body): (Method, Option<&Value>),
        note: impl Fn(&Result<WireAnswer, ArmFailure>) + Clone + Send + 'static,
    ) -> Result<WireAnswer, ArmFailure> {
        let url = client.url(path::filesystem(&self.subscription, id))?;
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut renewed = false;
        loop {
            let outcome = if let Some(outcome) = self.writes.meet(&key(id), method, &bytes).await {
                outcome
            } else {
                let admitted = client.admit(method, &url, body).await?;
                self.writes.send(key(id), method, admitted, &self.connector.spawn, note.clone()).await
            };
            match outcome {
                Err(failure) if failure.is_token_refused() && !renewed => renewed = true,
                outcome => return outcome,
            }
        }
    }
}

impl Seen {
    /// Notes how a creation was answered. What was not refused may take addresses; whatever the body of a success is, the
    /// creation was accepted.
    fn created(&self, spec: &FilesystemSpec, outcome: &Result<WireAnswer, ArmFailure>, now: Duration) {
        match outcome {
            Err(failure) if failure.kind().is_refusal() => {}
            Err(ArmFailure::HeldBack { .. } | ArmFailure::Throttled { .. }) => {}
            Err(_) => self.rooms.took(spec, now),
            Ok(answer) => {
                self.rooms.took(spec, now);
                self.operations.accepted(&spec.id, Method::Put, answer);
                if let Ok(filesystem) = Body::read(answer).and_then(|body| named(&spec.id, &body)) {
                    self.waiting.seen(&spec.id, Some(&filesystem), now);
                }
            }
        }
    }

    /// Notes that a deletion was accepted.
    fn deleted(&self, id: &FilesystemId, outcome: &Result<WireAnswer, ArmFailure>, now: Duration) {
        if let Ok(answer) = outcome {
            self.operations.accepted(id, Method::Delete, answer);
            self.waiting.seen(id, None, now);
        }
    }
}

#[async_trait]
impl Cloud for ArmCloud {
    async fn observe(&self, id: &FilesystemId) -> Result<Observed, CloudError> {
        let client = self.client().await?;
        if self.seen.waiting.shares(id, self.clock.now())
            && let Some(filesystem) = self.listed(client, id).await?
        {
            return Ok(Observed::Present(Box::new(filesystem)));
        }
        Ok(self.look(client, id).await?.0)
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
        let note = move |outcome: &_| seen.created(&noted, outcome, clock.now());
        let outcome = self.write(client, &spec.id, (Method::Put, Some(&body)), note).await;
        outcome.map(drop).map_err(|failure| failure.into_cloud_error(&call))
    }

    async fn begin_delete(&self, id: &FilesystemId) -> Result<(), CloudError> {
        let call = Call {
            intent: Intent::Delete,
            ..Call::read("delete file system", id.to_string(), "Microsoft.StorageCache/amlFilesystems/delete")
        };
        let client = self.client().await?;
        // What was observed before may have come from a list, and a list may be about a file system that is gone.
        if self.seen.waiting.shares(id, self.clock.now()) && !self.look(client, id).await?.1 {
            let message = "it changed since it was last observed; nothing was deleted";
            return Err(CloudError::new(CloudErrorKind::Busy, call.operation, call.resource, message));
        }
        let (seen, clock, noted) = (Arc::clone(&self.seen), Arc::clone(&self.clock), id.clone());
        let note = move |outcome: &_| seen.deleted(&noted, outcome, clock.now());
        match self.write(client, id, (Method::Delete, None), note).await {
            Ok(_) => Ok(()),
            Err(ArmFailure::Answer(answer)) if answer.is_absent() => {
                self.seen.waiting.seen(id, None, self.clock.now());
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
        let on = Asking { client, subscription, network_subscription, clock: &*self.clock };
        self.seen.rooms.subnet_capacity(request, on).await
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
