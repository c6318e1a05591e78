//! How many mounts of one MGS may be in progress, and which MGS has to take a connection before another is begun.
//!
//! A mount of an MGS that does not answer occupies a thread for minutes. So each MGS has a number of permits, others are
//! not affected, and while mounts of it are overdue, or one has just failed because it did not answer, a new one is begun
//! only if the MGS takes a TCP connection (a 2.15 client gives up after 40 s, before any mount is overdue).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::mount_source::MountSource;

/// How long a mount that failed because its MGS did not answer says something about the present.
const RECENT: Duration = Duration::from_mins(2);

/// The permits of every MGS.
#[derive(Debug)]
pub(super) struct MgsLimit {
    permits: usize,
    overdue_after: Duration,
    servers: Mutex<BTreeMap<String, Server>>,
    numbers: AtomicU64,
}

#[derive(Debug)]
struct Server {
    permits: Arc<Semaphore>,
    /// Mounts in progress, by number.
    running: BTreeMap<u64, Instant>,
    unreachable: Option<Instant>,
}

impl Server {
    fn new(permits: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(permits)), running: BTreeMap::new(), unreachable: None }
    }

    fn standing(&self, overdue_after: Duration) -> Standing {
        let overdue = self.running.values().filter(|since| since.elapsed() >= overdue_after).count();
        Standing { overdue, unreachable: self.recently_unreachable() }
    }

    /// Whether nothing of it is in progress, waited for or known.
    fn is_idle(&self) -> bool {
        self.running.is_empty() && Arc::strong_count(&self.permits) == 1 && !self.recently_unreachable()
    }

    fn recently_unreachable(&self) -> bool {
        self.unreachable.is_some_and(|at| at.elapsed() < RECENT)
    }
}

/// What is known of an MGS before a mount of it begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Mounts in progress that take longer than their limit.
    pub(super) overdue: usize,
    /// Whether a mount has failed recently because it did not answer.
    pub(super) unreachable: bool,
}

impl Standing {
    /// Whether the MGS has to take a connection before another mount is begun.
    pub(super) fn is_doubtful(self) -> bool {
        self.overdue > 0 || self.unreachable
    }
}

/// The right to mount from an MGS, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limit: Arc<MgsLimit>,
    mgs: String,
    number: u64,
    _held: OwnedSemaphorePermit,
}

/// The name under which an MGS is counted: its first address, as the Lustre client does.
pub(super) fn key(source: &MountSource) -> String {
    source.mgs.servers().iter().flatten().next().map(ToString::to_string).unwrap_or_default()
}

impl MgsLimit {
    pub(super) fn new(permits: usize, overdue_after: Duration) -> Self {
        let permits = permits.clamp(1, Semaphore::MAX_PERMITS);
        Self { permits, overdue_after, servers: Mutex::default(), numbers: AtomicU64::default() }
    }

    /// What is known of an MGS.
    pub(super) fn standing(&self, mgs: &str) -> Standing {
        self.servers().get(mgs).map_or(Standing::default(), |server| server.standing(self.overdue_after))
    }

    /// Takes a permit if one is free and the MGS is not doubtful.
    pub(super) fn try_enter(self: &Arc<Self>, mgs: &str) -> Option<Permit> {
        let (permits, standing) = self.known(mgs);
        let permit = if standing.is_doubtful() { None } else { permits.try_acquire_owned().ok() };
        Some(self.permit(mgs, permit?))
    }

    /// Takes a permit. If there is none, waits for one until `limit`, but not behind mounts that are overdue.
    pub(super) async fn enter(self: &Arc<Self>, mgs: &str, limit: Duration) -> Option<Permit> {
        let (permits, standing) = self.known(mgs);
        let permit = match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if standing.overdue > 0 => return None,
            Err(_) => tokio::time::timeout(limit, permits.acquire_owned()).await.ok()?.ok()?,
        };
        Some(self.permit(mgs, permit))
    }

    fn known(&self, mgs: &str) -> (Arc<Semaphore>, Standing) {
        let mut servers = self.servers();
        servers.retain(|_, server| !server.is_idle());
        let new = || Server::new(self.permits);
        let server = servers.entry(mgs.to_owned()).or_insert_with(new);
        (Arc::clone(&server.permits), server.standing(self.overdue_after))
    }

    fn permit(self: &Arc<Self>, mgs: &str, permit: OwnedSemaphorePermit) -> Permit {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        if let Some(server) = self.servers().get_mut(mgs) {
            server.running.insert(number, Instant::now());
        }
        Permit { limit: Arc::clone(self), mgs: mgs.to_owned(), number, _held: permit }
    }

    /// Notes whether an MGS has answered a mount.
    pub(super) fn note(&self, mgs: &str, answered: bool) {
        if let Some(server) = self.servers().get_mut(mgs) {
            server.unreachable = (!answered).then(Instant::now);
        }
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<String, Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(server) = self.limit.servers().get_mut(&self.mgs) {
            server.running.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn an_mgs_has_its_permits_and_others_have_theirs() {
        let limit = Arc::new(MgsLimit::new(2, LONG));
        let first = limit.enter("a", LONG).await.unwrap();
        let _second = limit.enter("a", LONG).await.unwrap();
        assert!(limit.enter("a", SOON).await.is_none());
        assert!(limit.enter("b", SOON).await.is_some());
        let (waited, ()) = futures_lite::future::zip(limit.enter("a", LONG), async { drop(first) }).await;
        assert!(waited.is_some());
    }

    #[tokio::test]
    async fn nobody_waits_behind_mounts_that_are_overdue() {
        let limit = Arc::new(MgsLimit::new(1, Duration::ZERO));
        let permit = limit.enter("a", LONG).await;
        assert_eq!((limit.standing("a").overdue, limit.standing("b")), (1, Standing::default()));
        let begun = Instant::now();
        assert!(limit.enter("a", LONG).await.is_none());
        assert!(begun.elapsed() < LONG / 2, "answered at once");
        drop(permit);
        assert!(!limit.standing("a").is_doubtful());
        assert!(limit.enter("a", LONG).await.is_some());
    }

    #[tokio::test]
    async fn an_mgs_that_did_not_answer_is_doubtful_until_it_answers() {
        let limit = Arc::new(MgsLimit::new(1, LONG));
        let permit = limit.enter("a", LONG).await;
        limit.note("a", false);
        drop(permit);
        assert_eq!(limit.standing("a"), Standing { overdue: 0, unreachable: true });
        let permit = limit.enter("a", LONG).await;
        limit.note("a", true);
        drop(permit);
        assert!(!limit.standing("a").is_doubtful());
    }

    #[tokio::test]
    async fn an_mgs_without_mounts_is_forgotten() {
        let limit = Arc::new(MgsLimit::new(1, LONG));
        for mgs in ["a", "b", "c"] {
            drop(limit.enter(mgs, LONG).await);
        }
        assert!(limit.servers().len() <= 1, "{limit:?}");
    }

    #[test]
    fn an_mgs_is_known_by_its_first_address() {
        let source = MountSource::parse("10.0.0.4,10.1.0.4@tcp1:10.0.0.5:/lustrefs/a").unwrap();
        assert_eq!(key(&source), "10.0.0.4@tcp");
    }
}
