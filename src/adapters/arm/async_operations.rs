//! [`AsyncOperations`]: why ARM's asynchronous operations failed, read from their `Azure-AsyncOperation` URL.
//! <https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations>
//!
//! Only a hint: the resource says that its last operation failed, but not why; the operation says why, but its URL
//! (`Azure-AsyncOperation`) is signed, expires, and is known only to the process that sent the request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use url::Url;

use super::client::Client;
use super::failure::ArmFailure;
use super::list_polling::{Key, key};
use super::reason::Reason;
use super::wire::{Method, Response};
use crate::domain::filesystem::ProvisioningState;
use crate::domain::names::FilesystemId;

/// Operations that are remembered at most; an outage of days is no reason to grow.
const MOST_OPERATIONS: usize = 10_000;

#[derive(Debug, Clone)]
enum Report {
    At(Url),
    Reason(String),
}

#[derive(Debug, Clone)]
struct Operation {
    method: Method,
    report: Report,
}

/// What is known of the last operation on each file system.
#[derive(Debug, Default)]
pub(super) struct AsyncOperations(Mutex<HashMap<Key, Operation>>);

impl AsyncOperations {
    /// Remembers where an accepted creation or deletion reports. A URL that cannot be parsed is not remembered.
    pub(super) fn accepted(&self, id: &FilesystemId, method: Method, response: &Response) {
        let mut known = self.locked();
        if known.len() >= MOST_OPERATIONS {
            known.clear();
        }
        let url = response.header("azure-asyncoperation").and_then(|url| Url::parse(&url).ok());
        match url {
            Some(url) => drop(known.insert(key(id), Operation { method, report: Report::At(url) })),
            None => drop(known.remove(&key(id))),
        }
    }

    /// Forgets a file system that is finished or gone.
    pub(super) fn ended(&self, id: &FilesystemId) {
        self.locked().remove(&key(id));
    }

    /// Why the last operation on a file system in this state failed, if it did and if that can be learned; at most one
    /// request for each operation that answers. A file system whose deletion failed may show `Succeeded` again.
    pub(super) async fn reason(&self, id: &FilesystemId, state: &ProvisioningState, client: &Client) -> Option<String> {
        let known = self.locked().get(&key(id)).cloned()?;
        match state {
            ProvisioningState::Failed | ProvisioningState::Canceled => {}
            ProvisioningState::Succeeded if known.method == Method::DELETE => {}
            ProvisioningState::Succeeded => {
                self.ended(id);
                return None;
            }
            _ => return None,
        }
        let url = match known.report {
            Report::Reason(reason) => return Some(reason),
            Report::At(url) => url,
        };
        match read(client, &url).await {
            Ok(reason) => {
                let reason = reason?;
                let report = Report::Reason(reason.clone());
                self.locked().insert(key(id), Operation { method: known.method, report });
                Some(reason)
            }
            Err(failure) => {
                tracing::debug!(filesystem = %id, %failure, "the failed operation does not say why");
                None
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Key, Operation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(client: &Client, url: &Url) -> Result<Option<String>, ArmFailure> {
    let status = client.get(url).await?.json;
    Ok(status.get("error").and_then(Reason::of).map(|reason| reason.to_string()))
}
