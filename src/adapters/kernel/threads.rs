//! Threads for calls that may block for minutes.
//!
//! Why not the runtime's: a call that hangs holds its thread until the kernel lets go, and the runtime's threads are
//! shared by all. Here each piece of work has a thread to itself while it runs; a thread that is done waits a while for
//! the next, so that healthy mounts do not pay for new ones. Nothing is ever queued behind what hangs.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};

/// How long a thread without work stays.
const IDLE_FOR: Duration = Duration::from_secs(10);
/// Enough for name resolution, the hungriest of what runs here.
const STACK: usize = 512 << 10;

type Work = Box<dyn FnOnce() + Send>;

/// No thread is free and no more may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoThread;

/// A bounded set of threads.
#[derive(Debug)]
pub(super) struct Threads {
    most: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Never more than there are idle threads.
    waiting: VecDeque<Work>,
    idle: usize,
    alive: usize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("idle", &self.idle).field("alive", &self.alive).finish_non_exhaustive()
    }
}

impl Threads {
    pub(super) fn new(most: usize) -> Self {
        Self { most, shared: Arc::default() }
    }

    /// Begins work at once on a thread of its own.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) -> Result<(), NoThread> {
        let mut state = self.shared.state();
        if state.idle > state.waiting.len() {
            state.waiting.push_back(Box::new(work));
            // A thread that wakes while the lock is held would have to sleep again.
            drop(state);
            self.shared.wake.notify_one();
            return Ok(());
        }
        if state.alive >= self.most {
            return Err(NoThread);
        }
        state.alive += 1;
        drop(state);
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(super::doctor::threads::THREAD.into()).stack_size(STACK);
        thread.spawn(move || shared.serve(Box::new(work))).map(drop).map_err(|error| {
            tracing::error!(%error, "no thread can be made");
            self.shared.state().alive -= 1;
            NoThread
        })
    }

    /// How many threads there are now.
    pub(super) fn alive(&self) -> usize {
        self.shared.state().alive
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, first: Work) {
        own_umask();
        let mut next = Some(first);
        while let Some(work) = next {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("an operation panicked; its caller is told that it was lost");
            }
            next = self.wait();
        }
    }

    fn wait(&self) -> Option<Work> {
        let mut state = self.state();
        state.idle += 1;
        let idle = |state: &mut State| state.waiting.is_empty();
        state = self.wake.wait_timeout_while(state, IDLE_FOR, idle).unwrap_or_else(PoisonError::into_inner).0;
        state.idle -= 1;
        let work = state.waiting.pop_front();
        if work.is_none() {
            state.alive -= 1;
        }
        work
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

    #[test]
    fn work_never_waits_for_other_work_and_threads_are_used_again() {
        let (threads, (told, hear), (release, hold)) = (Threads::new(3), channel(), channel::<()>());
        let hold = Arc::new(Mutex::new(hold));
        for _ in 0..2 {
            let hold = Arc::clone(&hold);
            threads.run(move || assert!(hold.lock().unwrap().recv().is_err())).unwrap();
        }
        for number in 0..20 {
            let told = told.clone();
            threads.run(move || told.send(number).unwrap()).unwrap();
            assert_eq!(hear.recv().unwrap(), number);
            while threads.shared.state().idle == 0 {
                std::thread::yield_now();
            }
        }
        assert_eq!(threads.alive(), 3);
        drop(release);
    }

    #[test]
    fn there_are_no_more_threads_than_allowed() {
        let (threads, (release, hold)) = (Threads::new(1), channel::<()>());
        threads.run(move || assert!(hold.recv().is_err())).unwrap();
        assert_eq!(threads.run(|| {}), Err(NoThread));
        drop(release);
        while threads.shared.state().idle == 0 {
            std::thread::yield_now();
        }
        threads.run(|| {}).unwrap();
    }

    #[test]
    fn a_panic_ends_the_work_and_not_the_thread() {
        let (threads, (told, hear)) = (Threads::new(1), channel());
        threads.run(|| panic!("on purpose")).unwrap();
        while threads.shared.state().idle == 0 {
            std::thread::yield_now();
        }
        threads.run(move || told.send(()).unwrap()).unwrap();
        hear.recv().unwrap();
    }

    #[test]
    fn the_umask_of_other_threads_stays() {
        let shown = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap().trim().to_owned()
        };
        let (threads, (told, hear), before) = (Threads::new(1), channel(), shown());
        threads.run(move || told.send(shown()).unwrap()).unwrap();
        assert_eq!((hear.recv().unwrap().as_str(), shown()), ("0000", before));
    }
}
