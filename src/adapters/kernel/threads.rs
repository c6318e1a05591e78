//! Threads for calls that may block for minutes.
//!
//! A call that hangs holds its thread until the kernel returns, and the runtime's threads are shared by all. Here each
//! piece of work has a thread to itself while it runs. An idle thread waits some seconds for the next work, so that
//! healthy mounts do not pay for new ones; the one that became idle last gets it, so that the threads of a burst end. Where
//! no further thread can be had, work waits for one that becomes idle, up to a limit.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use tokio::sync::oneshot;

/// Name of each thread, by which `doctor node` finds those that are blocked.
pub(super) const THREAD_NAME: &str = "mount";

/// How long a thread without work stays.
const IDLE_FOR: Duration = Duration::from_secs(3);
/// More than enough for name resolution, the hungriest of what runs here; only what is touched takes memory. The C library
/// keeps up to 40 MiB of stacks of ended threads with the pages that they touched, so few large ones are kept rather than
/// many small ones. Below 2 MiB, so that no stack becomes one huge page.
const STACK: usize = (2 << 20) - (64 << 10);

type Work = Box<dyn FnOnce() + Send>;

/// No thread is free and no more can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoThread {
    /// How many there are, all of them occupied.
    pub(super) occupied: usize,
    /// Why the system refuses another; none if the driver's own bound is reached.
    pub(super) refused: Option<String>,
}

/// A bounded set of threads.
#[derive(Debug)]
pub(super) struct Threads {
    most: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    /// Threads without work, the last one became idle last.
    idle: Vec<(u64, SyncSender<Work>)>,
    /// Work that waits for a thread, and how its caller learns that it has one.
    waiting: VecDeque<(Work, oneshot::Sender<()>)>,
    alive: usize,
    numbers: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("idle", &self.idle.len()).field("alive", &self.alive).finish_non_exhaustive()
    }
}

impl Threads {
    pub(super) fn new(most: usize) -> Self {
        Self { most, shared: Arc::default() }
    }

    /// Begins work on a thread of its own: at once if one can be had, else when one becomes idle within `limit`. Work whose
    /// caller stops waiting before that never begins.
    #[cfg(test)]
    pub(super) async fn run(&self, work: impl FnOnce() + Send + 'static, limit: Duration) -> Result<(), NoThread> {
        match self.run_or_queue(work) {
            None => Ok(()),
            Some(queued) => queued.begun(limit).await,
        }
    }

    /// Begins work on a thread of its own at once, or queues it.
    pub(super) fn run_or_queue(&self, work: impl FnOnce() + Send + 'static) -> Option<Queued> {
        let (begun, refused) = self.begin(Box::new(work))?;
        Some(Queued { begun, why: NoThread { occupied: self.alive(), refused } })
    }

    /// Begins work without waiting; it is dropped if no thread can be had at once.
    pub(super) fn run_now(&self, work: impl FnOnce() + Send + 'static) {
        drop(self.begin(Box::new(work)));
        self.shared.state().forget_abandoned();
    }

    /// Begins work, or lets it wait: then returns how to learn of its beginning, and why the system refuses a thread.
    fn begin(&self, work: Work) -> Option<(oneshot::Receiver<()>, Option<String>)> {
        let mut state = self.shared.state();
        if let Some((_, thread)) = state.idle.pop() {
            // A thread that wakes while the lock is held would have to sleep again.
            drop(state);
            // It has room for one piece of work and waits for it.
            thread.send(work).ok();
            return None;
        }
        if state.alive >= self.most {
            return Some((state.enqueue(work), None));
        }
        state.alive += 1;
        drop(state);
        self.spawn(work)
    }

    fn spawn(&self, work: Work) -> Option<(oneshot::Receiver<()>, Option<String>)> {
        let shared = Arc::clone(&self.shared);
        // By a channel and not in the closure: that is lost when the system refuses the thread.
        let (give, first) = sync_channel::<Work>(1);
        let thread = std::thread::Builder::new().name(THREAD_NAME.to_owned()).stack_size(STACK);
        match thread.spawn(move || shared.serve(&first)) {
            Ok(_) => {
                give.send(work).ok();
                None
            }
            Err(error) => {
                tracing::warn!(%error, "no further thread can be made");
                let mut state = self.shared.state();
                state.alive -= 1;
                if let Some((_, thread)) = state.idle.pop() {
                    thread.send(work).ok();
                    return None;
                }
                Some((state.enqueue(work), Some(error.to_string())))
            }
        }
    }

    /// How many threads there are now.
    pub(super) fn alive(&self) -> usize {
        self.shared.state().alive
    }
}

/// Work that waits for a thread. Dropped, it never begins.
#[derive(Debug)]
pub(super) struct Queued {
    begun: oneshot::Receiver<()>,
    /// Why it waits.
    pub(super) why: NoThread,
}

impl Queued {
    /// Waits up to `limit` until the work begins.
    pub(super) async fn begun(self, limit: Duration) -> Result<(), NoThread> {
        let Self { begun, why } = self;
        if matches!(tokio::time::timeout(limit, begun).await, Ok(Ok(()))) { Ok(()) } else { Err(why) }
    }
}

impl State {
    /// Drops work that nobody waits for any more.
    fn forget_abandoned(&mut self) {
        self.waiting.retain(|(_, begun)| !begun.is_closed());
    }

    fn enqueue(&mut self, work: Work) -> oneshot::Receiver<()> {
        self.forget_abandoned();
        let (begun, receiver) = oneshot::channel();
        self.waiting.push_back((work, begun));
        receiver
    }

    /// The next work that waits; what nobody waits for any more is dropped.
    fn dequeue(&mut self) -> Option<Work> {
        while let Some((work, begun)) = self.waiting.pop_front() {
            if begun.send(()).is_ok() {
                return Some(work);
            }
        }
        None
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread: its first work, and then whatever comes before it has been idle for long.
    fn serve(&self, first: &Receiver<Work>) {
        own_umask();
        let mut next = first.recv().ok();
        while let Some(work) = next {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("an operation panicked; the operation is reported as lost to its caller");
            }
            next = self.next();
        }
    }

    fn next(&self) -> Option<Work> {
        let (give, take) = sync_channel(1);
        let number = {
            let mut state = self.state();
            if let Some(work) = state.dequeue() {
                return Some(work);
            }
            state.numbers += 1;
            let number = state.numbers;
            state.idle.push((number, give));
            number
        };
        if let Ok(work) = take.recv_timeout(IDLE_FOR) {
            return Some(work);
        }
        let mut state = self.state();
        let before = state.idle.len();
        state.idle.retain(|(other, _)| *other != number);
        if state.idle.len() < before {
            state.alive -= 1;
            return None;
        }
        drop(state);
        // Somebody took this thread in the same moment, and hands over its work now.
        take.recv().ok()
    }
}

/// A umask of this thread alone: directories get the permissions that were asked for.
fn own_umask() {
    match unshare(CloneFlags::CLONE_FS) {
        Ok(()) => drop(umask(Mode::empty())),
        Err(error) => tracing::warn!(%error, "sub-directories get fewer permissions: the umask cannot be changed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const LONG: Duration = Duration::from_mins(1);

    fn wait_for_idle(threads: &Threads) {
        while threads.shared.state().idle.is_empty() {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn work_has_a_thread_to_itself_and_threads_are_used_again() {
        let (threads, (sender, receiver), (release, hold)) = (Threads::new(3), channel(), channel::<()>());
        let hold = Arc::new(Mutex::new(hold));
        for _ in 0..2 {
            let hold = Arc::clone(&hold);
            threads.run(move || assert!(hold.lock().unwrap().recv().is_err()), LONG).await.unwrap();
        }
        for number in 0..20 {
            let sender = sender.clone();
            threads.run(move || sender.send(number).unwrap(), LONG).await.unwrap();
            assert_eq!(receiver.recv().unwrap(), number);
            wait_for_idle(&threads);
        }
        assert_eq!(threads.alive(), 3);
        drop(release);
    }

    #[tokio::test]
    async fn work_waits_for_a_thread_within_its_limit() {
        let (threads, (release, hold), (sender, receiver)) = (Threads::new(1), channel::<()>(), channel());
        threads.run(move || assert!(hold.recv().is_err()), LONG).await.unwrap();
        let (given_up, waits) = (sender.clone(), sender);
        let none = threads.run(move || given_up.send("given up").unwrap(), Duration::ZERO).await;
        assert_eq!(none, Err(NoThread { occupied: 1, refused: None }));
        let waiting = threads.run(move || waits.send("waited").unwrap(), LONG);
        let (begun, ()) = futures_lite::future::zip(waiting, async { drop(release) }).await;
        begun.unwrap();
        assert_eq!(receiver.iter().collect::<Vec<_>>(), ["waited"], "what was given up never begins");
        assert_eq!(threads.alive(), 1);
    }

    #[tokio::test]
    async fn the_thread_that_became_idle_last_is_used_first() {
        let (threads, (sender, receiver)) = (Threads::new(4), channel());
        let (release, hold) = channel::<()>();
        let hold = Arc::new(Mutex::new(hold));
        for _ in 0..4 {
            let hold = Arc::clone(&hold);
            threads.run(move || assert!(hold.lock().unwrap().recv().is_err()), LONG).await.unwrap();
        }
        drop(release);
        while threads.shared.state().idle.len() < 4 {
            std::thread::yield_now();
        }
        let mut used = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let sender = sender.clone();
            threads
                .run(move || sender.send(format!("{:?}", std::thread::current().id())).unwrap(), LONG)
                .await
                .unwrap();
            used.insert(receiver.recv().unwrap());
            while threads.shared.state().idle.len() < 4 {
                std::thread::yield_now();
            }
        }
        assert_eq!(used.len(), 1, "the others can end");
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_the_thread() {
        let (threads, (sender, receiver)) = (Threads::new(1), channel());
        threads.run(|| panic!("on purpose"), LONG).await.unwrap();
        wait_for_idle(&threads);
        threads.run(move || sender.send(()).unwrap(), LONG).await.unwrap();
        receiver.recv().unwrap();
    }

    #[tokio::test]
    async fn the_umask_of_other_threads_stays() {
        let shown = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap().trim().to_owned()
        };
        let (threads, (sender, receiver), before) = (Threads::new(1), channel(), shown());
        threads.run(move || sender.send(shown()).unwrap(), LONG).await.unwrap();
        assert_eq!((receiver.recv().unwrap().as_str(), shown()), ("0000", before));
    }
}
