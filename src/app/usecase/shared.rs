//! Futures that several callers share, and the first of two futures to end.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::Poll;

use async_once_cell::Lazy;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Work that several callers wait for. One of them runs it, and when that one leaves another continues it, so it needs no
/// runtime. It is dropped with the last clone.
pub(super) struct Shared<T>(Arc<Lazy<T, BoxFuture<T>>>);

/// Finds the work for as long as any caller holds it.
pub(super) struct WeakShared<T>(Weak<Lazy<T, BoxFuture<T>>>);

impl<T: Clone + Send + Sync> Shared<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Arc::new(Lazy::new(Box::pin(work))))
    }

    /// Runs the work to its end, or waits while another caller does. Dropping this future leaves the work to the others.
    pub(super) async fn outcome(&self) -> T {
        self.0.get_unpin().await.clone()
    }

    pub(super) fn downgrade(&self) -> WeakShared<T> {
        WeakShared(Arc::downgrade(&self.0))
    }
}

impl<T> WeakShared<T> {
    /// The work, unless no caller holds it any more.
    pub(super) fn upgrade(&self) -> Option<Shared<T>> {
        self.0.upgrade().map(Shared)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The output of whichever ends first; `one` where both are ready. The other is dropped.
pub(super) async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Pending => other.as_mut().poll(context),
        ready @ Poll::Ready(_) => ready,
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_lite::future::{block_on, poll_once, yield_now};

    use super::*;

    #[test]
    fn work_runs_once_and_its_outcome_is_for_all_who_wait() {
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let work = Shared::new(async move {
            yield_now().await;
            counted.fetch_add(1, Ordering::Relaxed)
        });
        let other = work.clone();
        let (one, two) = block_on(futures_lite::future::zip(work.outcome(), other.outcome()));
        assert_eq!((one, two, block_on(work.outcome()), runs.load(Ordering::Relaxed)), (0, 0, 0, 1));
    }

    #[test]
    fn when_the_caller_that_runs_it_leaves_another_continues_and_the_last_one_ends_it() {
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let work = Shared::new(async move {
            yield_now().await;
            yield_now().await;
            Arc::strong_count(&held)
        });
        let (weak, second) = (work.downgrade(), work.clone());
        block_on(async {
            assert_eq!(poll_once(work.outcome()).await, None, "the first caller begins it and leaves");
        });
        drop(work);
        assert_eq!(block_on(second.outcome()), 2);
        let unfinished = Shared::new(async move { pending::<u32>().await });
        let found = unfinished.downgrade();
        assert!(found.upgrade().is_some());
        drop((unfinished, second));
        assert!(found.upgrade().is_none() && weak.upgrade().is_none());
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn the_first_of_two_futures_ends_the_wait() {
        assert_eq!(block_on(first(ready(1), ready(2))), 1);
        assert_eq!(block_on(first(pending(), ready(2))), 2);
        assert_eq!(block_on(first(ready(1), pending())), 1);
    }
}
