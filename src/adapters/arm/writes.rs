//! PUT and DELETE of file systems: each request runs as a task of its own, one at a time for each file system.
//!
//! A PUT that was sent may be accepted even if its caller stops waiting. So what was sent runs to its end under its own time
//! limit, and a further call for the same file system joins it instead of sending another request beside it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::error::ArmError;
use super::http::{Method, Response};
use super::pipeline::Admitted;
use super::urls::FilesystemKey;

/// Runs a task to its end, even if its result is not awaited.
pub type Spawn = Arc<dyn Fn(Task) + Send + Sync>;

/// What a [`Spawn`] runs.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Spawns on the current tokio runtime.
pub fn on_tokio() -> Spawn {
    Arc::new(|task| drop(tokio::spawn(task)))
}

/// How a write ended.
pub(super) type WriteResult = Result<Response, ArmError>;
type Receiver = watch::Receiver<Option<WriteResult>>;

/// A request without a response yet.
#[derive(Debug)]
struct InFlight {
    method: Method,
    body: Bytes,
    result: Receiver,
}

type ByFilesystem = HashMap<FilesystemKey, InFlight>;

/// The requests in flight, by file system.
#[derive(Debug, Default)]
pub(super) struct Writes(Arc<Mutex<ByFilesystem>>);

impl Writes {
    /// The result of the request in flight for this file system, if there is one: of the same request, or an error that
    /// names the other one.
    pub(super) async fn join(&self, key: &FilesystemKey, method: &Method, body: &Bytes) -> Option<WriteResult> {
        let joined = join(&locked(&self.0), key, method, body)?;
        Some(wait(joined).await)
    }

    /// Sends a request as a task, or joins one that was sent meanwhile. `on_result` gets the result of what this call sent,
    /// even if the caller has left by then.
    pub(super) async fn send(
        &self,
        key: FilesystemKey,
        admitted: Admitted,
        spawn: &Spawn,
        on_result: impl FnOnce(&WriteResult) + Send + 'static,
    ) -> WriteResult {
        let (method, body) = (admitted.request.method.clone(), admitted.request.body.clone());
        let (sender, result) = watch::channel(None);
        let joined = {
            let mut in_flight = locked(&self.0);
            let joined = join(&in_flight, &key, &method, &body);
            if joined.is_none() {
                in_flight.insert(key.clone(), InFlight { method, body, result: result.clone() });
            }
            joined
        };
        if let Some(joined) = joined {
            return wait(joined).await;
        }
        let removal = Removal { in_flight: Arc::clone(&self.0), key };
        spawn(Box::pin(async move {
            let result = admitted.send().await;
            on_result(&result);
            drop(removal);
            sender.send_replace(Some(result));
        }));
        wait(Ok(result)).await
    }
}

fn locked(in_flight: &Mutex<ByFilesystem>) -> MutexGuard<'_, ByFilesystem> {
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same request of this file system, to be awaited, or the error that another one is in flight.
fn join(
    in_flight: &ByFilesystem,
    key: &FilesystemKey,
    method: &Method,
    body: &Bytes,
) -> Option<Result<Receiver, ArmError>> {
    let other = in_flight.get(key)?;
    let same = other.method == *method && other.body == *body;
    Some(if same { Ok(other.result.clone()) } else { Err(ArmError::WriteInFlight(other.method.clone())) })
}

async fn wait(joined: Result<Receiver, ArmError>) -> WriteResult {
    let mut receiver = joined?;
    let result = receiver.wait_for(Option::is_some).await.map(|result| result.clone());
    result.ok().flatten().unwrap_or(Err(ArmError::Interrupted))
}

/// Removes a request from the map when its task ends, however it ends.
struct Removal {
    in_flight: Arc<Mutex<ByFilesystem>>,
    key: FilesystemKey,
}

impl Drop for Removal {
    fn drop(&mut self) {
        locked(&self.in_flight).remove(&self.key);
    }
}
