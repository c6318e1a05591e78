//! Mounts and unmounts from the call to the thread that does them, and back.
//!
//! Why one thread does it all: finding out where a target really is, whether something is under way there, and the work
//! itself are each a moment on a healthy machine. The thread tells what it met, and goes on; the call waits for the
//! operation, up to its limit, and is woken twice rather than for every step. Only a mount that has to wait for a place
//! at its server comes back in between, since no thread waits for others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::failure::Fault;
use super::gate::{self, Pass};
use super::node::{Act, Node, TargetTicket};
use super::operations::{Begun, Handle};
use super::waiting::{self, LOCAL};
use super::{KernelMounter, target};
use crate::domain::mount::MountPlan;

/// What the thread of a mount met.
enum MetByMount {
    /// The mount is under way, begun here or by an earlier call.
    UnderWay(Handle<()>),
    /// It has to wait for a place at its server.
    NoPlace(TargetTicket, Handle<()>, PathBuf),
    /// Something else is under way at its target.
    Occupied(Act),
}

/// What the thread of an unmount met at a place.
struct MetByUnmount {
    place: PathBuf,
    /// `None` for the unmount that the thread does itself.
    other: Option<Act>,
    handle: Handle<()>,
}

impl KernelMounter {
    pub(super) async fn try_mount(&self, plan: &MountPlan) -> Result<(), Fault> {
        let (node, limit) = (&self.node, self.node.settings.limits.mount);
        if let Some(fault) = node.late.take(&format!("{plan:?}")) {
            return Err(fault);
        }
        let (worker, wanted) = (Arc::clone(node), plan.clone());
        let meet = move |tell| worker.begin_mount(&wanted, tell);
        let handle = match self.meet("mount", &plan.target, meet).await? {
            MetByMount::UnderWay(handle) => handle,
            MetByMount::NoPlace(ticket, handle, place) => {
                self.mount_later(plan, place, ticket).await?;
                handle
            }
            MetByMount::Occupied(act) => return Err(waiting::occupied("mount", &plan.target, &act)),
        };
        handle.wait(limit).await.unwrap_or_else(|| Err(waiting::stuck("mount", &plan.target, limit)))
    }

    /// Begins a mount whose ticket is at hand, once its server has a place for it.
    async fn mount_later(&self, plan: &MountPlan, place: PathBuf, ticket: TargetTicket) -> Result<(), Fault> {
        let pass = match self.admit("mount", &plan.source).await {
            Ok(pass) => pass,
            Err(fault) => {
                ticket.finish(Err(fault.clone()));
                return Err(fault);
            }
        };
        let (node, plan) = (Arc::clone(&self.node), plan.clone());
        self.spawn("mount", place.display().to_string(), move || node.carry_out(&plan, &place, ticket, pass))
    }

    pub(super) async fn try_unmount(&self, target: &Path, may_force: bool) -> Result<(), Fault> {
        // A mount that is under way is abandoned first, and then what is there is taken away.
        loop {
            let (node, given) = (Arc::clone(&self.node), target.to_owned());
            let meet = move |tell| node.begin_unmount(&given, may_force, tell);
            let MetByUnmount { place, other, handle } = self.meet("unmount", target, meet).await?;
            match other {
                None | Some(Act::Unmount { .. }) => {
                    break self.wait_for_unmount(target, &place, may_force, handle).await;
                }
                Some(Act::Mount { .. }) => {
                    if !self.abandon(target, &place, handle).await? {
                        break Ok(());
                    }
                }
            }
        }
    }

    /// Gives up the mount that is under way at a place. Whether it ended meanwhile, so that there may be something to take
    /// away.
    async fn abandon(&self, target: &Path, place: &Path, handle: Handle<()>) -> Result<bool, Fault> {
        let (node, limit) = (&self.node, self.node.settings.limits.give_up);
        let abandon = |act: &mut Act| {
            if let Act::Mount { abandoned, .. } = act {
                *abandoned = true;
            }
        };
        node.targets.change(&place.to_owned(), abandon);
        if handle.wait(limit).await.is_some() {
            return Ok(true);
        }
        if self.is_mounted("unmount", place).await? {
            return Err(waiting::stuck("unmount", target, limit));
        }
        tracing::warn!(target = %place.display(), "a mount hangs whose target is unpublished; it is left to end alone");
        Ok(false)
    }

    async fn wait_for_unmount(
        &self,
        target: &Path,
        place: &Path,
        may_force: bool,
        handle: Handle<()>,
    ) -> Result<(), Fault> {
        let limit = self.node.settings.limits.unmount;
        if let Some(result) = handle.wait(limit).await {
            return result;
        }
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
        Err(waiting::stuck("unmount", target, limit))
    }

    /// Begins work on a thread and waits for what it meets.
    async fn meet<M: Send + 'static>(
        &self,
        operation: &'static str,
        target: &Path,
        work: impl FnOnce(oneshot::Sender<M>) + Send + 'static,
    ) -> Result<M, Fault> {
        let (tell, hear) = oneshot::channel();
        self.spawn(operation, target.display().to_string(), move || work(tell))?;
        match tokio::time::timeout(LOCAL, hear).await {
            Ok(Ok(met)) => Ok(met),
            Ok(Err(_)) => Err(waiting::lost(operation, target.display().to_string())),
            Err(_) => Err(waiting::stuck(operation, target, LOCAL)),
        }
    }
}

impl Node {
    /// Finds the place of a mount and does it, unless something is in the way. Whoever hears of nothing gave up before
    /// anything was begun, and then nothing is.
    fn begin_mount(self: &Arc<Self>, plan: &MountPlan, tell: oneshot::Sender<MetByMount>) {
        let place = target::place(&plan.target);
        if tell.is_closed() {
            return;
        }
        let act = Act::Mount { plan: Box::new(plan.clone()), abandoned: false };
        match self.targets.begin(place.clone(), act) {
            Begun::Mine(ticket, handle) => match self.gate.enter_now(&gate::key(&plan.source)) {
                Some(pass) => {
                    tell.send(MetByMount::UnderWay(handle)).ok();
                    self.carry_out(plan, &place, ticket, pass);
                }
                None => drop(tell.send(MetByMount::NoPlace(ticket, handle, place))),
            },
            Begun::Other(Act::Mount { plan: other, abandoned: false }, handle) if *other == *plan => {
                tell.send(MetByMount::UnderWay(handle)).ok();
            }
            Begun::Other(act, _) => drop(tell.send(MetByMount::Occupied(act))),
        }
    }

    fn carry_out(&self, plan: &MountPlan, place: &Path, ticket: TargetTicket, pass: Pass) {
        let result = self.mount(plan, place);
        drop(pass);
        self.settle(ticket, plan, place, result);
    }

    /// Finds the place of an unmount and does it, unless something is under way there.
    fn begin_unmount(self: &Arc<Self>, target: &Path, may_force: bool, tell: oneshot::Sender<MetByUnmount>) {
        let place = target::place(target);
        if tell.is_closed() {
            return;
        }
        match self.targets.begin(place.clone(), Act::Unmount { rescued: false }) {
            Begun::Mine(ticket, handle) => {
                tell.send(MetByUnmount { place: place.clone(), other: None, handle }).ok();
                ticket.finish(self.unmount(target, &place, may_force));
            }
            Begun::Other(act, handle) => drop(tell.send(MetByUnmount { place, other: Some(act), handle })),
        }
    }
}
