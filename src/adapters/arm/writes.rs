//! Requests that change a file system, each a task of its own.
//!
//! A PUT that has left the process may be accepted whatever becomes of the call that wanted it. So what was sent runs to its
//! end under its own time limit, even if its caller goes away, and a further call for the same file system meets it instead
//! of sending another one beside it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::failure::ArmFailure;
use super::list_polling::Key;
use super::transport::Admitted;
use super::wire::{Method, Response};

/// Runs a task to its end, also if nobody waits for it.
pub type Spawn = Arc<dyn Fn(Task) + Send + Sync>;

/// What a [`Spawn`] runs.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tasks of the tokio runtime that is current when one is begun.
pub fn on_tokio() -> Spawn {
    Arc::new(|task| drop(tokio::spawn(task)))
}

/// How a write ended.
pub(super) type Outcome = Result<Response, ArmFailure>;
type Receiver = watch::Receiver<Option<Outcome>>;

/// A request that was sent and has no answer yet.
#[derive(Debug)]
struct Sent {
    method: Method,
    body: Bytes,
    outcome: Receiver,
}

/// The requests without an answer, by file system.
#[derive(Debug, Default)]
pub(super) struct Writes(Arc<Mutex<HashMap<Key, Sent>>>);

impl Writes {
    /// The outcome of the request for this file system that has no answer yet, if there is one: of the same one, or a
    /// failure that names the other.
    pub(super) async fn meet(&self, key: &Key, method: &Method, body: &Bytes) -> Option<Outcome> {
        let met = met(&self.locked(), key, method, body)?;
        Some(outcome_of(met).await)
    }

    /// Sends a request as a task, or meets one that was sent meanwhile. `note` sees the outcome of what this call sent,
    /// also if the caller is gone by then.
    pub(super) async fn send(
        &self,
        key: Key,
        method: Method,
        admitted: Admitted,
        spawn: &Spawn,
        note: impl FnOnce(&Outcome) + Send + 'static,
    ) -> Outcome {
        let body = admitted.body().clone();
        let (sender, outcome) = watch::channel(None);
        let met = {
            let mut sent = self.locked();
            let met = met(&sent, &key, &method, &body);
            if met.is_none() {
                sent.insert(key.clone(), Sent { method, body, outcome: outcome.clone() });
            }
            met
        };
        if let Some(met) = met {
            return outcome_of(met).await;
        }
        let gone = Gone { writes: Arc::clone(&self.0), key };
        spawn(Box::pin(async move {
            let outcome = admitted.exchange().await;
            note(&outcome);
            drop(gone);
            sender.send_replace(Some(outcome));
        }));
        outcome_of(Ok(outcome)).await
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Key, Sent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same request of this file system, to be waited for, or that another one is in the way.
fn met(sent: &HashMap<Key, Sent>, key: &Key, method: &Method, body: &Bytes) -> Option<Result<Receiver, ArmFailure>> {
    let sent = sent.get(key)?;
    let same = sent.method == *method && sent.body == *body;
    Some(if same { Ok(sent.outcome.clone()) } else { Err(ArmFailure::InFlight(sent.method.clone())) })
}

async fn outcome_of(met: Result<Receiver, ArmFailure>) -> Outcome {
    let mut outcome = met?;
    let outcome = outcome.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
    outcome.ok().flatten().unwrap_or(Err(ArmFailure::Interrupted))
}

/// Forgets a request when its task ends, however it ends.
struct Gone {
    writes: Arc<Mutex<HashMap<Key, Sent>>>,
    key: Key,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
