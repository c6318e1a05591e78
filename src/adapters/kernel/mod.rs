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
pub mod client_state;
pub mod doctor;
mod failure;
mod gate;
mod holders;
mod late;
mod node;
mod operations;
mod parts;
pub mod propagation;
mod resolve;
pub mod settings;
mod sub_dir;
pub mod surroundings;
pub mod syscalls;
mod target;
mod threads;
mod unmount;
mod volumes;
mod waiting;
pub mod working_dir;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use self::begin::{Begin, MountHindrance, NotFresh};
use self::failure::{Fault, is_corrupt};
use self::node::{Act, Node};
use self::operations::{Begun, Promise};
pub use self::parts::{Imports, ImportsSource, Parts, ReadinessSource};
use self::settings::KernelSettings;
pub use self::waiting::UnderWay;
use crate::domain::mount::{MountPlan, MountState};
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{Fresh, MountError, Mounter, Readiness, Usage};

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
            if planned.is_some() {
                node.check_propagation(&given, &place)?;
            }
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

    /// Goes on with a mount that found no place at its server, once it has one.
    async fn admit_mount(&self, plan: &MountPlan, place: &Path, ticket: node::TargetTicket) -> Result<(), Fault> {
        let pass = match self.admit("mount", &plan.source).await {
            Ok(pass) => pass,
            Err(fault) => {
                ticket.finish(Err(fault.clone()));
                return Err(fault);
            }
        };
        let (node, plan, place) = (Arc::clone(&self.node), plan.clone(), place.to_owned());
        self.spawn("mount", place.display().to_string(), move || node.carry_out(&plan, &place, ticket, pass))
    }

    async fn try_mount(&self, plan: &MountPlan) -> Result<(), Fault> {
        let limit = self.node.settings.limits.mount;
        let given = plan.clone();
        let work = move |node: &Node, promise: &Promise<()>| node.begin_mount(&given, promise);
        let handle = match self.begin("mount", &plan.target, limit, work).await? {
            Begin::Ended(result) => return result,
            Begin::Late => return Err(waiting::stuck("mount", &plan.target, limit)),
            Begin::Hindered(MountHindrance::Failed(fault)) => return Err(fault),
            Begin::Hindered(MountHindrance::NoPlace(place, ticket, handle)) => {
                self.admit_mount(plan, &place, ticket).await?;
                handle
            }
            Begin::Hindered(MountHindrance::Other(Act::Mount { plan: other, abandoned: false }, handle))
                if *other == *plan =>
            {
                handle
            }
            Begin::Hindered(MountHindrance::Other(act, _)) => {
                return Err(waiting::occupied("mount", &plan.target, &act));
            }
        };
        handle.wait(limit).await.unwrap_or_else(|| Err(waiting::stuck("mount", &plan.target, limit)))
    }

    /// Makes the target and mounts, if nothing is there: everything else takes the steps one by one.
    async fn try_fresh(&self, plan: &MountPlan) -> Option<Fresh> {
        let limit = self.node.settings.limits.mount;
        let (given, made) = (plan.clone(), Arc::<AtomicBool>::default());
        let note = Arc::clone(&made);
        let work = move |node: &Node, promise: &Promise<()>| node.begin_fresh(&given, &note, promise);
        let result = match self.begin("mount", &plan.target, limit, work).await {
            Ok(Begin::Hindered(NotFresh)) => return None,
            Ok(Begin::Ended(result)) => result,
            Ok(Begin::Late) => Err(waiting::stuck("mount", &plan.target, limit)),
            Err(fault) => Err(fault),
        };
        Some(Fresh { made_target: made.load(Ordering::SeqCst), result: result.map_err(MountError::from) })
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

    /// Unmounts; with `removed` the directory is removed too where that needs no further thread, which is noted there.
    async fn try_unmount(
        &self,
        target: &Path,
        may_force: bool,
        removed: Option<&Arc<AtomicBool>>,
    ) -> Result<(), Fault> {
        let limits = &self.node.settings.limits;
        // A mount that is under way is abandoned first, and then what is there is taken away.
        loop {
            let (given, removed) = (target.to_owned(), removed.cloned());
            let work = move |node: &Node, promise: &Promise<()>| {
                node.begin_unmount(&given, may_force, removed.as_deref(), promise)
            };
            match self.begin("unmount", target, limits.unmount, work).await? {
                Begin::Ended(result) => break result,
                Begin::Late => {
                    let place = self.place("unmount", target).await?;
                    break self.late_unmount(target, &place, may_force).await;
                }
                Begin::Hindered((place, Act::Unmount { .. }, handle)) => match handle.wait(limits.unmount).await {
                    Some(result) => break result,
                    None => break self.late_unmount(target, &place, may_force).await,
                },
                Begin::Hindered((place, Act::Mount { .. }, handle)) => {
                    if !self.give_up(&place, handle).await {
                        break self.leave_hanging(target, &place).await;
                    }
                }
            }
        }
    }

    /// Abandons a mount that is under way; whether it has ended then.
    async fn give_up(&self, place: &Path, handle: operations::Handle<()>) -> bool {
        let abandon = |act: &mut Act| {
            if let Act::Mount { abandoned, .. } = act {
                *abandoned = true;
            }
        };
        self.node.targets.change(&place.to_owned(), abandon);
        handle.wait(self.node.settings.limits.give_up).await.is_some()
    }

    /// What is answered to an unmount while a mount that is abandoned still hangs.
    async fn leave_hanging(&self, target: &Path, place: &Path) -> Result<(), Fault> {
        if self.is_mounted("unmount", place).await? {
            return Err(waiting::stuck("unmount", target, self.node.settings.limits.give_up));
        }
        tracing::warn!(target = %place.display(), "a mount hangs whose target is unpublished; it is left to end alone");
        Ok(())
    }

    /// What is answered to an unmount that takes longer than its limit.
    async fn late_unmount(&self, target: &Path, place: &Path, may_force: bool) -> Result<(), Fault> {
        // The kernel takes the path away before it waits for the servers.
        if !self.is_mounted("unmount", place).await? {
            tracing::warn!(target = %place.display(), "unmounted, though the servers have not answered yet");
            return Ok(());
        }
        let begin_rescue = |act: &mut Act| match act {
            Act::Unmount { rescued } => !std::mem::replace(rescued, true),
            Act::Mount { .. } => false,
        };
        if self.node.targets.change(&place.to_owned(), begin_rescue) == Some(true) {
            let (node, place) = (Arc::clone(&self.node), place.to_owned());
            self.spawn("unmount", place.display().to_string(), move || node.rescue(&place, may_force))?;
        }
        Err(waiting::stuck("unmount", target, self.node.settings.limits.unmount))
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
        Ok(self.try_unmount(target, true, None).await?)
    }

    async fn clear(&self, target: &Path) -> Result<(), MountError> {
        Ok(self.try_unmount(target, false, None).await?)
    }

    async fn mount_fresh(&self, plan: &MountPlan) -> Option<Fresh> {
        self.try_fresh(plan).await
    }

    async fn take_away(&self, target: &Path) -> Result<(), MountError> {
        let removed = Arc::<AtomicBool>::default();
        self.try_unmount(target, true, Some(&removed)).await?;
        if removed.load(Ordering::SeqCst) { Ok(()) } else { self.remove_target(target).await }
    }

    async fn remove_target(&self, target: &Path) -> Result<(), MountError> {
        let given = target.to_owned();
        Ok(self.local("remove", target, move |_| target::remove(&given)).await?)
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        Ok(self.try_usage(path).await?)
    }
}
