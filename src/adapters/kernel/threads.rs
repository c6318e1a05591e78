//! Thread pool for system calls that may block for minutes.
//!
//! A call that hangs holds its thread until the kernel returns, so each piece of work has a thread to itself while it runs.
//! An idle thread waits some seconds for the next work, so that healthy mounts do not pay for new ones; the one that became
//! idle last gets it, so that the threads of a burst end. Where no further thread can be had, work waits in a queue for one
//! that becomes idle, up to a limit. tokio's blocking pool has neither that order nor a limit for the wait.

use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use tokio::sync::oneshot;

use crate::ports::mounter::{MountError, MountErrorKind};

/// Name of each thread, by which `doctor node` finds those that are blocked.
pub(super) const THREAD_NAME: &str = "mount";

/// How long a thread without work stays.
const IDLE_FOR: Duration = Duration::from_secs(3);
/// More than enough for name resolution, which needs most; only what is touched takes memory. The C library
/// keeps up to 40 MiB of stacks of ended threads with the pages that they touched, so few large ones are kept rather than
/// many small ones. Below 2 MiB, so that no stack becomes one huge page.
const STACK: usize = (2 << 20) - (64 << 10);

type Work = Box<dyn FnOnce() + Send>;

/// Why an operation waits for a thread: none is free, and no more can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoFreeThread {
    pub(super) operation: &'static str,
    /// Target path, source or volume id of the operation.
    pub(super) subject: String,
    /// How many threads there are, all of them occupied.
    pub(super) occupied: usize,
    /// Why the system refuses another; none if the driver's own bound is reached.
    pub(super) refused: Option<String>,
}

impl From<NoFreeThread> for MountError {
    fn from(error: NoFreeThread) -> Self {
        let NoFreeThread { operation, subject, occupied, refused } = error;
        let why = match refused {
            Some(why) => format!("the system refuses another ({why})"),
            None => "that is the driver's own bound".to_owned(),
        };
        let message = format!("no thread is free: {occupied} are occupied by other operations, and {why}");
        let hint = "raise the limit of processes of the driver's container (pids.max of its cgroup, podPidsLimit of \
            kubelet, ulimit -u), or find out which operations do not end (`azurelustre-csi doctor node`)";
        Self::new(MountErrorKind::NotReady, operation, subject, message).with_hint(hint)
    }
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
    /// Threads without work by number; the last one became idle last.
    idle: Vec<(u64, SyncSender<Work>)>,
    queue: VecDeque<Queued>,
    alive: usize,
    next_number: u64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("idle", &self.idle.len()).field("alive", &self.alive).finish_non_exhaustive()
    }
}

/// Work that waits for a thread.
struct Queued {
    work: Work,
    /// Notified when the work begins; closed when its caller stops waiting.
    begun: oneshot::Sender<()>,
    why: NoFreeThread,
}

impl Threads {
    pub(super) fn new(most: usize) -> Self {
        Self { most, shared: Arc::default() }
    }

    /// Begins work on a thread of its own: at once if one can be had, else when one becomes idle within `limit`. Work whose
    /// caller stops waiting before that never begins.
    pub(super) async fn run(
        &self,
        operation: &'static str,
        subject: impl Display,
        limit: Duration,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), NoFreeThread> {
        let Err((work, refused)) = self.try_run(Box::new(work)) else { return Ok(()) };
        let why = NoFreeThread { operation, subject: subject.to_string(), occupied: self.alive(), refused };
        drop(subject);
        let Some(begun) = self.shared.state().enqueue(work, &why) else { return Ok(()) };
        if matches!(tokio::time::timeout(limit, begun).await, Ok(Ok(()))) { Ok(()) } else { Err(why) }
    }

    /// Begins work if a thread can be had at once; otherwise drops it.
    pub(super) fn run_now(&self, work: impl FnOnce() + Send + 'static) {
        drop(self.try_run(Box::new(work)));
    }

    /// Why an operation on this subject waits for a thread; none if none does.
    pub(super) fn why_queued(&self, subject: &str) -> Option<NoFreeThread> {
        let state = self.shared.state();
        let queued = state.queue.iter().find(|queued| queued.why.subject == subject && !queued.begun.is_closed());
        queued.map(|queued| queued.why.clone())
    }

    /// Begins work on an idle or a new thread, or returns it with the reason why the system refuses a thread.
    fn try_run(&self, work: Work) -> Result<(), (Work, Option<String>)> {
        let mut state = self.shared.state();
        if let Some((_, thread)) = state.idle.pop() {
            // A thread that wakes while the lock is held would have to sleep again.
            drop(state);
            // It has room for one piece of work and waits for it.
            return thread.send(work).map_err(|unsent| (unsent.0, None));
        }
        if state.alive >= self.most {
            return Err((work, None));
        }
        state.alive += 1;
        drop(state);
        self.spawn(work)
    }

    fn spawn(&self, work: Work) -> Result<(), (Work, Option<String>)> {
        let shared = Arc::clone(&self.shared);
        // By a channel and not in the closure: that is lost when the system refuses the thread.
        let (sender, first) = sync_channel::<Work>(1);
        let thread = std::thread::Builder::new().name(THREAD_NAME.into()).stack_size(STACK);
        match thread.spawn(move || shared.serve(&first)) {
            Ok(_) => sender.send(work).map_err(|unsent| (unsent.0, None)),
            Err(error) => {
                tracing::warn!(%error, "no further thread can be made");
                self.shared.state().alive -= 1;
                Err((work, Some(error.to_string())))
            }
        }
    }

    /// How many threads there are now.
    pub(super) fn alive(&self) -> usize {
        self.shared.state().alive
    }
}

impl State {
    /// Queues work and returns how its caller learns that it has begun; none if a thread became idle meanwhile, which has
    /// it then. Work that no caller waits for any more is dropped.
    fn enqueue(&mut self, work: Work, why: &NoFreeThread) -> Option<oneshot::Receiver<()>> {
        if let Some((_, thread)) = self.idle.pop() {
            thread.send(work).ok();
            return None;
        }
        self.queue.retain(|queued| !queued.begun.is_closed());
        let (begun, receiver) = oneshot::channel();
        self.queue.push_back(Queued { work, begun, why: why.clone() });
        Some(receiver)
    }

    /// The next queued work that a caller still waits for.
    fn dequeue(&mut self) -> Option<Work> {
        while let Some(Queued { work, begun, .. }) = self.queue.pop_front() {
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

    /// Runs on each thread: its first work, and then further work until it has been idle for [`IDLE_FOR`].
    fn serve(&self, first: &Receiver<Work>) {
        unshare_umask();
        let mut next = first.recv().ok();
        while let Some(work) = next {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("an operation panicked; the operation is reported as lost to its caller");
            }
            next = self.next();
        }
    }

    fn next(&self) -> Option<Work> {
        let (sender, receiver) = sync_channel(1);
        let number = {
            let mut state = self.state();
            if let Some(work) = state.dequeue() {
                return Some(work);
            }
            state.next_number += 1;
            let number = state.next_number;
            state.idle.push((number, sender));
            number
        };
        if let Ok(work) = receiver.recv_timeout(IDLE_FOR) {
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
        // This thread was chosen in the same moment, and its work is on the way.
        receiver.recv().ok()
    }
}

/// Gives this thread a umask of its own, which is empty: directories get the permissions that were asked for.
fn unshare_umask() {
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

    async fn run(threads: &Threads, work: impl FnOnce() + Send + 'static) {
        threads.run("mount", "/target", LONG, work).await.unwrap();
    }

    /// Waits until so many threads are idle.
    fn wait_for_idle(threads: &Threads, count: usize) {
        while threads.shared.state().idle.len() < count {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn work_has_a_thread_to_itself_and_threads_are_used_again() {
        let (threads, (sender, receiver), (release, hold)) = (Threads::new(3), channel(), channel::<()>());
        let hold = Arc::new(Mutex::new(hold));
        for _ in 0..2 {
            let hold = Arc::clone(&hold);
            run(&threads, move || assert!(hold.lock().unwrap().recv().is_err())).await;
        }
        for number in 0..20 {
            let sender = sender.clone();
            run(&threads, move || sender.send(number).unwrap()).await;
            assert_eq!(receiver.recv().unwrap(), number);
            wait_for_idle(&threads, 1);
        }
        assert_eq!(threads.alive(), 3);
        drop(release);
    }

    #[tokio::test]
    async fn work_waits_for_a_thread_within_its_limit() {
        let (threads, (release, hold), (sender, receiver)) = (Threads::new(1), channel::<()>(), channel());
        run(&threads, move || assert!(hold.recv().is_err())).await;
        let (late, in_time) = (sender.clone(), sender);
        let error =
            threads.run("mount", "/late", Duration::ZERO, move || late.send("late").unwrap()).await.unwrap_err();
        assert_eq!((error.subject.as_str(), error.occupied, error.refused), ("/late", 1, None));
        let waiting = run(&threads, move || in_time.send("in time").unwrap());
        let release = async {
            assert!(threads.why_queued("/target").is_some() && threads.why_queued("/late").is_none());
            drop(release);
        };
        futures_lite::future::zip(waiting, release).await;
        assert_eq!(receiver.iter().collect::<Vec<_>>(), ["in time"], "work whose caller stopped waiting never begins");
        assert_eq!(threads.why_queued("/target"), None);
        assert_eq!(threads.alive(), 1);
    }

    #[tokio::test]
    async fn the_thread_that_became_idle_last_is_used_first() {
        let (threads, (sender, receiver)) = (Threads::new(4), channel());
        let (release, hold) = channel::<()>();
        let hold = Arc::new(Mutex::new(hold));
        for _ in 0..4 {
            let hold = Arc::clone(&hold);
            run(&threads, move || assert!(hold.lock().unwrap().recv().is_err())).await;
        }
        drop(release);
        wait_for_idle(&threads, 4);
        let mut used = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let sender = sender.clone();
            run(&threads, move || sender.send(format!("{:?}", std::thread::current().id())).unwrap()).await;
            used.insert(receiver.recv().unwrap());
            wait_for_idle(&threads, 4);
        }
        assert_eq!(used.len(), 1, "the others can end");
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_the_thread() {
        let (threads, (sender, receiver)) = (Threads::new(1), channel());
        run(&threads, || panic!("on purpose")).await;
        wait_for_idle(&threads, 1);
        run(&threads, move || sender.send(()).unwrap()).await;
        receiver.recv().unwrap();
    }

    #[tokio::test]
    async fn the_umask_of_other_threads_stays() {
        let shown = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap().trim().to_owned()
        };
        let (threads, (sender, receiver), before) = (Threads::new(1), channel(), shown());
        run(&threads, move || sender.send(shown()).unwrap()).await;
        assert_eq!((receiver.recv().unwrap().as_str(), shown()), ("0000", before));
    }
}
