//! Lustre through the kernel's client: mount(2) and umount2(2), with nothing in between.
//!
//! Why it is more than two system calls: a mount on a dead server hangs for minutes, cannot be killed, and must not hurt
//! any other volume.
//!
//! - Every call that may block runs on a thread of its own, never on the runtime's. The caller waits up to a limit and is
//!   then answered [`Stuck`]; the operation stays under its target, and a repeated call joins it.
//! - An unmount that meets a mount under way abandons it: should it succeed in the end, it takes itself back. The unmount
//!   itself is done, since nothing is mounted; once the directory is removed the kernel refuses the late mount by itself.
//! - Each MGS has a bounded number of mounts under way. While some of them are stuck, another is begun only if the MGS can
//!   be connected to.
//! - What is mounted where is read from mountinfo by path, each time. Memory only adds which volume a mount is of.
//!
//! [`Stuck`]: crate::ports::mounter::MountErrorKind::Stuck
//!
//! The synchronous side is in `node`, `unmount` and `sub_dir`; here calls are begun, joined and waited for.

mod begin;
pub mod call;
pub mod facts;
mod failure;
mod gate;
mod holders;
mod late;
mod node;
mod operations;
mod parts;
mod resolve;
pub mod settings;
mod sub_dir;
pub mod syscalls;
mod target;
mod threads;
mod unmount;
mod volumes;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use self::failure::{Fault, is_corrupt};
use self::node::Node;
use self::operations::Begun;
pub use self::parts::{Imports, ImportsSource, Parts, ReadinessSource};
use self::settings::KernelSettings;
pub use self::waiting::UnderWay;
use crate::domain::mount::{MountPlan, MountState};
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, Mounter, Readiness, Usage};

/// The node's Lustre client.
#[derive(Debug)]
pub struct KernelMounter {
    node: Arc<Node>,
    parts: Parts,
}

impl KernelMounter {
    /// A mounter with these settings over these parts; `Parts::default()` is the real kernel.
    pub fn new(settings: KernelSettings, parts: Parts) -> Self {
        Self { node: Arc::new(Node::new(settings, &parts)), parts }
    }

    /// Takes away the private mounts that an earlier process left under the working directory, and returns how many there
    /// were. For the start, before the first call.
    pub async fn clean_leftovers(&self) -> Result<usize, MountError> {
        let directory = self.node.settings.working_dir.display().to_string();
        let limit = self.node.settings.limits.unmount;
        Ok(self.on_thread("clean", directory, limit, Node::clean_leftovers).await?)
    }

    /// What is at a place, and the uppermost mount's health.
    async fn look(&self, target: &Path, plan: Option<&MountPlan>) -> Result<MountState, Fault> {
        let (given, planned) = (target.to_owned(), plan.map(|plan| plan.source.clone()));
        let looked = self.local("inspect", target, move |node| {
            let place = target::place(&given);
            let (lines, mut state) = node.see("inspect", &place)?;
            if let (MountState::Mounted(shown), Some(planned)) = (&mut state, planned) {
                for (shown, line) in shown.iter_mut().zip(&lines) {
                    if node.is_ours(line) && shown.source != planned.to_string() && node.is_of_plan(line, &planned) {
                        shown.source = planned.to_string();
                    }
                }
            }
            Ok((place, lines, state))
        });
        let (place, lines, state) = looked.await?;
        if !lines.last().is_some_and(|top| self.node.is_ours(top)) {
            return Ok(state);
        }
        Ok(self.corruption(&place).await.map_or(state, |reason| MountState::Corrupt { reason }))
    }

    /// Why a mount is corrupt, if it is. One that does not answer in time is not: its servers may come back.
    async fn corruption(&self, place: &Path) -> Option<String> {
        let limits = &self.node.settings.limits;
        self.corrupt_errno(place).await?;
        tokio::time::sleep(limits.second_look).await;
        let errno = self.corrupt_errno(place).await?;
        Some(format!("statfs failed twice: {} ({errno:?})", errno.desc()))
    }

    async fn corrupt_errno(&self, place: &Path) -> Option<nix::errno::Errno> {
        let answer = self.measure(place, self.node.settings.limits.look).await;
        let errno = answer.and_then(Result::err).and_then(|fault| fault.errno);
        errno.filter(|errno| is_corrupt(*errno))
    }

    async fn try_make_sub_dir(&self, source: &MountSource) -> Result<(), Fault> {
        const OPERATION: &str = "make the sub-directory of";
        let limit = self.node.settings.limits.mount;
        if source.sub_dir.is_none() {
            return Ok(());
        }
        let key = source.to_string();
        let handle = match self.node.sub_dirs.begin(key.clone(), source.clone()) {
            Begun::Mine(ticket, handle) => {
                let pass = match self.admit(OPERATION, source).await {
                    Ok(pass) => pass,
                    Err(fault) => {
                        ticket.finish(Err(fault.clone()));
                        return Err(fault);
                    }
                };
                let (node, source) = (Arc::clone(&self.node), source.clone());
                self.spawn(OPERATION, key.clone(), move || {
                    let result = node.make_sub_dir(&source);
                    drop(pass);
                    ticket.finish(result);
                })?;
                handle
            }
            Begun::Other(_, handle) => handle,
        };
        handle.wait(limit).await.unwrap_or_else(|| Err(waiting::stuck(OPERATION, Path::new(&key), limit)))
    }

    async fn try_usage(&self, path: &Path) -> Result<Option<Usage>, Fault> {
        let given = path.to_owned();
        let (place, top) = self
            .local("measure", path, move |node| {
                let place = target::place(&given);
                let top = node.look("measure", &given)?.at(&place).pop();
                Ok((place, top))
            })
            .await?;
        if !top.is_some_and(|top| self.node.is_ours(&top)) {
            return Ok(None);
        }
        let limit = self.node.settings.limits.statfs;
        match self.measure(&place, limit).await {
            Some(answer) => answer.map(Some),
            None => Err(waiting::stuck("measure", path, limit)),
        }
    }
}

#[async_trait]
impl Mounter for KernelMounter {
    async fn readiness(&self) -> Readiness {
        let ask = self.parts.readiness.clone();
        let limit = self.node.settings.limits.look;
        let answer = self.on_thread("look at", "the node".to_owned(), limit, move |_| Ok(ask.ask())).await;
        answer.unwrap_or_else(|fault| Readiness::NotReady(vec![MountError::from(fault).to_string()]))
    }

    async fn inspect(&self, target: &Path) -> Result<MountState, MountError> {
        Ok(self.look(target, None).await?)
    }

    async fn inspect_for(&self, plan: &MountPlan) -> Result<MountState, MountError> {
        Ok(self.look(&plan.target, Some(plan)).await?)
    }

    async fn published(&self, volume_id: &str) -> Result<Vec<PathBuf>, MountError> {
        let volume = volume_id.to_owned();
        Ok(self.local("list the mounts of", Path::new(volume_id), move |node| node.published(&volume)).await?)
    }

    async fn make_sub_dir(&self, source: &MountSource) -> Result<(), MountError> {
        Ok(self.try_make_sub_dir(source).await?)
    }

    async fn make_target(&self, target: &Path) -> Result<bool, MountError> {
        let given = target.to_owned();
        Ok(self.local("make", target, move |node| node.make_target(&given)).await?)
    }

    async fn mount(&self, plan: &MountPlan) -> Result<(), MountError> {
        Ok(self.try_mount(plan).await?)
    }

    async fn unmount(&self, target: &Path) -> Result<(), MountError> {
        Ok(self.try_unmount(target, true).await?)
    }

    async fn clear(&self, target: &Path) -> Result<(), MountError> {
        Ok(self.try_unmount(target, false).await?)
    }

    async fn remove_target(&self, target: &Path) -> Result<(), MountError> {
        let given = target.to_owned();
        Ok(self.local("remove", target, move |_| target::remove(&given)).await?)
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        Ok(self.try_usage(path).await?)
    }
}
