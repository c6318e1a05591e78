//! `KernelMounter`, the asynchronous half of the mounter: it runs operations on threads and waits for them up to a limit.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use super::blocking::{BlockingMounter, Dependencies};
use super::errno;
use super::mgs_limit::{self, Permit};
use super::operation_registry::{
    self, OperationEvent, OperationKey, OperationResult, OperationWaiter, PendingOperation, RunningOperation,
    TargetOperation,
};
use super::settings::KernelSettings;
use crate::domain::mount::MountPlan;
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind, MountOutcome, Mounter, Readiness, Usage};
use crate::ports::operations::{Operation, OperationKind, Operations};

/// Time limit of work that uses files of this machine only; a healthy machine needs milliseconds.
pub(super) const LOCAL: Duration = Duration::from_secs(30);

/// The node's Lustre client.
#[derive(Debug)]
pub struct KernelMounter {
    pub(super) blocking: Arc<BlockingMounter>,
    /// How many private mounts of an earlier process were removed, once that has ended.
    cleaned: OnceLock<watch::Receiver<Option<usize>>>,
}

impl KernelMounter {
    /// A mounter with these settings; `Dependencies::default()` is the real kernel.
    pub fn new(settings: KernelSettings, dependencies: Dependencies) -> Self {
        Self { blocking: Arc::new(BlockingMounter::new(settings, dependencies)), cleaned: OnceLock::new() }
    }

    /// Removes the private mounts that an earlier process left under the working directory, once in the life of the
    /// mounter, and returns how many there were. Every operation waits for its end, for as long as an unmount may take.
    pub async fn clean_leftovers(&self) -> usize {
        let mut ended = self.cleaned.get_or_init(|| self.start_cleaning()).clone();
        let limit = self.blocking.settings.limits.unmount;
        let ended = tokio::time::timeout(limit, ended.wait_for(Option::is_some)).await;
        ended.ok().and_then(Result::ok).and_then(|count| *count).unwrap_or_default()
    }

    fn start_cleaning(&self) -> watch::Receiver<Option<usize>> {
        let (sender, ended) = watch::channel(None);
        let blocking = Arc::clone(&self.blocking);
        // No operation has begun, so a thread can be had, or none will ever be.
        self.blocking.threads.run_now(move || {
            sender.send_replace(Some(blocking.clean_leftovers()));
        });
        ended
    }

    /// How many threads operations have now, those that wait for work included.
    pub fn threads(&self) -> usize {
        self.blocking.threads.alive()
    }

    /// Hands an operation to a thread, which registers it or reports the conflict.
    pub(super) async fn start(
        &self,
        operation: &'static str,
        subject: impl Display,
        limit: Duration,
        work: impl FnOnce(&BlockingMounter, PendingOperation) + Send + 'static,
    ) -> Result<OperationWaiter, MountError> {
        let (pending, waiter) = operation_registry::pending();
        self.run(operation, subject, limit, move |blocking| work(blocking, pending)).await?;
        Ok(waiter)
    }

    async fn run(
        &self,
        operation: &'static str,
        subject: impl Display,
        limit: Duration,
        work: impl FnOnce(&BlockingMounter) + Send + 'static,
    ) -> Result<(), MountError> {
        if !self.cleaned.get().is_some_and(|cleaned| cleaned.borrow().is_some()) {
            self.clean_leftovers().await;
        }
        let (blocking, limit) = (Arc::clone(&self.blocking), limit.min(self.blocking.settings.limits.thread));
        Ok(self.blocking.threads.run(operation, subject, limit, move || work(&blocking)).await?)
    }

    /// Does work on a thread and waits for its result up to `limit`. For what needs no entry in the registry.
    pub(super) async fn on_thread<T: Send + 'static>(
        &self,
        operation: &'static str,
        subject: impl Display + Send + Sync,
        limit: Duration,
        work: impl FnOnce(&BlockingMounter) -> Result<T, MountError> + Send + 'static,
    ) -> Result<T, MountError> {
        let (sender, result) = oneshot::channel();
        self.run(operation, &subject, limit, move |blocking| drop(sender.send(work(blocking)))).await?;
        match tokio::time::timeout(limit, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                let message = "the thread of the operation was lost; what is at the target is not known";
                Err(MountError::new(MountErrorKind::Unknown, operation, subject.to_string(), message))
            }
            Err(_) => Err(errno::stuck(operation, subject.to_string(), limit)),
        }
    }

    /// Runs an operation that mounts `source`, again once it has a permit and once an unmount at its target has ended.
    pub(super) async fn run_with_permit<W>(
        &self,
        operation: &'static str,
        subject: String,
        source: &MountSource,
        own: &TargetOperation,
        work: W,
    ) -> OperationResult
    where
        W: Fn(&BlockingMounter, Option<Permit>, PendingOperation) + Clone + Send + 'static,
    {
        let limit = self.blocking.settings.limits.mount;
        let mut permit = None;
        loop {
            let (work, permit_now) = (work.clone(), permit.take());
            let start = move |blocking: &BlockingMounter, pending| work(blocking, permit_now, pending);
            let event = self.start(operation, &subject, limit, start).await?.wait(limit).await;
            let event = match event {
                Some(OperationEvent::Conflict(running)) => self.join(operation, &subject, own, running).await?,
                event => event,
            };
            match event {
                Some(OperationEvent::Ended(result)) => return result,
                Some(OperationEvent::PermitNeeded) => permit = Some(self.permit(operation, source).await?),
                Some(OperationEvent::Conflict(_)) => {}
                None => return Err(errno::stuck(operation, subject, limit)),
            }
        }
    }

    /// Waits for the operation in the way: the same one, or an unmount, after which the target is free
    /// ([`OperationEvent::Conflict`] again). Refuses at another mount.
    async fn join(
        &self,
        operation: &'static str,
        subject: &str,
        own: &TargetOperation,
        running: RunningOperation,
    ) -> Result<Option<OperationEvent>, MountError> {
        use TargetOperation::Mount;
        let limit = self.blocking.settings.limits.mount;
        let mut waiter = running.waiter.clone();
        let (kind, message) = match (&running.operation, own) {
            (Mount { plan: other, abandoned: false }, Mount { plan, .. }) if other == plan => {
                return Ok(waiter.wait(limit).await);
            }
            (TargetOperation::MakeSubDir(_), _) => return Ok(waiter.wait(limit).await),
            (Mount { plan: other, abandoned: false }, _) => {
                let (source, volume) = (&other.source, &other.volume_id);
                let message = format!("another mount, of {source} for volume {volume}, is in progress there");
                (MountErrorKind::Busy, message)
            }
            (Mount { .. }, _) => {
                (MountErrorKind::Stuck, "a mount there whose target was unpublished has not ended yet".to_owned())
            }
            _ if waiter.wait(limit).await.is_some() => return Ok(Some(OperationEvent::Conflict(running))),
            _ => (MountErrorKind::Stuck, "an unmount there has not ended yet".to_owned()),
        };
        Err(MountError::new(kind, operation, subject, message).with_hint("nothing to do; the call is repeated"))
    }

    /// A permit of the MGS of a source, after a connection check where the MGS needs one.
    async fn permit(&self, operation: &'static str, source: &MountSource) -> Result<Permit, MountError> {
        let (blocking, limit) = (&self.blocking, self.blocking.settings.limits.mount);
        let mgs = mgs_limit::first_nid(source);
        let state = blocking.mgs_limit.state(&mgs);
        if state.needs_connection_check() {
            let checked = source.clone();
            let check = move |blocking: &BlockingMounter| blocking.check_reachable(operation, &checked, state);
            self.on_thread(operation, source, limit, check).await?;
        }
        blocking.mgs_limit.acquire(&mgs, limit).await.ok_or_else(|| {
            let (most, overdue) = (blocking.settings.mounts_per_mgs, blocking.mgs_limit.state(&mgs).overdue);
            let message =
                format!("{most} mounts of the MGS {mgs} are in progress, {overdue} of them overdue; no more are begun");
            // Nothing was changed, and nothing is in progress: not `Stuck`.
            MountError::new(MountErrorKind::Unreachable, operation, source.to_string(), message)
                .with_hint(errno::REACHABILITY)
        })
    }
}

#[async_trait]
impl Mounter for KernelMounter {
    async fn readiness(&self) -> Readiness {
        let limit = self.blocking.settings.limits.observe;
        let readiness = |blocking: &BlockingMounter| Ok(blocking.client.readiness());
        let result = self.on_thread("examine", "the node", limit, readiness).await;
        result.unwrap_or_else(|error| Readiness::NotReady(vec![error.to_string()]))
    }

    async fn published(&self, plan: &MountPlan) -> Result<Vec<PathBuf>, MountError> {
        let owned = plan.clone();
        self.on_thread("list the mounts of", &plan.volume_id, LOCAL, move |blocking| blocking.published(&owned)).await
    }

    async fn make_sub_dir(&self, source: &MountSource) -> Result<(), MountError> {
        if source.sub_dir.is_none() {
            return Ok(());
        }
        self.make_sub_dir_of(source).await
    }

    async fn mount(&self, plan: &MountPlan) -> Result<MountOutcome, MountError> {
        self.mount_plan(plan).await
    }

    async fn unmount(&self, target: &Path) -> Result<(), MountError> {
        self.unmount_target(target).await
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        self.usage_at(path).await
    }
}

impl Operations for KernelMounter {
    fn in_progress(&self) -> Vec<Operation> {
        let limits = &self.blocking.settings.limits;
        let operation = |(key, operation, age): (OperationKey, TargetOperation, Duration)| {
            let kind = operation.kind();
            let limit = match kind {
                OperationKind::Mount | OperationKind::MakeSubDir => limits.mount,
                OperationKind::Unmount => limits.unmount,
                OperationKind::Statfs => limits.statfs,
            };
            let subject = match key {
                OperationKey::Target(path) | OperationKey::Statfs(path) => path.display().to_string(),
                OperationKey::SubDir(source) => source,
            };
            let (volume_id, source) = match operation {
                TargetOperation::Mount { plan, .. } => (Some(plan.volume_id.clone()), Some(plan.source.clone())),
                TargetOperation::Unmount { source, .. } => {
                    (None, source.and_then(|source| MountSource::parse(&source).ok()))
                }
                TargetOperation::MakeSubDir(source) => (None, Some((*source).clone())),
                TargetOperation::Statfs => (None, None),
            };
            let mgs = source.as_ref().map(mgs_limit::first_nid);
            Operation { kind, subject, volume_id, mgs, age, overdue: age >= limit }
        };
        self.blocking.registry.list().into_iter().map(operation).collect()
    }

    fn not_begun(&self, subject: &str) -> Option<MountError> {
        self.blocking.threads.why_queued(subject).map(MountError::from)
    }
}
