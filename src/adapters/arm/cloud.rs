//! [`ArmCloud`]: the cloud port over Azure Resource Manager.
//!
//! Which failures may be final, which resources are ours and when to poll again is decided in the core. Here an operation of
//! the port becomes requests, and a response becomes a value of the domain or an error with a hint.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::async_operations::AsyncOperations;
use super::client::{Body, Client};
use super::connection::{Connection, Connector};
use super::error::ArmError;
use super::filesystem;
use super::http::Method;
use super::list_polling::ListPolling;
use super::operation::{CONNECT, CREATE_FILESYSTEM, DELETE_FILESYSTEM, GET_FILESYSTEM, GET_TOKEN, LIST_FILESYSTEMS};
use super::single_flight::SingleFlight;
use super::skus::Skus;
use super::subnet_capacity::SubnetCapacities;
use super::urls::FilesystemKey;
use super::writes::WriteResult;
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
    lists: SingleFlight<String, Listed>,
    skus: Skus,
    state: Arc<State>,
}

/// What the process knows of file systems. Shared with requests that outlive their callers.
#[derive(Debug, Default)]
struct State {
    polling: ListPolling,
    operations: AsyncOperations,
    subnets: SubnetCapacities,
}

impl ArmCloud {
    /// A cloud that connects at its first call.
    pub fn new(connector: Connector) -> Self {
        Self { connector, lists: SingleFlight::new(LIST_MAX_AGE), skus: Skus::default(), state: Arc::default() }
    }

    /// The connection to ARM, for metrics and for checks that are no part of the port.
    pub async fn connection(&self) -> Result<&Connection, CloudError> {
        let connection = self.connector.connection().await;
        connection.map_err(|error| error.into_cloud_error(&CONNECT, "Azure Resource Manager"))
    }

    /// Gets a token, so that a check can distinguish wrong credentials from missing permissions.
    pub async fn sign_in(&self) -> Result<(), CloudError> {
        let Connection { tokens, endpoints, .. } = self.connection().await?;
        let error = |error| ArmError::Token(error).into_cloud_error(&GET_TOKEN, &endpoints.audience);
        tokens.token().await.map(drop).map_err(error)
    }

    async fn client(&self) -> Result<&Client, CloudError> {
        self.connection().await.map(|connection| &connection.client)
    }

    fn clock(&self) -> &dyn Clock {
        &**self.connector.http.clock()
    }

    /// Observes one file system by GET and records it; also returns whether it is the one that was observed before.
    async fn get(&self, client: &Client, id: &FilesystemId) -> Result<(Observed, bool), CloudError> {
        let found = async { parse(id, &client.get(&client.urls.filesystem(id)?).await?) };
        let found = match found.await {
            Ok(found) => {
                Some(Filesystem { failure: self.state.operations.error(id, &found.state, client).await, ..found })
            }
            Err(ArmError::Response(response)) if response.is_absent() => None,
            Err(error) => return Err(error.into_cloud_error(&GET_FILESYSTEM, id.to_string())),
        };
        let unchanged = found.as_ref().is_some_and(|found| self.state.polling.is_unchanged(id, found));
        self.state.polling.observed(id, found.as_ref(), self.clock().now());
        Ok((found.map_or(Observed::Absent, |found| Observed::Present(Box::new(found))), unchanged))
    }

    /// Observes one file system in the list of its group. `None` if a GET is needed.
    async fn listed(&self, client: &Client, id: &FilesystemId) -> Result<Option<Filesystem>, CloudError> {
        let key = FilesystemKey::from(id);
        match self.lists.get(&key.resource_group, self.clock(), list(client, &id.resource_group)).await {
            Ok(list) => {
                let (found, now) = (list.value.get(&key.name), self.clock().now());
                Ok(found.filter(|found| self.state.polling.confirms(id, found, now)).cloned())
            }
            // A GET for each file system would be more requests still.
            Err(error) if matches!(error.kind, CloudErrorKind::Throttled | CloudErrorKind::Unavailable) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "file systems are read one by one for a while");
                self.state.polling.list_failed(id, self.clock().now());
                Ok(None)
            }
        }
    }
}

async fn list(client: &Client, group: &ResourceGroup) -> Result<Listed, CloudError> {
    let list = async { client.list(client.urls.filesystems(group)?, |entry| filesystem::parse(&entry)).await };
    let error = |error: ArmError| error.into_cloud_error(&LIST_FILESYSTEMS, format!("resource group {group}"));
    let listed = list.await.map_err(error)?;
    Ok(listed.into_iter().map(|(name, filesystem)| (name.to_ascii_lowercase(), filesystem)).collect())
}

/// The file system in a response, which must be the requested one.
fn parse(id: &FilesystemId, body: &Body) -> Result<Filesystem, ArmError> {
    match filesystem::parse(&body.json) {
        Some((name, filesystem)) if name.eq_ignore_ascii_case(id.name.as_str()) => Ok(filesystem),
        Some((name, _)) => Err(body.unreadable(format!("the answer shows the file system {}", quote(&name)))),
        None => Err(body.unreadable("the answer shows no file system")),
    }
}

impl State {
    /// Records the result of a creation. What was not refused may take addresses; a success is accepted whatever its body.
    fn created(&self, spec: &FilesystemSpec, result: &WriteResult, now: Duration) {
        let refused = |error: &ArmError| error.kind().is_refusal() || matches!(error, ArmError::Throttled { .. });
        if !result.as_ref().is_err_and(refused) {
            self.subnets.reserve(spec, now);
        }
        if let Ok(response) = result {
            self.operations.accepted(&spec.id, Method::PUT, response);
            if let Ok(filesystem) = Body::parse(response).and_then(|body| parse(&spec.id, &body)) {
                self.polling.observed(&spec.id, Some(&filesystem), now);
            }
        }
    }

    /// Records the result of a deletion.
    fn deleted(&self, id: &FilesystemId, result: &WriteResult, now: Duration) {
        if let Ok(response) = result {
            self.operations.accepted(id, Method::DELETE, response);
            self.polling.observed(id, None, now);
        }
    }
}

#[async_trait]
impl Cloud for ArmCloud {
    async fn observe(&self, id: &FilesystemId) -> Result<Observed, CloudError> {
        let client = self.client().await?;
        if self.state.polling.uses_list(id, self.clock().now())
            && let Some(filesystem) = self.listed(client, id).await?
        {
            return Ok(Observed::Present(Box::new(filesystem)));
        }
        Ok(self.get(client, id).await?.0)
    }

    async fn begin_create(&self, spec: &FilesystemSpec) -> Result<(), CloudError> {
        let client = self.client().await?;
        // The error of an earlier creation is not this one's.
        self.state.operations.forget(&spec.id);
        let body = filesystem::body(spec, &client.urls);
        let (state, http, created) = (Arc::clone(&self.state), Arc::clone(&self.connector.http), spec.clone());
        let on_result = move |result: &WriteResult| state.created(&created, result, http.now());
        let result =
            async { client.put((&spec.id).into(), &client.urls.filesystem(&spec.id)?, &body, on_result).await };
        result.await.map(drop).map_err(|error| error.into_cloud_error(&CREATE_FILESYSTEM, spec.id.to_string()))
    }

    async fn begin_delete(&self, id: &FilesystemId) -> Result<(), CloudError> {
        let client = self.client().await?;
        // The last observation may have come from a list, which may show a file system that is deleted.
        if self.state.polling.uses_list(id, self.clock().now()) && !self.get(client, id).await?.1 {
            let message = "it changed since it was last observed; nothing was deleted";
            return Err(CloudError::new(CloudErrorKind::Busy, DELETE_FILESYSTEM.name, id.to_string(), message));
        }
        let (state, http, deleted) = (Arc::clone(&self.state), Arc::clone(&self.connector.http), id.clone());
        let on_result = move |result: &WriteResult| state.deleted(&deleted, result, http.now());
        let result = async { client.delete(id.into(), &client.urls.filesystem(id)?, on_result).await };
        match result.await {
            Ok(_) => Ok(()),
            Err(ArmError::Response(response)) if response.is_absent() => {
                self.state.polling.observed(id, None, self.clock().now());
                Ok(())
            }
            Err(error) => Err(error.into_cloud_error(&DELETE_FILESYSTEM, id.to_string())),
        }
    }

    async fn skus(&self, location: &Location) -> Result<SkuCatalog, CloudError> {
        self.skus.in_location(location, self.client().await?, self.clock()).await
    }

    async fn subnet_capacity(&self, request: &SubnetCapacityRequest) -> Result<SubnetCapacity, CloudError> {
        self.state.subnets.subnet_capacity(request, self.client().await?, self.clock()).await
    }
}
