//! Work that may block for ever, on threads of its own.
//!
//! Why it exists: a file that describes a connection waits for that connection's lock, which the kernel may hold while it
//! waits for a server that is gone. Such a read cannot be cancelled. So it gets a thread, its caller waits no longer than a
//! limit and takes what was read by then, and there are never more than a few such threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::Instant;

/// Threads that may be blocked at a time.
const THREADS: usize = 4;

/// How a piece of work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It came to its end.
    Whole,
    /// It did not, for this reason; what it told before that is good.
    Early(String),
}

/// Where blocking work is done.
#[derive(Debug)]
pub(super) struct Aside {
    free: Arc<Semaphore>,
}

impl Default for Aside {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(THREADS)) }
    }
}

/// Takes what the work tells, one piece at a time. `false`: nobody listens any more, so the work had better stop.
#[derive(Debug)]
pub(super) struct Teller<T>(UnboundedSender<T>);

impl<T> Teller<T> {
    pub(super) fn tell(&self, piece: T) -> bool {
        self.0.send(piece).is_ok()
    }
}

impl Aside {
    /// All that `work` tells within `limit`, in order. Must be called on a tokio runtime with a timer.
    pub(super) async fn collect<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Teller<T>) + Send + 'static,
    ) -> (Vec<T>, Ended) {
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            return (Vec::new(), Ended::Early(format!("{THREADS} earlier looks are still blocked in the kernel")));
        };
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let run = move || {
            let _permit = permit;
            work(&Teller(sender));
        };
        if let Err(error) = std::thread::Builder::new().name("lustre-facts".to_owned()).spawn(run) {
            return (Vec::new(), Ended::Early(format!("no thread could be started: {error}")));
        }
        let (deadline, mut told) = (Instant::now() + limit, Vec::new());
        loop {
            match tokio::time::timeout_at(deadline, receiver.recv()).await {
                Ok(Some(piece)) => told.push(piece),
                Ok(None) => return (told, Ended::Whole),
                Err(_) => return (told, Ended::Early(format!("the kernel did not answer within {limit:?}"))),
            }
        }
    }

    /// The one thing that `work` makes, or why it did not within `limit`.
    pub(super) async fn one<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let (mut told, ended) = self.collect(limit, move |teller| _ = teller.tell(work())).await;
        told.pop().ok_or_else(|| match ended {
            Ended::Whole => "the thread that looked died".to_owned(),
            Ended::Early(why) => why,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    fn block(until: Receiver<()>) -> impl FnOnce(&Teller<u8>) + Send + 'static {
        move |teller| {
            teller.tell(1);
            let _ = until.recv();
            teller.tell(2);
        }
    }

    #[tokio::test]
    async fn all_that_is_told_arrives_in_order() {
        let aside = Aside::default();
        let work = |teller: &Teller<u8>| (1..=3).for_each(|piece| _ = teller.tell(piece));
        assert_eq!(aside.collect(LONG, work).await, (vec![1, 2, 3], Ended::Whole));
        assert_eq!(aside.one(LONG, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn work_that_blocks_is_left_with_what_it_told() {
        let (release, until) = channel();
        let (told, ended) = Aside::default().collect(SHORT, block(until)).await;
        assert_eq!((told, ended), (vec![1], Ended::Early("the kernel did not answer within 20ms".to_owned())));
        drop(release);
    }

    #[tokio::test]
    async fn blocked_threads_are_few_and_free_again_when_released() {
        let aside = Aside::default();
        let mut held = Vec::new();
        for _ in 0..THREADS {
            let (release, until) = channel();
            aside.collect(SHORT, block(until)).await;
            held.push(release);
        }
        let refused = aside.one(LONG, || 1).await.unwrap_err();
        assert!(refused.contains("still blocked"), "{refused}");
        held.clear();
        let started = Instant::now();
        while aside.one(LONG, || 1).await.is_err() {
            assert!(started.elapsed() < LONG, "a released thread frees its place");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn work_that_dies_is_told() {
        let died = Aside::default().one(LONG, || -> u8 { panic!("as a test") }).await;
        assert_eq!(died, Err("the thread that looked died".to_owned()));
    }
}
