//! NodeUnpublishVolume: unmounting all that is at a target, and removing its directory.
//!
//! An unmount is plain, and its end is waited for: while the servers answer, it is writing data back. `MNT_FORCE` is never
//! used. What is in use, or does not end, while its servers are dead is detached: the path is free at once, and what is
//! unwritten stays with the kernel and goes out if the servers come back. A path is never asked about before it is
//! unmounted, since that could hang by itself.

use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;

use super::client_state::servers::ServerState;
use super::errno;
use super::node::Node;
use super::registry::{Answer, Key, Met, Signal, Start, Ticket, Waiter, What};
use super::syscalls::{SysError, UnmountFlags};
use super::{KernelMounter, open_users};
use crate::adapters::mountinfo::{MountEntry, Mountinfo};
use crate::adapters::target;
use crate::ports::mounter::{MountError, MountErrorKind};

const OPERATION: &str = "unmount";
/// Most mounts that one call unmounts at one path.
const STACKED: usize = 64;

impl KernelMounter {
    /// Unmounts and removes the directory. A mount that is in progress there is abandoned first.
    pub(super) async fn unmount_target(&self, target: &Path) -> Result<(), MountError> {
        let limits = &self.node.settings.limits;
        loop {
            let (given, since) = (target.to_owned(), Instant::now());
            let work = move |node: &Node, start| node.unmount(&given, start);
            let mut waiter = self.start(OPERATION, target, limits.unmount, work).await?;
            match waiter.wait(limits.unmount).await {
                Some(Signal::Ended(reply)) => return reply.map(drop),
                Some(Signal::Met(met)) if met.what.is_mount() => {
                    if !self.abandon(met).await {
                        return self.leave_hanging(target).await;
                    }
                }
                Some(Signal::Met(Met { since, waiter, .. })) => {
                    if self.follow(target, waiter, since).await? {
                        return Ok(());
                    }
                }
                Some(Signal::NeedsPermit) => {}
                None => {
                    if self.follow(target, waiter, since).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits for an unmount in progress. `false` if the path has to be unmounted once more.
    async fn follow(&self, target: &Path, mut waiter: Waiter, since: Instant) -> Result<bool, MountError> {
        let limits = &self.node.settings.limits;
        let mut examined_in = limits.unmount.saturating_sub(since.elapsed());
        loop {
            let rest = limits.unmount_at_most.saturating_sub(since.elapsed());
            match waiter.wait(examined_in.min(rest)).await {
                Some(Signal::Ended(reply)) => return reply.map(|_| true),
                Some(_) => return Ok(false),
                None => examined_in = limits.unmount,
            }
            let (given, is_last) = (target.to_owned(), since.elapsed() >= limits.unmount_at_most);
            let work = move |node: &Node| node.detach_if_dead(&given, is_last);
            if self.on_thread(OPERATION, target.display().to_string(), limits.unmount, work).await? {
                return Ok(true);
            }
            if is_last {
                return Err(errno::stuck(OPERATION, target.display().to_string(), since.elapsed()));
            }
        }
    }

    /// Abandons a mount that is in progress; whether it has ended then.
    async fn abandon(&self, met: Met) -> bool {
        self.node.registry.update(&met.key, |what| {
            if let What::Mount { abandoned, .. } = what {
                *abandoned = true;
            }
        });
        let mut waiter = met.waiter;
        waiter.wait(self.node.settings.limits.abandon).await.is_some()
    }

    /// What an unmount answers while an abandoned mount still hangs.
    async fn leave_hanging(&self, target: &Path) -> Result<(), MountError> {
        let (given, limit) = (target.to_owned(), self.node.settings.limits.abandon);
        self.local(OPERATION, target, move |node| {
            if node.is_mounted(&given)? {
                return Err(errno::stuck(OPERATION, given.display().to_string(), limit));
            }
            tracing::warn!(target = %given.display(), "a mount hangs whose target is unpublished; it is left to end alone");
            Ok(target::remove(&given)?)
        })
        .await
    }
}

impl Node {
    /// The whole unmount.
    fn unmount(&self, target: &Path, start: Start) {
        let place = match target::canonical(OPERATION, target) {
            Ok(Some(place)) => place,
            // Without a parent nothing is mounted, and there is no directory.
            Ok(None) => return start.end(Ok(Answer::Done)),
            Err(error) => return start.end(Err(error.into())),
        };
        let what = What::Unmount { source: None, before: ServerState::Unknown };
        let Some(ticket) = self.registry.begin(Key::Target(place.clone()), what, start) else { return };
        let mut result = self.unmount_all(target, &place, &ticket);
        // Once nobody waits any more, another call may use the path.
        if result.is_ok() && ticket.is_waited_for() {
            result = target::remove(target).map_err(MountError::from);
        }
        ticket.finish(result.map(|()| Answer::Done));
    }

    /// Unmounts all mounts of the driver's type at a place.
    fn unmount_all(&self, target: &Path, place: &Path, ticket: &Ticket) -> Result<(), MountError> {
        let mut refused = None;
        for _ in 0..STACKED {
            let mounts = self.mounts(OPERATION, target)?;
            let mut stack = mounts.at(place);
            let Some(top) = stack.pop() else {
                self.records.forget(place);
                return Ok(());
            };
            if !self.is_ours(&top) {
                return Err(not_owned(target, &top));
            }
            if refused == Some(top.id) {
                return Err(errno::of_unmount(Errno::EINVAL.into(), target));
            }
            let before = self.servers_by_imports(&top.source);
            self.registry.update(ticket.key(), |what| {
                *what = What::Unmount { source: Some(top.source.clone()), before };
            });
            match self.calls.unmount(place, UnmountFlags::Plain).map_err(|error| (error.errno(), error)) {
                Ok(()) if stack.is_empty() => {
                    self.records.forget(place);
                    return Ok(());
                }
                Ok(()) => {}
                // Somebody else was faster, or it cannot be unmounted from here: the next observation shows which.
                Err((Errno::EINVAL | Errno::ENOENT, _)) => refused = Some(top.id),
                Err((Errno::EBUSY, _)) => self.unmount_busy(target, place, &top, before, &mounts)?,
                Err((_, error)) => return Err(errno::of_unmount(error, target)),
            }
        }
        let message = format!("more than {STACKED} mounts are stacked there");
        Err(MountError::at(MountErrorKind::Failed, OPERATION, target, message))
    }

    /// A mount in use: detached if its servers are dead, otherwise reported with who uses it.
    fn unmount_busy(
        &self,
        target: &Path,
        place: &Path,
        top: &MountEntry,
        before: ServerState,
        mounts: &Mountinfo,
    ) -> Result<(), MountError> {
        let servers = self.servers(&top.source, before);
        if servers == ServerState::Dead {
            return self.detach(place, &top.source).map_err(|errno| errno::of_unmount(errno, target));
        }
        // What used it may have been the driver's own statfs, or has ended meanwhile.
        if self.calls.unmount(place, UnmountFlags::Plain).is_ok() {
            return Ok(());
        }
        let users = open_users::find(top, mounts);
        let users = if users.is_empty() { String::new() } else { format!(": {}", users.join(", ")) };
        let doubt = if servers == ServerState::Unknown { "; whether its servers answer is unknown" } else { "" };
        let hint = "end what uses it; it is detached only when its servers are dead";
        let message = format!("the mount is in use{users}{doubt}");
        Err(MountError::at(MountErrorKind::Busy, OPERATION, target, message)
            .with_hint(hint)
            .caused_by(SysError::from(Errno::EBUSY)))
    }

    /// For an unmount that does not end: whether its target may be given up. It may if its servers are dead, or
    /// (`is_last`) if it has written back for as long as any call waits for, and the path is free.
    fn detach_if_dead(&self, target: &Path, is_last: bool) -> Result<bool, MountError> {
        let Some(place) = target::canonical(OPERATION, target)? else { return Ok(true) };
        let Some(What::Unmount { source, before }) = self.registry.update(&Key::Target(place.clone()), |_| {}) else {
            return Ok(false);
        };
        let servers = source.as_ref().map_or(ServerState::Unknown, |source| self.servers(source, before));
        let mounted = self.mounts(OPERATION, target)?.at(&place).pop();
        match (mounted, servers) {
            (Some(top), ServerState::Dead) if self.is_ours(&top) => {
                self.detach(&place, &top.source).map_err(|errno| errno::of_unmount(errno, target))?;
            }
            (None, ServerState::Dead) => {
                tracing::warn!(target = %place.display(), source, "unmounted, though its dead servers have not taken all data");
            }
            (None, _) if is_last => {
                let after = self.settings.limits.unmount_at_most;
                tracing::warn!(target = %place.display(), source, ?after, "unmounted, but the kernel is still writing data back");
            }
            _ => return Ok(false),
        }
        self.records.forget(&place);
        target::remove(target)?;
        Ok(true)
    }

    /// Detaches the uppermost mount of a place.
    fn detach(&self, place: &Path, source: &str) -> Result<(), SysError> {
        tracing::warn!(target = %place.display(), source, "the servers of a mount are dead; it is detached");
        match self.calls.unmount(place, UnmountFlags::Detach) {
            Err(error) if !matches!(error.errno(), Errno::EINVAL | Errno::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }

    fn is_mounted(&self, target: &Path) -> Result<bool, MountError> {
        let place: Option<PathBuf> = target::canonical(OPERATION, target)?;
        let Some(place) = place else { return Ok(false) };
        Ok(self.mounts(OPERATION, target)?.at(&place).last().is_some_and(|top| self.is_ours(top)))
    }
}

fn not_owned(target: &Path, top: &MountEntry) -> MountError {
    let message =
        format!("a {} mount of {} is there, which this driver did not make; it stays", top.fs_type, top.source);
    MountError::at(MountErrorKind::Busy, OPERATION, target, message).with_hint("unmount it by hand if nobody needs it")
}
