//! [`AsyncOperations`]: the errors of ARM's asynchronous operations, read from their `Azure-AsyncOperation` URL.
//! <https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations>
//!
//! Only for messages: the resource shows that its last operation failed, and only the operation shows why; but its URL is
//! signed, expires, and is known only to the process that sent the request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use url::Url;

use super::client::Client;
use super::error::ArmError;
use super::error::detail::ErrorDetail;
use super::http::{Method, Response};
use super::urls::FilesystemKey;
use crate::domain::filesystem::ProvisioningState;
use crate::domain::names::FilesystemId;

/// Operations that are remembered at most, so that an outage of days does not grow the map.
const MAX_OPERATIONS: usize = 10_000;

#[derive(Debug, Clone)]
struct Operation {
    method: Method,
    url: Url,
    /// Once it was read.
    error: Option<String>,
}

/// The last accepted operation on each file system.
#[derive(Debug, Default)]
pub(super) struct AsyncOperations(Mutex<HashMap<FilesystemKey, Operation>>);

impl AsyncOperations {
    /// Remembers the URL of an accepted PUT or DELETE. One that cannot be parsed is not remembered.
    pub(super) fn accepted(&self, id: &FilesystemId, method: Method, response: &Response) {
        let mut operations = self.locked();
        if operations.len() >= MAX_OPERATIONS {
            operations.clear();
        }
        operations.remove(&id.into());
        let url = response.header("azure-asyncoperation").and_then(|url| Url::parse(&url).ok());
        operations.extend(url.map(|url| (id.into(), Operation { method, url, error: None })));
    }

    /// Forgets the operation of a file system.
    pub(super) fn forget(&self, id: &FilesystemId) {
        self.locked().remove(&id.into());
    }

    /// Why the last operation on a file system in this state failed, if it did and if its error can be read; an operation
    /// whose error is known is not requested again. A file system whose deletion failed may show `Succeeded` again.
    pub(super) async fn error(&self, id: &FilesystemId, state: &ProvisioningState, client: &Client) -> Option<String> {
        let operation = self.locked().get(&id.into()).cloned()?;
        match state {
            ProvisioningState::Failed | ProvisioningState::Canceled => {}
            ProvisioningState::Succeeded if operation.method == Method::DELETE => {}
            ProvisioningState::Succeeded => {
                self.forget(id);
                return None;
            }
            _ => return None,
        }
        if operation.error.is_some() {
            return operation.error;
        }
        let error = read(client, &operation.url).await.unwrap_or_else(|error| {
            tracing::debug!(filesystem = %id, %error, "the error of the failed operation cannot be read");
            None
        })?;
        self.locked().insert(id.into(), Operation { error: Some(error.clone()), ..operation });
        Some(error)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<FilesystemKey, Operation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(client: &Client, url: &Url) -> Result<Option<String>, ArmError> {
    let status: Value = client.get(url).await?.json;
    Ok(status.get("error").and_then(ErrorDetail::of).map(|error| error.to_string()))
}
