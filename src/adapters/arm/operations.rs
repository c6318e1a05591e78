//! Why creations failed: the operation's own report, while this process remembers where it is.
//!
//! Why only a hint: the resource says that its creation failed, but not why; the operation says why, but its URL is signed,
//! expires, and is known only to the process that sent the request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use url::Url;

use super::client::{Client, json};
use super::failure::ArmFailure;
use super::waiting::key;
use super::wire::Method;
use crate::domain::names::FilesystemId;

/// Operations that are remembered at most; an outage of days is no reason to grow.
const MOST_OPERATIONS: usize = 10_000;

#[derive(Debug, Clone)]
enum Known {
    At(Url),
    Reason(String),
}

/// What is known of the last operation on each file system.
#[derive(Debug, Default)]
pub(super) struct Operations(Mutex<HashMap<(String, String), Known>>);

impl Operations {
    /// Remembers where an accepted creation reports. A URL that makes no sense is not remembered.
    pub(super) fn begun(&self, id: &FilesystemId, url: Option<&str>) {
        let mut known = self.locked();
        if known.len() >= MOST_OPERATIONS {
            known.clear();
        }
        match url.and_then(|url| Url::parse(url).ok()) {
            Some(url) => drop(known.insert(key(id), Known::At(url))),
            None => drop(known.remove(&key(id))),
        }
    }

    /// Forgets a file system that is finished or gone.
    pub(super) fn ended(&self, id: &FilesystemId) {
        self.locked().remove(&key(id));
    }

    /// Why the last operation failed, if it can be learned; at most one question for each operation that answers.
    pub(super) async fn reason(&self, id: &FilesystemId, client: &Client) -> Option<String> {
        let known = self.locked().get(&key(id)).cloned()?;
        let url = match known {
            Known::Reason(reason) => return Some(reason),
            Known::At(url) => url,
        };
        match client.read(|| ask(client, &url)).await {
            Ok(Some(reason)) => {
                self.locked().insert(key(id), Known::Reason(reason.clone()));
                Some(reason)
            }
            Ok(None) => None,
            Err(failure) => {
                tracing::debug!(filesystem = %id, %failure, "the failed operation does not tell why");
                None
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<(String, String), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(client: &Client, url: &Url) -> Result<Option<String>, ArmFailure> {
    let status = json(client.send(Method::Get, url, None).await?).await?;
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).map(str::trim).unwrap_or_default();
    let told = match (text("/error/code"), text("/error/message")) {
        ("", "") => return Ok(None),
        ("", message) => message.to_owned(),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code}: {message}"),
    };
    Ok(Some(told.split_whitespace().collect::<Vec<_>>().join(" ")))
}
