//! How calls get their threads and how long they wait for them; what is under way, for those who look on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::failure::{self, Fault, REACHABILITY};
use super::gate::{self, Pass};
use super::node::{Act, Node};
use super::operations::Begun;
use super::{KernelMounter, resolve, target};
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountErrorKind, Usage};

/// How long work on this machine's own files may take. Only a sick machine needs that long.
const LOCAL: Duration = Duration::from_secs(30);

/// An operation that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// `mount`, `unmount`, `measure` or `make a sub-directory`.
    pub what: &'static str,
    /// The target, or the source for a sub-directory.
    pub about: String,
    /// The volume that is mounted.
    pub volume_id: Option<String>,
    /// The MGS that it waits for, where one is known.
    pub mgs: Option<String>,
    /// Time since it began.
    pub age: Duration,
    /// Whether it takes longer than it may.
    pub stuck: bool,
}

impl KernelMounter {
    /// All operations that have not ended, the stuck ones too.
    pub fn under_way(&self) -> Vec<UnderWay> {
        let (node, limits) = (&self.node, &self.node.settings.limits);
        let targets = node.targets.list().into_iter().map(|(place, act, age)| {
            let about = place.display().to_string();
            match act {
                Act::Mount { plan, .. } => {
                    let mgs = Some(gate::key(&plan.source));
                    let stuck = age >= limits.mount;
                    UnderWay { what: "mount", about, volume_id: Some(plan.volume_id), mgs, age, stuck }
                }
                Act::Unmount { .. } => {
                    let stuck = age >= limits.unmount;
                    UnderWay { what: "unmount", about, volume_id: None, mgs: None, age, stuck }
                }
            }
        });
        let measures = node.measures.list().into_iter().map(|(place, (), age)| {
            let (about, stuck) = (place.display().to_string(), age >= limits.statfs);
            UnderWay { what: "measure", about, volume_id: None, mgs: None, age, stuck }
        });
        let sub_dirs = node.sub_dirs.list().into_iter().map(|(about, source, age)| {
            let (mgs, stuck) = (Some(gate::key(&source)), age >= limits.mount);
            UnderWay { what: "make a sub-directory", about, volume_id: None, mgs, age, stuck }
        });
        targets.chain(measures).chain(sub_dirs).collect()
    }

    /// How many threads operations have now, those that wait for work included.
    pub fn threads(&self) -> usize {
        self.node.threads.alive()
    }

    /// Begins work on a thread of its own.
    pub(super) fn spawn(
        &self,
        operation: &'static str,
        subject: String,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), Fault> {
        self.node.threads.run(work).map_err(|_| {
            let message = format!("all {} threads are taken, most by operations that hang", self.node.settings.threads);
            Fault::new(MountErrorKind::Stuck, operation, subject, message).hint(REACHABILITY)
        })
    }

    /// Does work on a thread and waits for it up to `limit`.
    pub(super) async fn on_thread<T: Send + 'static>(
        &self,
        operation: &'static str,
        subject: String,
        limit: Duration,
        work: impl FnOnce(&Node) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (tell, hear) = oneshot::channel();
        let node = Arc::clone(&self.node);
        self.spawn(operation, subject.clone(), move || {
            tell.send(work(&node)).ok();
        })?;
        match tokio::time::timeout(limit, hear).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                let message = "the thread that did it was lost; look at the target before another try";
                Err(Fault::new(MountErrorKind::Failed, operation, subject, message))
            }
            Err(_) => Err(stuck(operation, Path::new(&subject), limit)),
        }
    }

    /// [`Self::on_thread`] for work on this machine's own files.
    pub(super) async fn local<T: Send + 'static>(
        &self,
        operation: &'static str,
        about: &Path,
        work: impl FnOnce(&Node) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.on_thread(operation, about.display().to_string(), LOCAL, work).await
    }

    /// The place of a target, which is the key of what is under way there.
    pub(super) async fn place(&self, operation: &'static str, target: &Path) -> Result<PathBuf, Fault> {
        let given = target.to_owned();
        self.local(operation, target, move |_| Ok(target::place(&given))).await
    }

    /// Whether a mount of the driver's type is at a place.
    pub(super) async fn is_mounted(&self, operation: &'static str, place: &Path) -> Result<bool, Fault> {
        let given = place.to_owned();
        let look =
            move |node: &Node| Ok(node.look(operation, &given)?.at(&given).last().is_some_and(|top| node.is_ours(top)));
        self.local(operation, place, look).await
    }

    /// Asks how full a mount is; nothing if the answer takes longer. The question itself goes on and is asked once at a
    /// time.
    pub(super) async fn measure(&self, place: &Path, limit: Duration) -> Option<Result<Usage, Fault>> {
        let handle = match self.node.measures.begin(place.to_owned(), ()) {
            Begun::Mine(ticket, handle) => {
                let (node, place) = (Arc::clone(&self.node), place.to_owned());
                let begun = self.spawn("measure", place.display().to_string(), move || {
                    let answer = node.calls.statfs(&place).map_err(|errno| failure::of_statfs(errno, &place));
                    ticket.finish(answer);
                });
                if let Err(fault) = begun {
                    return Some(Err(fault));
                }
                handle
            }
            Begun::Other((), handle) => handle,
        };
        handle.wait(limit).await
    }

    /// A place at the server of a source, unless mounts of it hang and it cannot be reached.
    pub(super) async fn admit(&self, operation: &'static str, source: &MountSource) -> Result<Pass, Fault> {
        let (node, limits) = (&self.node, &self.node.settings.limits);
        let mgs = gate::key(source);
        let stuck = node.gate.stuck(&mgs);
        if stuck > 0 {
            let (asked, limit) = (source.clone(), limits.connect);
            let check = move |node: &Node| resolve::check_reachable(&*node.calls, operation, &asked, stuck, limit);
            self.on_thread(operation, source.to_string(), limits.mount, check).await?;
        }
        node.gate.enter(&mgs, limits.mount).await.ok_or_else(|| {
            let (most, stuck) = (node.settings.mounts_per_mgs, node.gate.stuck(&mgs));
            let message =
                format!("{most} mounts of the MGS {mgs} are under way, {stuck} of them stuck; no more are begun");
            Fault::new(MountErrorKind::Stuck, operation, source.to_string(), message).hint(REACHABILITY)
        })
    }
}

/// The fault of an operation that goes on.
pub(super) fn stuck(operation: &'static str, about: &Path, waited: Duration) -> Fault {
    let message =
        format!("not finished after {waited:.1?}; it goes on, and a repeated call waits for it or is given its result");
    tracing::warn!(operation, about = %about.display(), ?waited, "an operation is stuck");
    Fault::at(MountErrorKind::Stuck, operation, about, message).hint(REACHABILITY)
}

/// The fault of a call that meets another operation at its target.
pub(super) fn occupied(operation: &'static str, target: &Path, act: &Act) -> Fault {
    let (kind, message) = match act {
        Act::Mount { abandoned: true, .. } => {
            (MountErrorKind::Stuck, "a mount that was given up there has not ended yet".to_owned())
        }
        Act::Mount { plan, .. } => {
            let message =
                format!("another mount, of {} for volume {}, is under way there", plan.source, plan.volume_id);
            (MountErrorKind::Busy, message)
        }
        Act::Unmount { .. } => (MountErrorKind::Stuck, "an unmount there has not ended yet".to_owned()),
    };
    Fault::at(kind, operation, target, message).hint("try again when it has ended")
}
