//! [`SingleFlight`]: one fetch in flight for each key serves all callers that need its result at about the same time.
//!
//! A thousand claims in one instant need the SKU list, the size of a subnet and the state of their file systems; one request
//! for each would be a thousand times the same request. A failure is shared too, so that while the cloud is unavailable not
//! every queued caller sends a request.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::ports::clock::Clock;
use crate::ports::cloud::CloudError;

/// A fetched value.
#[derive(Debug)]
pub(super) struct Fetched<V> {
    pub(super) value: V,
    /// When its fetch began, by the adapter's clock.
    pub(super) requested_at: Duration,
}

type FetchResult<V> = Result<Arc<Fetched<V>>, CloudError>;

/// The last result for one key.
#[derive(Debug)]
struct Slot<V> {
    /// Completed fetches; shows a caller who waited whether one completed meanwhile.
    completed: AtomicU64,
    last: tokio::sync::Mutex<Option<FetchResult<V>>>,
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self { completed: AtomicU64::new(0), last: tokio::sync::Mutex::new(None) }
    }
}

/// Results by key. Few keys are expected.
#[derive(Debug)]
pub(super) struct SingleFlight<K, V> {
    max_age: Duration,
    slots: Mutex<HashMap<K, Arc<Slot<V>>>>,
}

/// Keys that are kept at most; beyond it those without a waiting caller are dropped.
const MAX_KEYS: usize = 64;

impl<K: Eq + Hash + Clone, V> SingleFlight<K, V> {
    /// Values serve until they are `max_age` old.
    pub(super) fn new(max_age: Duration) -> Self {
        Self { max_age, slots: Mutex::default() }
    }

    /// The value of `key`: the last one if it is fresh enough, the one that is being fetched, or a new one. If a caller
    /// stops waiting while it fetches, the next caller fetches.
    pub(super) async fn get(
        &self,
        key: &K,
        clock: &dyn Clock,
        fetch: impl Future<Output = Result<V, CloudError>>,
    ) -> FetchResult<V> {
        let oldest = clock.now().saturating_sub(self.max_age);
        let slot = self.slot(key);
        let completed = slot.completed.load(Ordering::Acquire);
        let mut last = slot.last.lock().await;
        match &*last {
            Some(Ok(fetched)) if fetched.requested_at >= oldest => return Ok(Arc::clone(fetched)),
            // A failure serves only callers that were waiting when it came.
            Some(Err(error)) if slot.completed.load(Ordering::Acquire) > completed => return Err(error.clone()),
            _ => {}
        }
        let requested_at = clock.now();
        let result = fetch.await.map(|value| Arc::new(Fetched { value, requested_at }));
        slot.completed.fetch_add(1, Ordering::Release);
        *last = Some(result.clone());
        result
    }

    fn slot(&self, key: &K) -> Arc<Slot<V>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_KEYS && !slots.contains_key(key) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;

    use async_trait::async_trait;
    use futures_lite::future::{block_on, poll_once, yield_now};

    use super::*;
    use crate::ports::cloud::CloudErrorKind;

    /// A clock whose seconds a test sets.
    #[derive(Debug, Default)]
    struct ManualSeconds(AtomicU64);

    #[async_trait]
    impl Clock for ManualSeconds {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }

        async fn sleep(&self, _: Duration) {}
    }

    /// A fetch that is counted and yields once; `None` fails.
    async fn fetch(fetches: &AtomicUsize, value: Option<u32>) -> Result<u32, CloudError> {
        fetches.fetch_add(1, Ordering::Relaxed);
        yield_now().await;
        let down = std::io::Error::from_raw_os_error(104);
        let down = CloudError::new(CloudErrorKind::Unavailable, "ask", "it", "down").caused_by(down);
        value.ok_or(down)
    }

    #[test]
    fn a_value_serves_until_its_age_and_a_failure_only_waiting_callers() {
        let (flight, clock, fetches) =
            (SingleFlight::new(Duration::from_secs(2)), ManualSeconds::default(), AtomicUsize::new(0));
        let get = |value| flight.get(&"q", &clock, fetch(&fetches, value));
        assert_eq!(block_on(get(Some(1))).unwrap().value, 1);
        clock.0.store(2, Ordering::Relaxed);
        assert_eq!(block_on(get(Some(2))).unwrap().value, 1);
        clock.0.store(3, Ordering::Relaxed);
        assert_eq!(block_on(get(Some(3))).unwrap().value, 3);
        assert_eq!(fetches.load(Ordering::Relaxed), 2);
        clock.0.store(9, Ordering::Relaxed);
        let (one, other) = block_on(futures_lite::future::zip(get(None), get(Some(4))));
        for error in [one.unwrap_err(), other.unwrap_err()] {
            let cause = error.source.as_deref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
            assert_eq!(
                cause.and_then(std::io::Error::raw_os_error),
                Some(104),
                "a waiting caller shares the failure: {error:?}"
            );
        }
        assert_eq!(fetches.load(Ordering::Relaxed), 3);
        assert_eq!(block_on(get(Some(5))).unwrap().value, 5, "a later caller fetches again");
    }

    /// A thousand callers wait for one that stops waiting.
    #[test]
    fn if_the_fetching_caller_leaves_the_next_one_fetches() {
        let (flight, clock, fetches) =
            (SingleFlight::new(Duration::from_secs(2)), ManualSeconds::default(), AtomicUsize::new(0));
        let get = |value| flight.get(&"q", &clock, fetch(&fetches, value));
        let mut waiting: Vec<_> = (0..1000).map(|number| Box::pin(get(Some(number)))).collect();
        {
            let mut leader = pin!(get(Some(7777)));
            assert!(block_on(poll_once(leader.as_mut())).is_none());
            for waiter in &mut waiting {
                assert!(block_on(poll_once(waiter.as_mut())).is_none());
            }
        }
        for waiter in waiting {
            assert_eq!(block_on(waiter).unwrap().value, 0);
        }
        assert_eq!(fetches.load(Ordering::Relaxed), 2);
    }
}
