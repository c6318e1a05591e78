//! Reads that the kernel may block, each on a thread of its own, with a time limit and a bounded number of threads.
//!
//! An `import` file waits for a lock that Lustre holds while it waits for a server, and such a read cannot be cancelled.
//! Its caller takes what was read within the limit; the thread ends when the kernel lets go of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Threads of one [`BoundedReads`] that may be blocked at a time.
const THREADS: usize = 4;

/// How long one read may take before its caller goes on without it.
const DEFAULT_LIMIT: Duration = Duration::from_secs(2);

/// Runs reads for at most [`BoundedReads::limit`] each. Clones share their threads: while four reads are blocked, further
/// ones fail at once.
#[derive(Debug, Clone)]
pub struct BoundedReads {
    limit: Duration,
    busy: Arc<AtomicUsize>,
}

impl Default for BoundedReads {
    /// At most 2 seconds.
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

/// One of the threads, free again when this is dropped.
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl BoundedReads {
    /// Reads of at most `limit`.
    pub fn new(limit: Duration) -> Self {
        Self { limit, busy: Arc::default() }
    }

    /// Longest time that a caller waits.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The result of `read`, or why there is none within the limit.
    pub(in crate::adapters::kernel) fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let (mut results, incomplete) = self.collect(move |results| drop(results.send(read())));
        results.pop().ok_or_else(|| incomplete.unwrap_or_else(|| "the thread that read panicked".to_owned()))
    }

    /// Everything that `read` sends within the limit, in order, and why that is not all, if it is not. `read` should
    /// return when a send fails: nobody receives any more.
    pub(in crate::adapters::kernel) fn collect<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Sender<T>) + Send + 'static,
    ) -> (Vec<T>, Option<String>) {
        let Some(slot) = self.slot() else {
            return (Vec::new(), Some(format!("{THREADS} earlier reads are still blocked in the kernel")));
        };
        let (sender, results) = mpsc::channel();
        let run = move || {
            let _slot = slot;
            read(&sender);
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
    fn everything_that_is_sent_arrives_in_order() {
        let reads = BoundedReads::new(LONG);
        let send = |results: &Sender<u8>| (1..=3).for_each(|item| results.send(item).unwrap());
        assert_eq!(reads.collect(send), (vec![1, 2, 3], None));
        assert_eq!(reads.run(|| 7), Ok(7));
    }

    #[test]
    fn a_blocked_read_is_left_with_what_it_sent() {
        let (release, until) = channel();
        let (received, incomplete) = BoundedReads::new(SHORT).collect(block(until));
        let why = "the kernel did not answer within 20ms".to_owned();
        assert_eq!((received, incomplete), (vec![1], Some(why)));
        drop(release);
    }

    #[test]
    fn at_most_four_threads_are_blocked_and_released_ones_are_free_again() {
        let reads = BoundedReads::new(SHORT);
        let patient = BoundedReads { limit: LONG, ..reads.clone() };
        let mut held = Vec::new();
        for _ in 0..THREADS {
            let (release, until) = channel();
            reads.collect(block(until));
            held.push(release);
        }
        let refused = patient.run(|| 1).unwrap_err();
        assert!(refused.contains("still blocked"), "{refused}");
        held.clear();
        let started = Instant::now();
        while patient.run(|| 1).is_err() {
            assert!(started.elapsed() < LONG, "a released thread frees its slot");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_read_that_panics_is_reported() {
        let panicked = BoundedReads::new(LONG).run(|| -> u8 { panic!("as a test") });
        assert_eq!(panicked, Err("the thread that read panicked".to_owned()));
    }
}
