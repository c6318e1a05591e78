//! How many mounts of one server may be under way, and what else is tried while some of them are stuck.
//!
//! Why it exists: a server that does not answer takes a thread for each mount that is tried, minutes long. So each MGS
//! has a number of places, others are not affected, and once mounts of it are stuck a new one is begun only if the MGS
//! can be connected to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::mount_source::MountSource;

/// The servers, each with its places.
#[derive(Debug)]
pub(super) struct Gate {
    places: usize,
    stuck_after: Duration,
    servers: Mutex<BTreeMap<String, Arc<Server>>>,
    numbers: AtomicU64,
}

#[derive(Debug)]
struct Server {
    places: Arc<Semaphore>,
    running: Mutex<BTreeMap<u64, Instant>>,
}

/// A place of a server, until it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    mgs: String,
    server: Arc<Server>,
    number: u64,
    _place: OwnedSemaphorePermit,
}

/// The name under which a server is counted: its first address, as the Lustre client does.
pub(super) fn key(source: &MountSource) -> String {
    source.mgs.servers().iter().flatten().next().map(ToString::to_string).unwrap_or_default()
}

impl Gate {
    pub(super) fn new(places: usize, stuck_after: Duration) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self { places, stuck_after, servers: Mutex::default(), numbers: AtomicU64::default() }
    }

    /// How many mounts of a server take longer than they may.
    pub(super) fn stuck(&self, mgs: &str) -> usize {
        let server = self.servers().get(mgs).map(Arc::clone);
        server.map_or(0, |server| {
            server.running().values().filter(|started| started.elapsed() >= self.stuck_after).count()
        })
    }

    /// Takes a place. If there is none, waits for one until `limit`, but not behind mounts that are stuck.
    pub(super) async fn enter(self: &Arc<Self>, mgs: &str, limit: Duration) -> Option<Pass> {
        let server = self.server(mgs);
        let limit = if self.stuck(mgs) > 0 { Duration::ZERO } else { limit };
        let waiting = tokio::time::timeout(limit, Arc::clone(&server.places).acquire_owned()).await;
        let Ok(Ok(place)) = waiting else {
            self.leave(mgs, server);
            return None;
        };
        Some(self.pass(mgs, server, place, Instant::now()))
    }

    /// Takes a place if there is one, nobody waits for it, and no mount of the server is stuck. It counts from `since`.
    pub(super) fn try_enter(self: &Arc<Self>, mgs: &str, since: Instant) -> Option<Pass> {
        let server = self.server(mgs);
        let place = if self.stuck(mgs) > 0 { None } else { Arc::clone(&server.places).try_acquire_owned().ok() };
        let Some(place) = place else {
            self.leave(mgs, server);
            return None;
        };
        Some(self.pass(mgs, server, place, since))
    }

    fn pass(self: &Arc<Self>, mgs: &str, server: Arc<Server>, place: OwnedSemaphorePermit, since: Instant) -> Pass {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        server.running().insert(number, since);
        Pass { gate: Arc::clone(self), mgs: mgs.to_owned(), server, number, _place: place }
    }

    fn server(&self, mgs: &str) -> Arc<Server> {
        let new = || Server { places: Arc::new(Semaphore::new(self.places)), running: Mutex::default() };
        Arc::clone(self.servers().entry(mgs.to_owned()).or_insert_with(|| Arc::new(new())))
    }

    /// Gives a reference back. A server that nobody else refers to is forgotten.
    fn leave(&self, mgs: &str, server: Arc<Server>) {
        let mut servers = self.servers();
        drop(server);
        if servers.get(mgs).is_some_and(|server| Arc::strong_count(server) == 1) {
            servers.remove(mgs);
        }
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Server>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.server.running().remove(&self.number);
        let mut servers = self.gate.servers();
        // This reference, and the one of the table.
        if servers.get(&self.mgs).is_some_and(|server| Arc::strong_count(server) == 2) {
            servers.remove(&self.mgs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_server_has_its_places_and_others_have_theirs() {
        let gate = Arc::new(Gate::new(2, LONG));
        let first = gate.enter("a", LONG).await.unwrap();
        let _second = gate.enter("a", LONG).await.unwrap();
        assert!(gate.enter("a", SOON).await.is_none() && gate.try_enter("a", Instant::now()).is_none());
        assert!(gate.enter("b", SOON).await.is_some() && gate.try_enter("b", Instant::now()).is_some());
        let (waited, ()) = futures_lite::future::zip(gate.enter("a", LONG), async { drop(first) }).await;
        assert!(waited.is_some());
    }

    #[tokio::test]
    async fn nobody_waits_behind_what_is_stuck() {
        let gate = Arc::new(Gate::new(1, Duration::ZERO));
        let pass = gate.enter("a", LONG).await;
        assert_eq!((gate.stuck("a"), gate.stuck("b")), (1, 0));
        let begun = Instant::now();
        assert!(gate.enter("a", LONG).await.is_none());
        assert!(begun.elapsed() < LONG / 2, "told at once");
        drop(pass);
        let roomy = Arc::new(Gate::new(2, Duration::ZERO));
        let stuck = roomy.enter("a", LONG).await;
        assert!(roomy.try_enter("a", Instant::now()).is_none(), "the connection has to be tried first");
        drop(stuck);
        assert_eq!(gate.stuck("a"), 0);
        assert!(gate.enter("a", LONG).await.is_some());
    }

    #[tokio::test]
    async fn servers_without_mounts_are_forgotten() {
        let gate = Arc::new(Gate::new(1, LONG));
        let pass = gate.enter("a", LONG).await;
        assert!(gate.enter("a", SOON).await.is_none());
        assert_eq!(gate.servers().len(), 1);
        drop(pass);
        assert!(gate.servers().is_empty());
    }

    #[test]
    fn a_server_is_known_by_its_first_address() {
        let source = MountSource::parse("10.0.0.4,10.1.0.4@tcp1:10.0.0.5:/lustrefs/a").unwrap();
        assert_eq!(key(&source), "10.0.0.4@tcp");
    }
}
