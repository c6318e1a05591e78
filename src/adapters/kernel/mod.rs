//! Lustre through the kernel's client: mount(2) and umount2(2), with nothing in between.
//!
//! A mount on a dead server hangs for minutes, cannot be killed, and must not hurt any other volume. So:
//!
//! - Every call that may block runs on a thread of its own, never on the runtime's (`threads`). The caller waits up to a
//!   limit and is then answered [`Stuck`]; the operation stays in the `registry`, and a repeated call meets it.
//! - An unmount that meets a mount in progress abandons it: should it succeed in the end, it unmounts itself.
//! - Each MGS has a bounded number of mounts in progress (`mgs_limit`), and has to take a TCP connection before another is
//!   begun while some of them are overdue or have just failed.
//! - What is mounted where is read from mountinfo by path, each time. Memory only adds which volume a mount is of.
//!
//! `mount`, `unmount`, `usage` and `sub_dir` are the operations, each from its beginning to its end.
//!
//! [`Stuck`]: crate::ports::mounter::MountErrorKind::Stuck

pub mod client_state;
pub mod doctor;
mod errno;
mod mgs_limit;
mod mount;
pub mod mount_args;
mod mount_records;
mod node;
pub mod node_faults;
mod open_users;
mod parts;
pub mod propagation;
mod registry;
mod resolve;
mod servers;
pub mod settings;
mod starved;
mod sub_dir;
pub mod syscalls;
mod threads;
mod tuning;
mod unmount;
mod usage;
mod vol_data;
pub mod working_dir;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use self::mgs_limit::Permit;
use self::node::Node;
pub use self::parts::{ImportsSource, Parts, ReadinessSource};
use self::registry::{Key, Start, Waiter, What};
use self::settings::KernelSettings;
use self::starved::Starved;
use crate::domain::mount::MountPlan;
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind, MountOutcome, Mounter, Readiness, Usage};
use crate::ports::operations::{Operation, OperationKind, Operations};

/// How long work on this machine's own files may take. Only a sick machine needs that long.
const LOCAL: Duration = Duration::from_secs(30);

/// The node's Lustre client.
#[derive(Debug)]
pub struct KernelMounter {
    node: Arc<Node>,
    parts: Parts,
    starved: Starved,
    /// How many private mounts of an earlier process were removed, once that has ended.
    cleaned: OnceLock<watch::Receiver<Option<usize>>>,
}

impl KernelMounter {
    /// A mounter with these settings over these parts; `Parts::default()` is the real kernel.
    pub fn new(settings: KernelSettings, parts: Parts) -> Self {
        Self {
            node: Arc::new(Node::new(settings, &parts)),
            parts,
            starved: Starved::default(),
            cleaned: OnceLock::new(),
        }
    }

    /// Removes the private mounts that an earlier process left under the working directory, once in the life of the
    /// mounter, and returns how many there were. Every operation waits for its end, for as long as an unmount may take.
    pub async fn clean_leftovers(&self) -> usize {
        let mut ended = self.cleaned.get_or_init(|| self.start_cleaning()).clone();
        let limit = self.node.settings.limits.unmount;
        let ended = tokio::time::timeout(limit, ended.wait_for(Option::is_some)).await;
        ended.ok().and_then(Result::ok).and_then(|count| *count).unwrap_or_default()
    }

    fn start_cleaning(&self) -> watch::Receiver<Option<usize>> {
        let (end, ended) = watch::channel(None);
        let node = Arc::clone(&self.node);
        // No operation has begun, so a thread can be had, or none will ever be.
        self.node.threads.run_now(move || {
            end.send_replace(Some(node.clean_leftovers()));
        });
        ended
    }

    /// How many threads operations have now, those that wait for work included.
    pub fn threads(&self) -> usize {
        self.node.threads.alive()
    }

    /// Begins work on a thread of its own, which registers it as an operation or reports what is in the way.
    async fn start(
        &self,
        operation: &'static str,
        subject: &Path,
        limit: Duration,
        work: impl FnOnce(&Node, Start) + Send + 'static,
    ) -> Result<Waiter, MountError> {
        let (start, waiter) = registry::start();
        let node = Arc::clone(&self.node);
        self.run(operation, || subject.display().to_string(), limit, move || work(&node, start)).await?;
        Ok(waiter)
    }

    async fn run(
        &self,
        operation: &'static str,
        subject: impl FnOnce() -> String,
        limit: Duration,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), MountError> {
        if !self.cleaned.get().is_some_and(|cleaned| cleaned.borrow().is_some()) {
            self.clean_leftovers().await;
        }
        let limit = limit.min(self.node.settings.limits.thread);
        let Some(queued) = self.node.threads.run_or_queue(work) else { return Ok(()) };
        let fault = errno::no_thread(&queued.why, operation, subject());
        let _note = self.starved.note(fault.clone());
        queued.begun(limit).await.map_err(|_| fault)
    }

    /// Does work on a thread and waits for it up to `limit`.
    async fn on_thread<T: Send + 'static>(
        &self,
        operation: &'static str,
        subject: String,
        limit: Duration,
        work: impl FnOnce(&Node) -> Result<T, MountError> + Send + 'static,
    ) -> Result<T, MountError> {
        let (tell, hear) = oneshot::channel();
        let node = Arc::clone(&self.node);
        let run = self.run(
            operation,
            || subject.clone(),
            limit,
            move || {
                tell.send(work(&node)).ok();
            },
        );
        run.await?;
        match tokio::time::timeout(limit, hear).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                let message = "the thread that did it was lost; what is at the target is not known";
                Err(MountError::new(MountErrorKind::Unknown, operation, subject, message))
            }
            Err(_) => Err(errno::stuck(operation, subject, limit)),
        }
    }

    /// [`Self::on_thread`] for work on this machine's own files.
    async fn local<T: Send + 'static>(
        &self,
        operation: &'static str,
        subject: &Path,
        work: impl FnOnce(&Node) -> Result<T, MountError> + Send + 'static,
    ) -> Result<T, MountError> {
        self.on_thread(operation, subject.display().to_string(), LOCAL, work).await
    }

    /// A permit of the MGS of a source. One that is doubtful has to take a connection first.
    async fn permit(&self, operation: &'static str, source: &MountSource) -> Result<Permit, MountError> {
        let (node, limits) = (&self.node, &self.node.settings.limits);
        let mgs = mgs_limit::key(source);
        let standing = node.mgs_limit.standing(&mgs);
        if standing.is_doubtful() {
            let (asked, limit) = (source.clone(), limits.connect);
            let check = move |node: &Node| resolve::check_reachable(&*node.calls, operation, &asked, standing, limit);
            self.on_thread(operation, source.to_string(), limits.mount, check).await?;
        }
        node.mgs_limit.enter(&mgs, limits.mount).await.ok_or_else(|| {
            let (most, overdue) = (node.settings.mounts_per_mgs, node.mgs_limit.standing(&mgs).overdue);
            let message =
                format!("{most} mounts of the MGS {mgs} are in progress, {overdue} of them overdue; no more are begun");
            // Nothing was changed, and nothing goes on: not `Stuck`.
            MountError::new(MountErrorKind::Unreachable, operation, source.to_string(), message)
                .with_hint(errno::REACHABILITY)
        })
    }
}

#[async_trait]
impl Mounter for KernelMounter {
    async fn readiness(&self) -> Readiness {
        let ask = self.parts.readiness.clone();
        let limit = self.node.settings.limits.observe;
        let answer = self.on_thread("examine", "the node".to_owned(), limit, move |_| Ok(ask.ask())).await;
        answer.unwrap_or_else(|fault| Readiness::NotReady(vec![fault.to_string()]))
    }

    async fn published(&self, plan: &MountPlan) -> Result<Vec<PathBuf>, MountError> {
        let given = plan.clone();
        Ok(self.local("list the mounts of", Path::new(&plan.volume_id), move |node| node.published(&given)).await?)
    }

    async fn make_sub_dir(&self, source: &MountSource) -> Result<(), MountError> {
        Ok(self.make_sub_dir_of(source).await?)
    }

    async fn mount(&self, plan: &MountPlan) -> Result<MountOutcome, MountError> {
        Ok(self.mount_plan(plan).await?)
    }

    async fn unmount(&self, target: &Path) -> Result<(), MountError> {
        Ok(self.unmount_target(target).await?)
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        Ok(self.usage_at(path).await?)
    }
}

impl Operations for KernelMounter {
    fn in_progress(&self) -> Vec<Operation> {
        let limits = &self.node.settings.limits;
        let operation = |(key, what, age): (Key, What, Duration)| {
            let kind = what.kind();
            let limit = match kind {
                OperationKind::Mount | OperationKind::MakeSubDir => limits.mount,
                OperationKind::Unmount => limits.unmount,
                OperationKind::Statfs => limits.statfs,
            };
            let subject = match key {
                Key::Target(path) | Key::Statfs(path) => path.display().to_string(),
                Key::SubDir(source) => source,
            };
            let (volume_id, source) = match what {
                What::Mount { plan, .. } => (Some(plan.volume_id.clone()), Some(plan.source.clone())),
                What::Unmount { source, .. } => (None, source.and_then(|source| MountSource::parse(&source).ok())),
                What::MakeSubDir(source) => (None, Some((*source).clone())),
                What::Statfs => (None, None),
            };
            let mgs = source.as_ref().map(mgs_limit::key);
            Operation { kind, subject, volume_id, mgs, age, overdue: age >= limit }
        };
        self.node.registry.list().into_iter().map(operation).collect()
    }

    fn not_begun(&self, subject: &str) -> Option<MountError> {
        self.starved.why(subject)
    }
}
