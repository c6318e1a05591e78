//! What is under way, by what it is about, so that a later call meets it instead of starting a second.
//!
//! Why it exists: a mount(2) that hangs cannot be cancelled. The call that began it answers at its deadline; the
//! operation stays here until the kernel lets go of it, and every later call about the same thing joins it, waits for it
//! or refuses.

use std::collections::BTreeMap;
use std::ops::Not;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::failure::Fault;
use crate::ports::mounter::MountErrorKind;

type Outcome<T> = Option<Result<T, Fault>>;

/// Operations under way by their key; `W` says what each is.
#[derive(Debug)]
pub(super) struct Operations<K, W, T>(Mutex<BTreeMap<K, Running<W, T>>>);

#[derive(Debug)]
struct Running<W, T> {
    what: W,
    started: Instant,
    done: Arc<watch::Sender<Outcome<T>>>,
}

impl<K, W, T> Default for Operations<K, W, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// What came of beginning an operation.
pub(super) enum Begun<K: Ord + Clone, W, T> {
    /// It is the caller's to do.
    Mine(Ticket<K, W, T>, Handle<T>),
    /// Another is under way.
    Other(W, Handle<T>),
}

/// The right to do an operation, or the one that is under way instead.
type BegunAs<K, W, T> = Result<Ticket<K, W, T>, (W, Handle<T>)>;

impl<K: Ord + Clone, W: Clone, T: Clone> Operations<K, W, T> {
    /// Begins an operation unless one is under way for this key.
    pub(super) fn begin(self: &Arc<Self>, key: K, what: W) -> Begun<K, W, T> {
        let (promise, handle) = promise();
        let mut running = self.running();
        match running.get(&key) {
            Some(other) => Begun::Other(other.what.clone(), Handle(other.done.subscribe())),
            None => Begun::Mine(self.enter(&mut running, key, what, &promise), handle),
        }
    }

    /// Begins an operation that somebody waits for already, or tells what is under way for this key. Nothing if nobody
    /// waits any more: whoever gave up may have done something else there since.
    pub(super) fn begin_as(self: &Arc<Self>, key: K, what: W, promise: &Promise<T>) -> Option<BegunAs<K, W, T>> {
        let mut running = self.running();
        if let Some(other) = running.get(&key) {
            return Some(Err((other.what.clone(), Handle(other.done.subscribe()))));
        }
        promise.settled.swap(true, Ordering::SeqCst).not().then(|| Ok(self.enter(&mut running, key, what, promise)))
    }

    fn enter(
        self: &Arc<Self>,
        running: &mut BTreeMap<K, Running<W, T>>,
        key: K,
        what: W,
        promise: &Promise<T>,
    ) -> Ticket<K, W, T> {
        let done = Arc::clone(&promise.done);
        running.insert(key.clone(), Running { what, started: promise.since, done: Arc::clone(&done) });
        Ticket { all: Arc::clone(self), key, done, open: true }
    }

    /// Changes what is said of an operation under way, and returns what `change` does; nothing if there is none.
    pub(super) fn change<R>(&self, key: &K, change: impl FnOnce(&mut W) -> R) -> Option<R> {
        self.running().get_mut(key).map(|running| change(&mut running.what))
    }

    /// All that is under way, and for how long.
    pub(super) fn list(&self) -> Vec<(K, W, Duration)> {
        let running = self.running();
        running.iter().map(|(key, one)| (key.clone(), one.what.clone(), one.started.elapsed())).collect()
    }
}

impl<K, W, T> Operations<K, W, T> {
    fn running(&self) -> MutexGuard<'_, BTreeMap<K, Running<W, T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right and the duty to end an operation. Dropped without an end, by a panic or because it could not be started, it
/// ends as lost.
pub(super) struct Ticket<K: Ord + Clone, W, T> {
    all: Arc<Operations<K, W, T>>,
    key: K,
    done: Arc<watch::Sender<Outcome<T>>>,
    open: bool,
}

impl<K: Ord + Clone, W, T> Ticket<K, W, T> {
    /// Ends the operation; whether anybody was waiting for it.
    pub(super) fn finish(mut self, result: Result<T, Fault>) -> bool {
        let mut running = self.all.running();
        running.remove(&self.key);
        self.open = false;
        self.tell(result)
    }

    /// Ends the operation unless what is said of it by now is against that; then the ticket comes back. Nobody can
    /// change it in between.
    pub(super) fn finish_unless(
        mut self,
        against: impl FnOnce(&W) -> bool,
        result: Result<T, Fault>,
    ) -> Result<bool, Self> {
        let all = Arc::clone(&self.all);
        let mut running = all.running();
        if running.get(&self.key).is_some_and(|one| against(&one.what)) {
            return Err(self);
        }
        running.remove(&self.key);
        self.open = false;
        Ok(self.tell(result))
    }

    /// Ends an operation that has done nothing, without a result: whoever joined it sees it as unfinished.
    pub(super) fn withdraw(mut self) {
        self.all.running().remove(&self.key);
        self.open = false;
    }

    fn tell(&self, result: Result<T, Fault>) -> bool {
        let heard = self.done.receiver_count() > 0;
        self.done.send_replace(Some(result));
        heard
    }
}

impl<K: Ord + Clone, W, T> Drop for Ticket<K, W, T> {
    fn drop(&mut self) {
        if self.open {
            self.all.running().remove(&self.key);
            let message = "the operation was lost before it ended; look at the target and try again";
            self.tell(Err(Fault::new(MountErrorKind::Stuck, "wait for", "an operation", message)));
        }
    }
}

/// The end of an operation that may begin: made before a thread looks whether it can, so that whoever waits needs not be
/// told in between.
pub(super) struct Promise<T> {
    done: Arc<watch::Sender<Outcome<T>>>,
    since: Instant,
    /// Whether it has begun, or nobody waits for it to: what comes first counts.
    settled: Arc<AtomicBool>,
}

/// Somebody who waits for an operation to begin; dropped, it begins no more.
pub(super) struct Waiter(Arc<AtomicBool>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<T> Promise<T> {
    /// One more way to wait for it.
    pub(super) fn handle(&self) -> Handle<T> {
        Handle(self.done.subscribe())
    }

    /// Whoever waits for it to begin.
    pub(super) fn waiter(&self) -> Waiter {
        Waiter(Arc::clone(&self.settled))
    }

    /// When it was made, which is when its operation counts as begun: whoever waits counts from here too.
    pub(super) fn since(&self) -> Instant {
        self.since
    }
}

/// A promise and the way to wait for it.
pub(super) fn promise<T>() -> (Promise<T>, Handle<T>) {
    let (done, handle) = watch::channel(None);
    (Promise { done: Arc::new(done), since: Instant::now(), settled: Arc::default() }, Handle(handle))
}

/// A way to wait for an operation.
pub(super) struct Handle<T>(watch::Receiver<Outcome<T>>);

impl<T: Clone> Handle<T> {
    /// The result, unless it takes longer than `limit`.
    pub(super) async fn wait(mut self, limit: Duration) -> Option<Result<T, Fault>> {
        let ended = tokio::time::timeout(limit, self.0.wait_for(Option::is_some)).await.ok()?;
        ended.ok().and_then(|outcome| outcome.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::zip;

    type Table = Operations<&'static str, u32, u32>;
    const LONG: Duration = Duration::from_mins(1);

    fn begin(table: &Arc<Table>) -> (Ticket<&'static str, u32, u32>, Handle<u32>) {
        match table.begin("target", 1) {
            Begun::Mine(ticket, handle) => (ticket, handle),
            Begun::Other(..) => panic!("nothing else is under way"),
        }
    }

    fn join(table: &Arc<Table>) -> Handle<u32> {
        match table.begin("target", 9) {
            Begun::Mine(..) => panic!("there is one already"),
            Begun::Other(_, handle) => handle,
        }
    }

    #[tokio::test]
    async fn all_who_joined_get_the_one_result() {
        let table = Arc::<Table>::default();
        let (ticket, handle) = begin(&table);
        let joined = join(&table);
        assert!(table.list()[0].1 == 1 && join(&table).wait(Duration::ZERO).await.is_none());
        assert!(ticket.finish(Ok(7)));
        assert_eq!(zip(handle.wait(LONG), joined.wait(LONG)).await, (Some(Ok(7)), Some(Ok(7))));
        assert!(table.list().is_empty());
        begin(&table);
    }

    #[tokio::test]
    async fn a_lost_operation_is_told_and_makes_room() {
        let table = Arc::<Table>::default();
        let (ticket, handle) = begin(&table);
        drop(ticket);
        assert_eq!(handle.wait(LONG).await.unwrap().unwrap_err().kind, MountErrorKind::Stuck);
        begin(&table);
    }

    #[test]
    fn what_nobody_waits_for_does_not_begin() {
        let table = Arc::<Table>::default();
        let (given_up, _handle) = promise();
        drop(given_up.waiter());
        assert!(table.begin_as("target", 1, &given_up).is_none() && table.list().is_empty());
        let (wanted, _handle) = promise();
        let waiter = wanted.waiter();
        let Some(Ok(_ticket)) = table.begin_as("target", 1, &wanted) else { panic!("it is waited for") };
        drop(waiter);
        assert_eq!(table.list().len(), 1, "what has begun goes on");
        assert!(matches!(table.begin_as("target", 1, &given_up), Some(Err((1, _)))));
    }

    #[test]
    fn a_change_is_seen_before_the_end_or_finds_nothing() {
        let table = Arc::<Table>::default();
        let (ticket, handle) = begin(&table);
        drop(handle);
        assert_eq!(table.change(&"target", |what| std::mem::replace(what, 2)), Some(1));
        let Err(ticket) = ticket.finish_unless(|what| *what == 2, Ok(0)) else { panic!("ended all the same") };
        assert!(ticket.finish_unless(|what| *what == 3, Ok(0)).is_ok_and(|heard| !heard), "nobody waits");
        assert_eq!(table.change(&"target", |what| *what), None);
    }
}
