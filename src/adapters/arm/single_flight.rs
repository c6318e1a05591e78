//! [`SingleFlight`]: one request in flight for each key serves all callers who need its response at about the same time.
//!
//! A thousand claims in one instant need the SKU list, the size of a subnet and the state of their file
//! systems; one request for each would be a thousand times the same request. A failure is shared too, so that a cloud
//! that is down is not asked once for every caller in the queue.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ports::clock::Clock;
use crate::ports::cloud::CloudError;

/// What a question was answered with, and when it was asked.
#[derive(Debug)]
pub(super) struct Answer<V> {
    /// The value.
    pub(super) value: V,
    /// When the request for it began, on the adapter's clock.
    pub(super) asked_at: Duration,
}

type Outcome<V> = Result<Arc<Answer<V>>, CloudError>;

/// One question.
#[derive(Debug)]
struct Slot<V> {
    /// Answers so far; shows a caller who waited whether one came meanwhile.
    count: AtomicU64,
    last: tokio::sync::Mutex<Option<Outcome<V>>>,
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self { count: AtomicU64::new(0), last: tokio::sync::Mutex::new(None) }
    }
}

/// Answers by question. Few questions are expected; old answers are dropped when a new question comes.
#[derive(Debug)]
pub(super) struct SingleFlight<K, V> {
    max_age: Duration,
    slots: Mutex<HashMap<K, Arc<Slot<V>>>>,
}

/// Questions that are kept at most; beyond it those that nobody waits for are dropped.
const MOST_QUESTIONS: usize = 64;

impl<K: Eq + Hash + Clone, V> SingleFlight<K, V> {
    /// Answers that are at most `max_age` old when somebody asks serve.
    pub(super) fn new(max_age: Duration) -> Self {
        Self { max_age, slots: Mutex::default() }
    }

    /// The answer to `question`: one that is fresh enough, one that is just being fetched, or a new one. A caller that
    /// gives up while it fetches leaves the work to the next.
    pub(super) async fn get(
        &self,
        question: &K,
        clock: &dyn Clock,
        fetch: impl Future<Output = Result<V, CloudError>>,
    ) -> Result<Arc<Answer<V>>, CloudError> {
        let oldest = clock.now().saturating_sub(self.max_age);
        let slot = self.slot(question);
        let seen = slot.count.load(Ordering::Acquire);
        let mut last = slot.last.lock().await;
        match &*last {
            Some(Ok(answer)) if answer.asked_at >= oldest => return Ok(Arc::clone(answer)),
            // A failure serves only those who were waiting when it came.
            Some(Err(error)) if slot.count.load(Ordering::Acquire) > seen => return Err(error.clone()),
            _ => {}
        }
        let asked_at = clock.now();
        let outcome = fetch.await.map(|value| Arc::new(Answer { value, asked_at }));
        slot.count.fetch_add(1, Ordering::Release);
        *last = Some(outcome.clone());
        outcome
    }

    fn slot(&self, question: &K) -> Arc<Slot<V>> {
        let mut slots = self.locked();
        if slots.len() >= MOST_QUESTIONS && !slots.contains_key(question) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(question.clone()).or_default())
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<K, Arc<Slot<V>>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Seconds that a test sets.
    #[derive(Debug, Default)]
    struct Hand(AtomicU64);

    #[async_trait]
    impl Clock for Hand {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }

        async fn sleep(&self, _: Duration) {}
    }

    /// A question that is counted and takes a moment; `None` fails.
    async fn fetch(asked: &AtomicUsize, value: Option<u32>) -> Result<u32, CloudError> {
        asked.fetch_add(1, Ordering::Relaxed);
        yield_now().await;
        let down = std::io::Error::from_raw_os_error(104);
        let down = CloudError::new(CloudErrorKind::Unavailable, "ask", "it", "down").caused_by(down);
        value.ok_or(down)
    }

    #[test]
    fn an_answer_serves_for_its_time_and_a_failure_only_those_who_wait() {
        let (shared, clock, asked) = (SingleFlight::new(Duration::from_secs(2)), Hand::default(), AtomicUsize::new(0));
        let get = |value| shared.get(&"q", &clock, fetch(&asked, value));
        assert_eq!(block_on(get(Some(1))).unwrap().value, 1);
        clock.0.store(2, Ordering::Relaxed);
        assert_eq!(block_on(get(Some(2))).unwrap().value, 1);
        clock.0.store(3, Ordering::Relaxed);
        assert_eq!(block_on(get(Some(3))).unwrap().value, 3);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        clock.0.store(9, Ordering::Relaxed);
        let (one, other) = block_on(futures_lite::future::zip(get(None), get(Some(4))));
        for error in [one.unwrap_err(), other.unwrap_err()] {
            let cause = error.source.as_deref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
            assert_eq!(
                cause.and_then(std::io::Error::raw_os_error),
                Some(104),
                "who waits shares the failure: {error:?}"
            );
        }
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        assert_eq!(block_on(get(Some(5))).unwrap().value, 5, "who comes later asks again");
    }

    /// A thousand callers wait for one that goes away.
    #[test]
    fn a_leader_that_goes_away_leaves_the_work_to_the_next() {
        let (shared, clock, asked) = (SingleFlight::new(Duration::from_secs(2)), Hand::default(), AtomicUsize::new(0));
        let get = |value| shared.get(&"q", &clock, fetch(&asked, value));
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
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
