//! The registry of operations in progress: one per target, one statfs per path, one sub-directory per source.
//!
//! A mount(2) that hangs cannot be cancelled. The call that began it returns at its deadline; the operation stays here
//! until the kernel returns, and a later call with the same key waits for the same end, or refuses. A mount that fails
//! while no call waits for it leaves its error for the next call with the same plan, which then gets the reason instead of
//! another attempt that takes as long.

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

/// How long the error of a mount that no call waited for is kept for the next call.
const UNREPORTED_FOR: Duration = Duration::from_mins(2);

/// What an operation works on; two operations with one key exclude each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OperationKey {
    /// A target, by its canonical path: mounts and unmounts.
    Target(PathBuf),
    /// The canonical path of a mount: statfs(2).
    Statfs(PathBuf),
    /// A source whose sub-directory is made.
    SubDir(String),
}

/// An operation and its parameters.
#[derive(Debug, Clone)]
pub(super) enum TargetOperation {
    /// A mount. One that is abandoned is unmounted again should it succeed.
    Mount { plan: Arc<MountPlan>, abandoned: bool },
    /// An unmount: the source of the mount, and the state of its servers before umount2(2) began.
    Unmount { source: Option<String>, before: ServerState },
    /// The creation of a sub-directory.
    MakeSubDir(Arc<MountSource>),
    /// statfs(2).
    Statfs,
}

impl TargetOperation {
    pub(super) fn kind(&self) -> OperationKind {
        match self {
            Self::Mount { .. } => OperationKind::Mount,
            Self::Unmount { .. } => OperationKind::Unmount,
            Self::MakeSubDir(_) => OperationKind::MakeSubDir,
            Self::Statfs => OperationKind::Statfs,
        }
    }

    pub(super) fn abandon(&mut self) {
        if let Self::Mount { abandoned, .. } = self {
            *abandoned = true;
        }
    }
}

/// The output of an operation that succeeded.
#[derive(Debug, Clone)]
pub(super) enum OperationOutput {
    /// None: of an unmount or a sub-directory.
    Done,
    /// Of a mount.
    Mount(MountAttempt),
    /// Of statfs(2); none where no volume is mounted.
    Usage(Option<Usage>),
}

/// How a mount ended that did not fail.
#[derive(Debug, Clone)]
pub(super) struct MountAttempt {
    pub(super) outcome: MountOutcome,
    /// Canonical target and mount id of the uppermost mount that was found there, if it is of the driver's type.
    pub(super) found: Option<(PathBuf, u64)>,
}

pub(super) type OperationResult = Result<OperationOutput, MountError>;

/// What a call receives that asked for an operation.
#[derive(Debug, Clone)]
pub(super) enum OperationEvent {
    /// The operation has ended.
    Ended(OperationResult),
    /// It was not begun: this one with the same key is in progress.
    Conflict(RunningOperation),
    /// It was ended without a change, since it needs a permit of its MGS.
    PermitNeeded,
}

/// Another operation in progress, as a call sees it.
#[derive(Debug, Clone)]
pub(super) struct RunningOperation {
    pub(super) key: OperationKey,
    pub(super) operation: TargetOperation,
    pub(super) since: Instant,
    pub(super) waiter: OperationWaiter,
}

type Events = Arc<watch::Sender<Option<OperationEvent>>>;

/// An operation that a call asked for and that has not begun. It is handed to the thread that executes it; dropped unused,
/// its caller gets the error of a lost operation.
#[derive(Debug)]
pub(super) struct PendingOperation {
    events: Events,
    since: Instant,
}

impl PendingOperation {
    /// Ends an operation that needs no entry in the registry.
    pub(super) fn end(self, result: OperationResult) {
        self.events.send_replace(Some(OperationEvent::Ended(result)));
    }
}

/// Waits for the end of an operation. An operation whose last waiter is dropped before it has begun never begins: its
/// caller may have done something else at the target since.
#[derive(Debug, Clone)]
pub(super) struct OperationWaiter(watch::Receiver<Option<OperationEvent>>);

impl OperationWaiter {
    /// The event, unless it takes longer than `limit`.
    pub(super) async fn wait(&mut self, limit: Duration) -> Option<OperationEvent> {
        match tokio::time::timeout(limit, self.0.wait_for(Option::is_some)).await.ok()? {
            Ok(event) => event.clone(),
            Err(_) => Some(OperationEvent::Ended(Err(lost()))),
        }
    }
}

/// An operation to begin, and the waiter for its end.
pub(super) fn pending() -> (PendingOperation, OperationWaiter) {
    let (events, waiter) = watch::channel(None);
    (PendingOperation { events: Arc::new(events), since: Instant::now() }, OperationWaiter(waiter))
}

fn lost() -> MountError {
    let message = "the operation was lost before it ended; what is at the target is not known";
    MountError::new(MountErrorKind::Unknown, "wait for", "an operation", message)
}

#[derive(Debug)]
struct Entry {
    operation: TargetOperation,
    since: Instant,
    events: Events,
}

/// Operations in progress by their keys, and unreported errors of mounts by their canonical targets.
#[derive(Debug, Default)]
pub(super) struct OperationRegistry(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<OperationKey, Entry>,
    unreported: BTreeMap<PathBuf, (Instant, Arc<MountPlan>, MountError)>,
}

impl OperationRegistry {
    /// Begins an operation. `None` if it may not begin: another one is in progress, the same plan has failed meanwhile (its
    /// caller receives either), or no caller waits for it any more.
    pub(super) fn begin(
        self: &Arc<Self>,
        key: OperationKey,
        operation: TargetOperation,
        pending: PendingOperation,
    ) -> Option<OperationGuard> {
        let mut state = self.state();
        if let Some(Entry { operation, since, events }) = state.running.get(&key) {
            let (operation, since, waiter) = (operation.clone(), *since, OperationWaiter(events.subscribe()));
            let conflict = OperationEvent::Conflict(RunningOperation { key, operation, since, waiter });
            pending.events.send_replace(Some(conflict));
            return None;
        }
        if let Some(error) = state.take_unreported(&key, &operation) {
            pending.end(Err(error));
            return None;
        }
        // Under the lock: a caller that leaves after this finds the operation in the registry.
        if pending.events.receiver_count() == 0 {
            return None;
        }
        let PendingOperation { events, since } = pending;
        state.running.insert(key.clone(), Entry { operation, since, events: Arc::clone(&events) });
        drop(state);
        Some(OperationGuard { registry: Arc::clone(self), key, events, is_open: true })
    }

    /// Changes an operation in progress, and returns it; none if there is none.
    pub(super) fn update(
        &self,
        key: &OperationKey,
        change: impl FnOnce(&mut TargetOperation),
    ) -> Option<TargetOperation> {
        let mut state = self.state();
        let entry = state.running.get_mut(key)?;
        change(&mut entry.operation);
        Some(entry.operation.clone())
    }

    /// All operations in progress, with their ages.
    pub(super) fn list(&self) -> Vec<(OperationKey, TargetOperation, Duration)> {
        let state = self.state();
        state.running.iter().map(|(key, one)| (key.clone(), one.operation.clone(), one.since.elapsed())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The unreported error of the same plan, once.
    fn take_unreported(&mut self, key: &OperationKey, operation: &TargetOperation) -> Option<MountError> {
        let (OperationKey::Target(target), TargetOperation::Mount { plan, .. }) = (key, operation) else { return None };
        let (at, failed, error) = self.unreported.remove(target)?;
        (at.elapsed() < UNREPORTED_FOR && failed == *plan).then_some(error)
    }

    fn keep_unreported(&mut self, target: &Path, operation: &TargetOperation, error: &MountError) {
        let TargetOperation::Mount { plan, abandoned: false } = operation else { return };
        self.unreported.retain(|_, (at, ..)| at.elapsed() < UNREPORTED_FOR);
        self.unreported.insert(target.to_owned(), (Instant::now(), Arc::clone(plan), error.clone()));
    }
}

/// An operation that has begun, on the thread that executes it and must end it. Dropped without an end, by a panic, it ends
/// as lost.
#[derive(Debug)]
pub(super) struct OperationGuard {
    registry: Arc<OperationRegistry>,
    key: OperationKey,
    events: Events,
    is_open: bool,
}

impl OperationGuard {
    pub(super) fn update(&self, operation: TargetOperation) {
        self.registry.update(&self.key, |entry| *entry = operation);
    }

    /// Whether any caller waits for the end.
    pub(super) fn is_waited_for(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// Ends an operation that has changed nothing and needs a permit.
    pub(super) fn end_for_permit(mut self) {
        self.is_open = false;
        self.registry.state().running.remove(&self.key);
        self.events.send_replace(Some(OperationEvent::PermitNeeded));
    }

    /// Ends the operation; whether any caller was waiting for it.
    pub(super) fn end(mut self, result: OperationResult) -> bool {
        self.end_in(None, result)
    }

    /// Ends a mount unless it was abandoned; then the guard comes back. It cannot be abandoned in between.
    pub(super) fn end_unless_abandoned(mut self, result: OperationResult) -> Result<bool, Self> {
        let registry = Arc::clone(&self.registry);
        let state = registry.state();
        let operation = state.running.get(&self.key).map(|entry| &entry.operation);
        if matches!(operation, Some(TargetOperation::Mount { abandoned: true, .. })) {
            return Err(self);
        }
        Ok(self.end_in(Some(state), result))
    }

    fn end_in(&mut self, state: Option<MutexGuard<'_, State>>, result: OperationResult) -> bool {
        let registry = Arc::clone(&self.registry);
        let mut state = state.unwrap_or_else(|| registry.state());
        self.is_open = false;
        let entry = state.running.remove(&self.key);
        let is_waited_for = self.is_waited_for();
        if let (Some(entry), Err(error), OperationKey::Target(target), false) =
            (&entry, &result, &self.key, is_waited_for)
        {
            state.keep_unreported(target, &entry.operation, error);
        }
        self.events.send_replace(Some(OperationEvent::Ended(result)));
        is_waited_for
    }
}

impl Drop for OperationGuard {
    fn drop(&mut self) {
        if self.is_open {
            self.end_in(None, Err(lost()));
        }
    }
}

#[cfg(test)]
mod tests;
