//! How mounts and unmounts begin: on the thread that does them, without a way back to the caller in between.
//!
//! Why: each change of threads costs as much as the mount(2) itself. So the thread that finds out where a target really is
//! also looks whether something is under way there, and goes on if not; only what is in the way is told to the caller,
//! who then waits for it, abandons it or refuses.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_lite::future::or;
use tokio::sync::oneshot;

use super::failure::Fault;
use super::gate::{self, Pass};
use super::node::{Act, Node, TargetTicket};
use super::operations::{self, Handle, Promise};
use super::{KernelMounter, target};
use crate::domain::mount::{MountPlan, MountState};

/// What came of an operation that a thread was told to begin; `H` is what may be in its way.
pub(super) enum Begin<H> {
    /// It has ended.
    Ended(Result<(), Fault>),
    /// It has not even begun.
    Hindered(H),
    /// It takes longer than its limit, and goes on.
    Late,
}

/// What may be in the way of a mount.
pub(super) enum MountHindrance {
    /// How it failed before.
    Failed(Fault),
    /// Another operation at its target.
    Other(Act, Handle<()>),
    /// All places at its server are taken, or others of it are stuck.
    NoPlace(PathBuf, TargetTicket, Handle<()>),
}

/// Something is at a target or about it that is to be looked at.
pub(super) struct NotFresh;

/// What is in the way of an unmount: another operation at this place.
pub(super) type UnmountHindrance = (PathBuf, Act, Handle<()>);

impl KernelMounter {
    /// Begins an operation on a thread and waits for it up to `limit`, or for what is in its way.
    pub(super) async fn begin<H: Send + 'static>(
        &self,
        operation: &'static str,
        about: &Path,
        limit: Duration,
        work: impl FnOnce(&Node, &Promise<()>) -> Option<H> + Send + 'static,
    ) -> Result<Begin<H>, Fault> {
        let (promise, handle) = operations::promise();
        // A thread that comes too late must not begin what its caller has given up: the target may be another's by then.
        let _waiter = promise.waiter();
        let (tell, mut hear) = oneshot::channel();
        let node = Arc::clone(&self.node);
        self.spawn(operation, about.display().to_string(), move || {
            if let Some(hindrance) = work(&node, &promise) {
                tell.send(hindrance).ok();
            }
        })?;
        let hindered = async {
            match (&mut hear).await {
                Ok(hindrance) => Begin::Hindered(hindrance),
                Err(_) => std::future::pending().await,
            }
        };
        let ended = async { handle.wait(limit).await.map_or(Begin::Late, Begin::Ended) };
        Ok(match or(hindered, ended).await {
            // The promise goes with the thread, after what it has told; both may happen between two looks.
            Begin::Late => hear.try_recv().map_or(Begin::Late, Begin::Hindered),
            begin => begin,
        })
    }
}

impl Node {
    /// Mounts a plan, or tells what is in the way.
    pub(super) fn begin_mount(&self, plan: &MountPlan, promise: &Promise<()>) -> Option<MountHindrance> {
        let place = target::place(&plan.target);
        if let Some(fault) = self.late.take(plan) {
            return Some(MountHindrance::Failed(fault));
        }
        let act = Act::Mount { plan: Box::new(plan.clone()), abandoned: false };
        let ticket = match self.targets.begin_as(place.clone(), act, promise)? {
            Ok(ticket) => ticket,
            Err((act, handle)) => return Some(MountHindrance::Other(act, handle)),
        };
        let Some(pass) = self.gate.try_enter(&gate::key(&plan.source), promise.since()) else {
            return Some(MountHindrance::NoPlace(place, ticket, promise.handle()));
        };
        self.carry_out(plan, &place, ticket, pass);
        None
    }

    /// Does a mount that nothing is in the way of.
    pub(super) fn carry_out(&self, plan: &MountPlan, place: &Path, ticket: TargetTicket, pass: Pass) {
        let result = self.mount(plan, place);
        drop(pass);
        self.settle(ticket, plan, place, result);
    }

    /// Makes a plan's target, which is noted, and mounts; nothing of it if anything is there or was.
    pub(super) fn begin_fresh(&self, plan: &MountPlan, made: &AtomicBool, promise: &Promise<()>) -> Option<NotFresh> {
        let Some(place) = target::certain_place(&plan.target).filter(|_| !self.late.holds(plan)) else {
            return Some(NotFresh);
        };
        let Some(pass) = self.gate.try_enter(&gate::key(&plan.source), promise.since()) else { return Some(NotFresh) };
        let act = Act::Mount { plan: Box::new(plan.clone()), abandoned: false };
        let Ok(ticket) = self.targets.begin_as(place.clone(), act, promise)? else { return Some(NotFresh) };
        // After the ticket: what was not there before it does not come while it is held.
        match target::make(&plan.target) {
            // Nothing is mounted on a directory that did not exist: it needs no look.
            Ok(true) => made.store(true, Ordering::SeqCst),
            Ok(false) if matches!(self.see("mount", &place), Ok((_, MountState::Directory))) => {}
            _ => {
                ticket.withdraw();
                return Some(NotFresh);
            }
        }
        let result = self.mount_on(plan, &place);
        drop(pass);
        self.settle(ticket, plan, &place, result);
        None
    }

    /// Takes away what is mounted at a target, or tells what is in the way. The directory is removed too if that is wanted
    /// and somebody still waits; after that its path may be used again.
    pub(super) fn begin_unmount(
        &self,
        target: &Path,
        may_force: bool,
        removed: Option<&AtomicBool>,
        promise: &Promise<()>,
    ) -> Option<UnmountHindrance> {
        let place = target::place(target);
        let ticket = match self.targets.begin_as(place.clone(), Act::Unmount { rescued: false }, promise)? {
            Ok(ticket) => ticket,
            Err((act, handle)) => return Some((place, act, handle)),
        };
        let mut result = self.unmount(target, &place, may_force);
        if let (Ok(()), Some(removed)) = (&result, removed)
            && promise.since().elapsed() < self.settings.limits.unmount
        {
            result = target::remove(target);
            removed.store(result.is_ok(), Ordering::SeqCst);
        }
        ticket.finish(result);
        None
    }
}
