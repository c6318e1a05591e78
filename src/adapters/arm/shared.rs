//! Answers that many callers share: one request serves all who ask at about the same time.
//!
//! Why it exists: a thousand claims in one instant need the SKU list, the size of a subnet and the state of their file
//! systems; asking once for each would be a thousand times the same question. A failure is shared too, so that a cloud
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
    /// Answers so far; tells a caller who waited whether one came meanwhile.
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
pub(super) struct Shared<K, V> {
    max_age: Duration,
    slots: Mutex<HashMap<K, Arc<Slot<V>>>>,
}

/// Questions that are kept at most; beyond it those that nobody waits for are dropped.
const MOST_QUESTIONS: usize = 64;

impl<K: Eq + Hash + Clone, V> Shared<K, V> {
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
            Some(Err(error)) if slot.count.load(Ordering::Acquire) > seen => return Err(copy(error)),
            _ => {}
        }
        let asked_at = clock.now();
        let outcome = fetch.await.map(|value| Arc::new(Answer { value, asked_at }));
        slot.count.fetch_add(1, Ordering::Release);
        let result = outcome.as_ref().map(Arc::clone).map_err(copy);
        *last = Some(outcome);
        result
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

/// The same failure for one more caller; the cause stays with the first, its words are in the message.
fn copy(error: &CloudError) -> CloudError {
    CloudError {
        kind: error.kind,
        operation: error.operation,
        resource: error.resource.clone(),
        message: error.message.clone(),
        hint: error.hint.clone(),
        retry_after: error.retry_after,
        source: None,
    }
}
