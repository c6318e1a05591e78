//! The registry of operations in progress: who does what where since when; one per target, one statfs per path.
//!
//! A mount(2) that hangs cannot be cancelled. The call that began it answers at its deadline; the operation stays here
//! until the kernel returns, and a later call about the same thing meets it: it waits for the same end, or refuses. How an
//! operation failed that nobody was waiting for any more is kept for the next call with the same plan, which then gets the
//! reason instead of another attempt that takes as long.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::client_state::servers::ServerState;
use crate::domain::mount::MountPlan;
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind, MountOutcome, Usage};
use crate::ports::operations::OperationKind;

/// How long the failure of a mount that nobody waited for says something about the present.
const KEPT_FOR: Duration = Duration::from_mins(2);

/// What an operation is about; two of one key exclude each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A target, by its canonical path.
    Target(PathBuf),
    /// A mounted path that statfs(2) is asked about.
    Statfs(PathBuf),
    /// A source whose sub-directory is made.
    SubDir(String),
}

/// What an operation does.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// A mount. One that is abandoned unmounts itself when it succeeds in the end.
    Mount { plan: Arc<MountPlan>, abandoned: bool },
    /// An unmount: the source of the mount, and what was known of its servers before umount2(2) began.
    Unmount { source: Option<String>, before: ServerState },
    /// Making a sub-directory.
    MakeSubDir(Arc<MountSource>),
    /// statfs(2).
    Statfs,
}

impl What {
    pub(super) fn is_mount(&self) -> bool {
        matches!(self, Self::Mount { .. })
    }

    pub(super) fn kind(&self) -> OperationKind {
        match self {
            Self::Mount { .. } => OperationKind::Mount,
            Self::Unmount { .. } => OperationKind::Unmount,
            Self::MakeSubDir(_) => OperationKind::MakeSubDir,
            Self::Statfs => OperationKind::Statfs,
        }
    }
}

/// What an operation that did not fail has to say.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Nothing but that it is done.
    Done,
    /// How a mount ended.
    Mount(Attempt),
    /// What statfs(2) said; none where no volume is mounted.
    Usage(Option<Usage>),
}

/// How a mount ended that did not fail.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) outcome: MountOutcome,
    /// Canonical path and number of the uppermost mount that was found there, if it is of the driver's type.
    pub(super) found: Option<(PathBuf, u64)>,
}

pub(super) type Reply = Result<Answer, MountError>;

/// What a call that wanted to begin an operation hears.
#[derive(Debug, Clone)]
pub(super) enum Signal {
    /// The operation has ended.
    Ended(Reply),
    /// It has not begun: another one with the same key is in progress.
    Met(Met),
    /// It has changed nothing, since it needs a permit of its MGS.
    NeedsPermit,
}

/// The operation in progress that a call met.
#[derive(Debug, Clone)]
pub(super) struct Met {
    pub(super) key: Key,
    pub(super) what: What,
    pub(super) since: Instant,
    pub(super) waiter: Waiter,
}

/// The beginning of an operation, handed to the thread that is to do it. Dropped unused, its caller hears that it is lost.
#[derive(Debug)]
pub(super) struct Start {
    signal: Arc<watch::Sender<Option<Signal>>>,
    since: Instant,
}

impl Start {
    /// Ends what needs no entry in the registry.
    pub(super) fn end(self, reply: Reply) {
        self.signal.send_replace(Some(Signal::Ended(reply)));
    }
}

/// A way to wait for the end of an operation. While an operation has not begun, dropping its last waiter keeps it from
/// beginning: whoever gave up may have done something else there since.
#[derive(Debug, Clone)]
pub(super) struct Waiter(watch::Receiver<Option<Signal>>);

impl Waiter {
    /// The signal, unless it takes longer than `limit`.
    pub(super) async fn wait(&mut self, limit: Duration) -> Option<Signal> {
        match tokio::time::timeout(limit, self.0.wait_for(Option::is_some)).await.ok()? {
            Ok(signal) => signal.clone(),
            Err(_) => Some(Signal::Ended(Err(lost()))),
        }
    }
}

/// A beginning and the way to wait for what comes of it.
pub(super) fn start() -> (Start, Waiter) {
    let (signal, waiter) = watch::channel(None);
    (Start { signal: Arc::new(signal), since: Instant::now() }, Waiter(waiter))
}

fn lost() -> MountError {
    let message = "the operation was lost before it ended; what is at the target is not known";
    MountError::new(MountErrorKind::Unknown, "wait for", "an operation", message)
}

/// An operation that has not ended.
#[derive(Debug)]
struct Running {
    what: What,
    since: Instant,
    signal: Arc<watch::Sender<Option<Signal>>>,
}

/// Operations in progress by their keys, and late failures of mounts by their targets.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<Key, Running>,
    late: BTreeMap<PathBuf, (Instant, Arc<MountPlan>, MountError)>,
}

impl Registry {
    /// Begins an operation. `None` if it may not begin, which its caller has then heard: another one is in progress, the
    /// same plan has failed meanwhile, or nobody waits for it any more.
    pub(super) fn begin(self: &Arc<Self>, key: Key, what: What, start: Start) -> Option<Ticket> {
        let mut state = self.state();
        if let Some(other) = state.running.get(&key) {
            let waiter = Waiter(other.signal.subscribe());
            let met = Met { key, what: other.what.clone(), since: other.since, waiter };
            start.signal.send_replace(Some(Signal::Met(met)));
            return None;
        }
        if let Some(fault) = state.late_failure(&key, &what) {
            start.end(Err(fault));
            return None;
        }
        // Under the lock: whoever gives up after this finds the operation.
        if start.signal.receiver_count() == 0 {
            return None;
        }
        let Start { signal, since } = start;
        state.running.insert(key.clone(), Running { what, since, signal: Arc::clone(&signal) });
        drop(state);
        Some(Ticket { registry: Arc::clone(self), key, signal, open: true })
    }

    /// Changes what is known of an operation in progress, and returns it; none if there is none.
    pub(super) fn update(&self, key: &Key, change: impl FnOnce(&mut What)) -> Option<What> {
        let mut state = self.state();
        let running = state.running.get_mut(key)?;
        change(&mut running.what);
        Some(running.what.clone())
    }

    /// All operations in progress, with their ages.
    pub(super) fn list(&self) -> Vec<(Key, What, Duration)> {
        let state = self.state();
        state.running.iter().map(|(key, one)| (key.clone(), one.what.clone(), one.since.elapsed())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The failure, once, of the same plan that nobody has heard yet.
    fn late_failure(&mut self, key: &Key, what: &What) -> Option<MountError> {
        let (Key::Target(place), What::Mount { plan, .. }) = (key, what) else { return None };
        let (at, failed, fault) = self.late.remove(place)?;
        (at.elapsed() < KEPT_FOR && failed == *plan).then_some(fault)
    }

    fn keep_failure(&mut self, place: &Path, what: &What, fault: &MountError) {
        let What::Mount { plan, abandoned: false } = what else { return };
        self.late.retain(|_, (at, ..)| at.elapsed() < KEPT_FOR);
        self.late.insert(place.to_owned(), (Instant::now(), Arc::clone(plan), fault.clone()));
    }
}

/// The right and the duty to end an operation. Dropped without an end, by a panic, it ends as lost.
#[derive(Debug)]
pub(super) struct Ticket {
    registry: Arc<Registry>,
    key: Key,
    signal: Arc<watch::Sender<Option<Signal>>>,
    open: bool,
}

impl Ticket {
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Whether anybody waits for the end.
    pub(super) fn is_waited_for(&self) -> bool {
        self.signal.receiver_count() > 0
    }

    /// Ends an operation that has changed nothing and needs a permit to go on.
    pub(super) fn withdraw(mut self) {
        self.open = false;
        self.registry.state().running.remove(&self.key);
        self.signal.send_replace(Some(Signal::NeedsPermit));
    }

    /// Ends the operation; whether anybody was waiting for it.
    pub(super) fn finish(mut self, reply: Reply) -> bool {
        self.end(reply)
    }

    /// Ends a mount unless it was abandoned; then the ticket comes back. Nobody can abandon it in between.
    pub(super) fn finish_unless_abandoned(mut self, reply: Reply) -> Result<bool, Self> {
        let registry = Arc::clone(&self.registry);
        let state = registry.state();
        let what = state.running.get(&self.key).map(|running| &running.what);
        if matches!(what, Some(What::Mount { abandoned: true, .. })) {
            return Err(self);
        }
        Ok(self.end_in(state, reply))
    }

    fn end(&mut self, reply: Reply) -> bool {
        let registry = Arc::clone(&self.registry);
        self.end_in(registry.state(), reply)
    }

    fn end_in(&mut self, mut state: MutexGuard<'_, State>, reply: Reply) -> bool {
        self.open = false;
        let running = state.running.remove(&self.key);
        let heard = self.is_waited_for();
        if let (Some(running), Err(fault), Key::Target(place), false) = (&running, &reply, &self.key, heard) {
            state.keep_failure(place, &running.what, fault);
        }
        self.signal.send_replace(Some(Signal::Ended(reply)));
        heard
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            self.end(Err(lost()));
        }
    }
}

#[cfg(test)]
mod tests;
