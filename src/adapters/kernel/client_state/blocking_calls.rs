//! Blocking calls with a time limit, each on a thread of its own; the number of threads is bounded.
//!
//! A read of an `import` file waits for a lock that Lustre holds while it waits for a server, and such a read cannot be
//! cancelled. The caller gets the results that arrive within the limit; the thread ends when its system call returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Threads of one [`BlockingCalls`] that may be blocked at a time.
const THREADS: usize = 4;

/// Why a call that ended has no result.
pub(super) const PANICKED: &str = "the thread of the call panicked";

/// Time limit of one call by default.
const DEFAULT_LIMIT: Duration = Duration::from_secs(2);

/// Runs calls that may block, for at most [`BlockingCalls::limit`] each. Clones share their threads: while four calls are
/// blocked, further ones fail at once.
#[derive(Debug, Clone)]
pub struct BlockingCalls {
    limit: Duration,
    busy: Arc<AtomicUsize>,
}

impl Default for BlockingCalls {
    /// A limit of 2 seconds.
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

/// One of the threads; its drop frees it.
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl BlockingCalls {
    /// Calls of at most `limit` each.
    pub fn new(limit: Duration) -> Self {
        Self { limit, busy: Arc::default() }
    }

    /// Longest time that a caller waits.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The result of `call`, or why there is none within the limit.
    pub(in crate::adapters::kernel) fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let (mut results, incomplete) = self.stream(move |results| drop(results.send(call())));
        results.pop().ok_or_else(|| incomplete.unwrap_or_else(|| PANICKED.to_owned()))
    }

    /// All results that `call` sends within the limit, in order, and why they are incomplete, if they are. `call` should
    /// return when a send fails: its caller has stopped receiving.
    pub(in crate::adapters::kernel) fn stream<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Sender<T>) + Send + 'static,
    ) -> (Vec<T>, Option<String>) {
        let Some(slot) = self.slot() else {
            return (Vec::new(), Some(format!("{THREADS} earlier calls are still blocked in the kernel")));
        };
        let (sender, results) = mpsc::channel();
        let run = move || {
            let _slot = slot;
            call(&sender);
        };
        if let Err(error) = std::thread::Builder::new().name("client-state".to_owned()).spawn(run) {
            return (Vec::new(), Some(format!("no thread could be started: {error}")));
        }
        let (deadline, mut received) = (Instant::now() + self.limit, Vec::new());
        loop {
            match results.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(item) => received.push(item),
                Err(RecvTimeoutError::Disconnected) => return (received, None),
                Err(RecvTimeoutError::Timeout) => {
                    return (received, Some(format!("the kernel did not answer within {:?}", self.limit)));
                }
            }
        }
    }

    fn slot(&self) -> Option<Slot> {
        let one_more = |busy| (busy < THREADS).then_some(busy + 1);
        self.busy.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Slot(Arc::clone(&self.busy)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    fn block(until: Receiver<()>) -> impl FnOnce(&Sender<u8>) + Send + 'static {
        move |results| {
            results.send(1).unwrap();
            let _ = until.recv();
            let _ = results.send(2);
        }
    }

    #[test]
    fn all_results_arrive_in_order() {
        let calls = BlockingCalls::new(LONG);
        let send = |results: &Sender<u8>| (1..=3).for_each(|item| results.send(item).unwrap());
        assert_eq!(calls.stream(send), (vec![1, 2, 3], None));
        assert_eq!(calls.run(|| 7), Ok(7));
    }

    #[test]
    fn a_blocked_call_is_abandoned_and_its_results_are_kept() {
        let (release, until) = channel();
        let (received, incomplete) = BlockingCalls::new(SHORT).stream(block(until));
        let why = "the kernel did not answer within 20ms".to_owned();
        assert_eq!((received, incomplete), (vec![1], Some(why)));
        drop(release);
    }

    #[test]
    fn at_most_four_threads_are_blocked_and_released_ones_are_free_again() {
        let calls = BlockingCalls::new(SHORT);
        let longer = BlockingCalls { limit: LONG, ..calls.clone() };
        let mut held = Vec::new();
        for _ in 0..THREADS {
            let (release, until) = channel();
            calls.stream(block(until));
            held.push(release);
        }
        let refused = longer.run(|| 1).unwrap_err();
        assert!(refused.contains("still blocked"), "{refused}");
        held.clear();
        let started = Instant::now();
        while longer.run(|| 1).is_err() {
            assert!(started.elapsed() < LONG, "a released thread frees its slot");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_call_that_panics_is_reported() {
        let panicked = BlockingCalls::new(LONG).run(|| -> u8 { panic!("for the test") });
        assert_eq!(panicked, Err(PANICKED.to_owned()));
    }
}
