//! Limit of mounts in progress per MGS (a semaphore), and whether an MGS must accept a connection before the next mount.
//!
//! A mount of an MGS that does not answer occupies a thread for minutes. So each MGS has a number of permits, without
//! effect on others. While mounts of it are overdue, or one has just failed because it did not answer, another is begun
//! only after the MGS has accepted a TCP connection (a 2.15 client returns after 40 s, before any mount is overdue).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::mount_source::MountSource;

/// How long after a mount that failed without a response the MGS must accept a connection first.
const RECENT: Duration = Duration::from_mins(2);

/// The permits of every MGS.
#[derive(Debug)]
pub(super) struct MgsLimit {
    permits: usize,
    overdue_after: Duration,
    servers: Mutex<BTreeMap<String, Server>>,
}

#[derive(Debug)]
struct Server {
    permits: Arc<Semaphore>,
    /// When each mount in progress began.
    running: Vec<Instant>,
    unreachable_at: Option<Instant>,
}

impl Server {
    fn state(&self, overdue_after: Duration) -> MgsState {
        let overdue = self.running.iter().filter(|since| since.elapsed() >= overdue_after).count();
        MgsState { overdue, unreachable: self.unreachable_at.is_some_and(|at| at.elapsed() < RECENT) }
    }

    /// Whether no mount is in progress or waits for a permit, and no failure is recent.
    fn is_idle(&self) -> bool {
        self.running.is_empty() && Arc::strong_count(&self.permits) == 1 && !self.state(Duration::MAX).unreachable
    }
}

/// What earlier mounts show of an MGS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct MgsState {
    /// Mounts in progress that take longer than their limit.
    pub(super) overdue: usize,
    /// Whether a mount has failed recently because the MGS did not answer.
    pub(super) unreachable: bool,
}

impl MgsState {
    /// Whether the MGS must accept a connection before another mount is begun.
    pub(super) fn needs_connection_check(self) -> bool {
        self.overdue > 0 || self.unreachable
    }
}

/// One mount of an MGS that may be in progress, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limit: Arc<MgsLimit>,
    mgs: String,
    since: Instant,
    _semaphore: OwnedSemaphorePermit,
}

/// The MGS of a source as permits are counted and operations reported: its first NID, as the Lustre client does.
pub(super) fn first_nid(source: &MountSource) -> String {
    source.mgs.servers().iter().flatten().next().map(ToString::to_string).unwrap_or_default()
}

impl MgsLimit {
    pub(super) fn new(permits: usize, overdue_after: Duration) -> Self {
        Self { permits: permits.clamp(1, Semaphore::MAX_PERMITS), overdue_after, servers: Mutex::default() }
    }

    pub(super) fn state(&self, mgs: &str) -> MgsState {
        self.servers().get(mgs).map_or(MgsState::default(), |server| server.state(self.overdue_after))
    }

    /// A permit, if one is free and the MGS needs no connection check.
    pub(super) fn try_acquire(self: &Arc<Self>, mgs: &str) -> Option<Permit> {
        let (permits, state) = self.server(mgs);
        let permit = if state.needs_connection_check() { None } else { permits.try_acquire_owned().ok() };
        Some(self.permit(mgs, permit?))
    }

    /// A permit. If none is free, waits for one until `limit`, but not while mounts are overdue.
    pub(super) async fn acquire(self: &Arc<Self>, mgs: &str, limit: Duration) -> Option<Permit> {
        let (permits, state) = self.server(mgs);
        let permit = match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if state.overdue > 0 => return None,
            Err(_) => tokio::time::timeout(limit, permits.acquire_owned()).await.ok()?.ok()?,
        };
        Some(self.permit(mgs, permit))
    }

    fn server(&self, mgs: &str) -> (Arc<Semaphore>, MgsState) {
        let mut servers = self.servers();
        servers.retain(|_, server| !server.is_idle());
        let new = || Server { permits: Arc::new(Semaphore::new(self.permits)), running: vec![], unreachable_at: None };
        let server = servers.entry(mgs.to_owned()).or_insert_with(new);
        (Arc::clone(&server.permits), server.state(self.overdue_after))
    }

    fn permit(self: &Arc<Self>, mgs: &str, permit: OwnedSemaphorePermit) -> Permit {
        let since = Instant::now();
        if let Some(server) = self.servers().get_mut(mgs) {
            server.running.push(since);
        }
        Permit { limit: Arc::clone(self), mgs: mgs.to_owned(), since, _semaphore: permit }
    }

    /// Records whether an MGS has answered a mount.
    pub(super) fn record(&self, mgs: &str, has_answered: bool) {
        if let Some(server) = self.servers().get_mut(mgs) {
            server.unreachable_at = (!has_answered).then(Instant::now);
        }
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<String, Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(server) = self.limit.servers().get_mut(&self.mgs)
            && let Some(index) = server.running.iter().position(|since| *since == self.since)
        {
            server.running.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn each_mgs_has_permits_of_its_own() {
        let limit = Arc::new(MgsLimit::new(2, LONG));
        let first = limit.acquire("a", LONG).await.unwrap();
        let _second = limit.acquire("a", LONG).await.unwrap();
        assert!(limit.acquire("a", SOON).await.is_none());
        assert!(limit.acquire("b", SOON).await.is_some());
        let (waited, ()) = futures_lite::future::zip(limit.acquire("a", LONG), async { drop(first) }).await;
        assert!(waited.is_some());
    }

    #[tokio::test]
    async fn no_call_waits_for_a_permit_while_mounts_are_overdue() {
        let limit = Arc::new(MgsLimit::new(1, Duration::ZERO));
        let permit = limit.acquire("a", LONG).await;
        assert_eq!((limit.state("a").overdue, limit.state("b")), (1, MgsState::default()));
        let started = Instant::now();
        assert!(limit.acquire("a", LONG).await.is_none());
        assert!(started.elapsed() < LONG / 2, "answered at once");
        drop(permit);
        assert!(!limit.state("a").needs_connection_check());
        assert!(limit.acquire("a", LONG).await.is_some());
    }

    #[tokio::test]
    async fn an_mgs_that_did_not_answer_needs_connection_check_until_it_answers() {
        let limit = Arc::new(MgsLimit::new(1, LONG));
        let permit = limit.acquire("a", LONG).await;
        limit.record("a", false);
        drop(permit);
        assert_eq!(limit.state("a"), MgsState { overdue: 0, unreachable: true });
        let permit = limit.acquire("a", LONG).await;
        limit.record("a", true);
        drop(permit);
        assert!(!limit.state("a").needs_connection_check());
    }

    #[tokio::test]
    async fn an_mgs_without_mounts_has_no_entry() {
        let limit = Arc::new(MgsLimit::new(1, LONG));
        for mgs in ["a", "b", "c"] {
            drop(limit.acquire(mgs, LONG).await);
        }
        assert!(limit.servers().len() <= 1, "{limit:?}");
    }

    #[test]
    fn an_mgs_is_counted_by_its_first_nid() {
        let source = MountSource::parse("10.0.0.4,10.1.0.4@tcp1:10.0.0.5:/lustrefs/a").unwrap();
        assert_eq!(first_nid(&source), "10.0.0.4@tcp");
    }
}
