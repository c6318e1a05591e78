//! The operation in progress on each volume: one at a time, shared by all calls that ask for the same.
//!
//! Kubernetes repeats calls whose time ended, so a second CreateVolume, or a DeleteVolume, may arrive while the first
//! still works. The same call joins the one in progress and shares its outcome; each caller is answered at its own
//! deadline, and the work lives until the last of them. Another one is `ABORTED` ("operation pending for volume", CSI
//! specification, section Error Scheme).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::context::ControllerContext;
use super::deadline::Deadline;
use super::locked;
use super::progress::Progress;
use super::shared::{Shared, WeakShared};
use super::time_format::format_duration;
use crate::domain::filesystem::ReadyFilesystem;
use crate::domain::names::FilesystemId;
use crate::domain::provisioning::DynamicProvision;
use crate::ports::inbound::{Caller, Failure, FailureKind};

/// How an operation succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OperationOutcome {
    /// The file system is ready.
    Ready(Box<ReadyFilesystem>),
    /// The file system is gone.
    Deleted,
}

/// How an operation ended, for all of its callers.
pub(super) type OperationResult = Result<OperationOutcome, Failure>;

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) enum RequestedOperation {
    /// CreateVolume of this plan.
    Create(Arc<DynamicProvision>),
    /// DeleteVolume of this file system.
    Delete(FilesystemId),
}

impl RequestedOperation {
    fn id(&self) -> &FilesystemId {
        match self {
            Self::Create(plan) => plan.id(),
            Self::Delete(id) => id,
        }
    }

    fn operation(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Delete(_) => "delete",
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Create(one), Self::Create(other)) => one.is_same_plan(other),
            (Self::Delete(one), Self::Delete(other)) => one.is(other),
            _ => false,
        }
    }
}

/// The callers that share an operation.
#[derive(Debug)]
pub(super) struct Callers {
    waiting: Mutex<Vec<Caller>>,
    /// What each of them is answered when its time ends.
    pub(super) progress: Progress,
}

impl Callers {
    /// Whether any caller still waits.
    pub(super) fn any_waits(&self) -> bool {
        let mut waiting = locked(&self.waiting);
        waiting.retain(Caller::waits);
        !waiting.is_empty()
    }
}

/// Operations in progress, by volume name.
#[derive(Debug, Clone, Default)]
pub(super) struct VolumeOperations(Arc<Mutex<Table>>);

type Table = BTreeMap<String, Entry>;

struct Entry {
    requested: RequestedOperation,
    /// When it began, on the clock of RPC deadlines.
    since: Duration,
    callers: Arc<Callers>,
    /// Gone once no caller waits for the work any more.
    work: WeakShared<OperationResult>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("requested", &self.requested).field("since", &self.since).finish_non_exhaustive()
    }
}

impl Entry {
    fn busy(&self, name: &str, wanted: &RequestedOperation, now: Duration) -> Failure {
        let (running, wanted) = (self.requested.operation(), wanted.operation());
        let other = if running == wanted { " with other parameters" } else { "" };
        let since = format_duration(now.saturating_sub(self.since));
        let message = format!(
            "an operation ({running}) on {name}{other} already exists, in progress for {since}; {wanted} has to wait for it"
        );
        Failure::new(FailureKind::InProgress, message)
    }
}

/// One call's share in an operation. Dropping the last one drops the work.
#[derive(Debug)]
pub(super) struct Joined {
    work: Shared<OperationResult>,
    callers: Arc<Callers>,
}

impl Joined {
    /// The outcome, or how far the operation is when the caller's time ends.
    pub(super) async fn answer(self, deadline: Deadline<'_>) -> Result<OperationOutcome, Failure> {
        let Self { work, callers } = self;
        deadline.limit(work.outcome()).await.unwrap_or_else(|| Err(callers.progress.answer()))
    }
}

impl VolumeOperations {
    /// Joins the operation in progress on `name` if it is the same, or begins it with `begin`. Another operation in
    /// progress is the error.
    pub(super) fn join_or_begin<F>(
        &self,
        context: &ControllerContext,
        requested: RequestedOperation,
        caller: Caller,
        begin: impl FnOnce(Arc<Callers>) -> F,
    ) -> Result<Joined, Failure>
    where
        F: Future<Output = Result<OperationOutcome, Failure>> + Send + 'static,
    {
        let (id, now) = (requested.id().clone(), context.clock.now());
        let name = id.name.as_str();
        let mut table = locked(&self.0);
        if let Some((work, entry)) = table.get(name).and_then(|entry| Some((entry.work.upgrade()?, entry))) {
            let callers = Arc::clone(&entry.callers);
            let met = if entry.requested.is_same(&requested) { Ok(()) } else { Err(entry.busy(name, &requested, now)) };
            // Before `work` may be dropped: its last owner takes the table's lock.
            drop(table);
            met?;
            tracing::debug!(volume = name, operation = requested.operation(), "joining the call in progress");
            locked(&callers.waiting).push(caller);
            return Ok(Joined { work, callers });
        }
        let progress = Progress::new(id.clone(), Arc::clone(&context.cloud_clock));
        let callers = Arc::new(Callers { waiting: Mutex::new(vec![caller]), progress });
        let release = Release { table: Arc::clone(&self.0), name: name.to_owned(), callers: Arc::clone(&callers) };
        let operation = begin(Arc::clone(&callers));
        let work = Shared::new(async move {
            let _release = release;
            operation.await
        });
        let entry = Entry { requested, since: now, callers: Arc::clone(&callers), work: work.downgrade() };
        table.insert(name.to_owned(), entry);
        Ok(Joined { work, callers })
    }

    /// Whether a creation of this volume is in progress.
    pub(super) fn is_creating(&self, name: &str) -> bool {
        locked(&self.0).get(name).is_some_and(|entry| matches!(entry.requested, RequestedOperation::Create(_)))
    }
}

/// Ends the entry of an operation with the operation, however it ends.
struct Release {
    table: Arc<Mutex<Table>>,
    name: String,
    callers: Arc<Callers>,
}

impl Drop for Release {
    fn drop(&mut self) {
        let mut table = locked(&self.table);
        if table.get(&self.name).is_some_and(|entry| Arc::ptr_eq(&entry.callers, &self.callers)) {
            table.remove(&self.name);
        }
    }
}
