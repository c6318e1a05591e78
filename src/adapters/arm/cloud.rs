//! [`ArmCloud`]: the cloud port over Azure Resource Manager.
//!
//! Why it is thin: what may be final, what is ours and when to look again is decided in the core. Here a question becomes
//! requests, and an answer becomes the domain's words or an error that says what to do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::Response;
use azure_core::headers::AZURE_ASYNCOPERATION;
use azure_mgmt_storagecache::package_2024_03 as storage;
use serde_json::Value;

use super::client::{API_VERSION, Client, json};
use super::connection::{Connection, Connector};
use super::failure::{ArmFailure, Call};
use super::operations::Operations;
use super::room::{Asking, Rooms};
use super::shared::Shared;
use super::skus::Skus;
use super::waiting::{Waiting, key};
use super::wire::Method;
use super::{filesystem, path};
use crate::domain::error::quote;
use crate::domain::filesystem::{Filesystem, FilesystemSpec, Observed, ProvisioningState};
use crate::domain::names::{FilesystemId, Location, ResourceGroup};
use crate::domain::sku::SkuCatalog;
use crate::ports::clock::Clock;
use crate::ports::cloud::{Cloud, CloudError, CloudErrorKind, Headroom, HeadroomRequest};

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
    waiting: Waiting,
    lists: Shared<String, Listed>,
    operations: Operations,
    skus: Skus,
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
            waiting: Waiting::default(),
            lists: Shared::new(LIST_MAX_AGE),
            operations: Operations::default(),
            skus: Skus::default(),
            rooms: Rooms::default(),
        }
    }

    /// The way to ARM, for figures and for checks that are no part of the port.
    pub async fn connection(&self) -> Result<&Connection, CloudError> {
        let call = Call {
            operation: "connect to",
            resource: "Azure Resource Manager".to_owned(),
            action: "",
            missing: "check resourceManagerEndpoint in the cloud settings",
        };
        self.connector.connection().await.map_err(|failure| failure.told(&call))
    }

    /// Gets a token, so that a check can tell wrong credentials from missing permissions.
    pub async fn sign_in(&self) -> Result<(), CloudError> {
        let connection = self.connection().await?;
        let call = Call {
            operation: "get a token for",
            resource: connection.endpoints.audience.clone(),
            action: "",
            missing: "",
        };
        let token = connection.tokens.get_token(&[&connection.endpoints.scope()]).await;
        token.map(drop).map_err(|error| ArmFailure::from(error).told(&call))
    }

    async fn client(&self) -> Result<&Client, CloudError> {
        self.connection().await.map(|connection| &connection.client)
    }

    /// Looks at one file system directly and notes what was seen; also says whether it is what looks have shown so far.
    async fn look(&self, client: &Client, id: &FilesystemId) -> Result<(Observed, bool), CloudError> {
        let observed = self.get(client, id).await?;
        let found = if let Observed::Present(filesystem) = &observed { Some(&**filesystem) } else { None };
        let unchanged = found.is_some_and(|found| self.waiting.is_unchanged(id, found));
        self.waiting.seen(id, found, self.clock.now());
        Ok((observed, unchanged))
    }

    /// What a look shows.
    async fn get(&self, client: &Client, id: &FilesystemId) -> Result<Observed, CloudError> {
        let once = || async {
            let [group, name, subscription] =
                [id.resource_group.as_str(), id.name.as_str(), &self.subscription].map(path::segment);
            let get = client.storage.aml_filesystems_client().get(group?, name?, subscription?);
            let resource = json(get.send().await?.into_raw_response()).await?;
            named(id, &resource)
        };
        let mut filesystem = match client.read(once).await {
            Ok(filesystem) => filesystem,
            Err(ArmFailure::Answer(answer)) if answer.is_absent() => return Ok(Observed::Absent),
            Err(failure) => {
                let call = on(id, "look at file system", "Microsoft.StorageCache/amlFilesystems/read");
                return Err(failure.told(&call));
            }
        };
        match filesystem.state {
            ProvisioningState::Failed => filesystem.failure = self.operations.reason(id, client).await,
            ProvisioningState::Succeeded => self.operations.ended(id),
            _ => {}
        }
        Ok(Observed::Present(Box::new(filesystem)))
    }

    /// Looks at one file system in the list of its group. `None` if the list does not settle it.
    async fn listed(&self, client: &Client, id: &FilesystemId) -> Result<Option<Filesystem>, CloudError> {
        let group = key(id).0;
        match self.lists.get(&group, &*self.clock, self.list(client, &id.resource_group)).await {
            Ok(list) => {
                let found = list.value.get(&key(id).1);
                let now = self.clock.now();
                Ok(found.filter(|found| self.waiting.believes(id, found, now)).cloned())
            }
            // Asking for each one instead would make it worse.
            Err(error) if matches!(error.kind, CloudErrorKind::Throttled | CloudErrorKind::Unavailable) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "file systems are looked at one by one for a while");
                self.waiting.cannot_list(id, self.clock.now());
                Ok(None)
            }
        }
    }

    async fn list(&self, client: &Client, group: &ResourceGroup) -> Result<Listed, CloudError> {
        let once = || async {
            let (group, subscription) = (path::segment(group.as_str())?, path::segment(&self.subscription)?);
            let list = |storage: &storage::Client| {
                storage.aml_filesystems_client().list_by_resource_group(group, subscription).into_stream()
            };
            client.list(filesystem::view, list).await
        };
        let call = Call {
            operation: "list file systems of",
            resource: format!("resource group {}", group.as_str()),
            action: "Microsoft.StorageCache/amlFilesystems/read",
            missing: "",
        };
        let listed = client.read(once).await.map_err(|failure| failure.told(&call))?;
        Ok(listed.into_iter().map(|(name, filesystem)| (name.to_ascii_lowercase(), filesystem)).collect())
    }

    async fn put(&self, client: &Client, spec: &FilesystemSpec) -> Result<Response, ArmFailure> {
        let segments = path::filesystem(&self.subscription, &spec.id)?;
        let url = path::url(client.endpoint(), segments.iter().map(String::as_str), API_VERSION)?;
        client.send(Method::Put, &url, Some(&filesystem::body(spec, &self.network_subscription))).await
    }

    /// Notes what ARM showed when it accepted a creation. Whatever the body is, it was accepted.
    async fn accepted(&self, spec: &FilesystemSpec, response: Response) {
        let operation = response.headers().get_optional_str(&AZURE_ASYNCOPERATION).map(str::to_owned);
        self.operations.begun(&spec.id, operation.as_deref());
        if let Ok(filesystem) = json(response).await.and_then(|resource| named(&spec.id, &resource)) {
            self.waiting.seen(&spec.id, Some(&filesystem), self.clock.now());
        }
    }

    async fn delete(&self, client: &Client, id: &FilesystemId) -> Result<(), ArmFailure> {
        let segments = path::filesystem(&self.subscription, id)?;
        let url = path::url(client.endpoint(), segments.iter().map(String::as_str), API_VERSION)?;
        match client.send(Method::Delete, &url, None).await {
            Ok(_) => Ok(()),
            Err(ArmFailure::Answer(answer)) if answer.is_absent() => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

#[async_trait]
impl Cloud for ArmCloud {
    async fn observe(&self, id: &FilesystemId) -> Result<Observed, CloudError> {
        let client = self.client().await?;
        if self.waiting.shares(id, self.clock.now())
            && let Some(filesystem) = self.listed(client, id).await?
        {
            return Ok(Observed::Present(Box::new(filesystem)));
        }
        Ok(self.look(client, id).await?.0)
    }

    async fn begin_create(&self, spec: &FilesystemSpec) -> Result<(), CloudError> {
        let client = self.client().await?;
        // What an earlier creation reported is no reason why this one fails.
        self.operations.ended(&spec.id);
        let outcome = self.put(client, spec).await;
        if outcome.as_ref().err().is_none_or(|failure| !failure.kind().is_refusal()) {
            self.rooms.took(spec, self.clock.now());
        }
        let call = Call {
            missing: "check the names of resource group, network, subnet and identities in the StorageClass",
            ..on(&spec.id, "create file system", CREATE_ACTIONS)
        };
        let response = outcome.map_err(|failure| failure.told(&call))?;
        self.accepted(spec, response).await;
        Ok(())
    }

    async fn begin_delete(&self, id: &FilesystemId) -> Result<(), CloudError> {
        let client = self.client().await?;
        let call = on(id, "delete file system", "Microsoft.StorageCache/amlFilesystems/delete");
        // The look before may have been at a list, and a list may be about a file system that is gone.
        if self.waiting.shares(id, self.clock.now()) && !self.look(client, id).await?.1 {
            let message = "it changed since the last look; nothing was deleted";
            return Err(CloudError::new(CloudErrorKind::Busy, call.operation, call.resource, message));
        }
        self.delete(client, id).await.map_err(|failure| failure.told(&call))?;
        self.waiting.seen(id, None, self.clock.now());
        Ok(())
    }

    async fn skus(&self, location: &Location) -> Result<SkuCatalog, CloudError> {
        let client = self.client().await?;
        self.skus.of(location, client, &self.subscription, &*self.clock).await
    }

    async fn headroom(&self, request: &HeadroomRequest) -> Result<Headroom, CloudError> {
        let client = self.client().await?;
        let (subscription, network_subscription) = (&self.subscription, &self.network_subscription);
        let on = Asking { client, subscription, network_subscription, clock: &*self.clock };
        self.rooms.headroom(request, on).await
    }
}

const CREATE_ACTIONS: &str = "Microsoft.StorageCache/amlFilesystems/write and \
                              Microsoft.Network/virtualNetworks/subnets/join/action";

fn on(id: &FilesystemId, operation: &'static str, action: &'static str) -> Call {
    Call { operation, resource: id.to_string(), action, missing: "" }
}

/// The file system in an answer, which must be the one that was asked for.
fn named(id: &FilesystemId, resource: &Value) -> Result<Filesystem, ArmFailure> {
    let (name, filesystem) = filesystem::view(resource)
        .ok_or_else(|| ArmFailure::Unreadable("the answer shows no file system".to_owned()))?;
    if name.eq_ignore_ascii_case(id.name.as_str()) {
        return Ok(filesystem);
    }
    Err(ArmFailure::Unreadable(format!("the answer shows the file system {}", quote(&name))))
}
