//! NodeUnpublishVolume: unmounting everything at a target, and removing its directory.
//!
//! An unmount is plain, and its end is waited for: while the servers answer, it writes data back. `MNT_FORCE` is never
//! used. A mount that is in use, or an unmount that does not end, while its servers are dead is detached: the path is free
//! at once, and unwritten data stays with the kernel and is written if the servers come back. No file below a path is
//! accessed before it is unmounted, since that could hang by itself.

use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;

use super::blocking::BlockingMounter;
use super::client_state::servers::ServerState;
use super::mounter::{KernelMounter, LOCAL};
use super::operation_registry::{
    OperationEvent, OperationGuard, OperationKey, OperationOutput, OperationWaiter, PendingOperation, RunningOperation,
    TargetOperation,
};
use super::syscalls::{SysError, UnmountFlags};
use super::{errno, open_users};
use crate::adapters::mountinfo::{MountEntry, Mountinfo};
use crate::adapters::target;
use crate::ports::mounter::{MountError, MountErrorKind};

const OPERATION: &str = "unmount";
/// Most mounts that one call unmounts at one path.
const STACKED: usize = 64;

impl KernelMounter {
    /// Unmounts and removes the directory. A mount that is in progress there is abandoned first.
    pub(super) async fn unmount_target(&self, target: &Path) -> Result<(), MountError> {
        let limit = self.blocking.settings.limits.unmount;
        loop {
            let (owned, since) = (target.to_owned(), Instant::now());
            let work = move |blocking: &BlockingMounter, pending| blocking.unmount(&owned, pending);
            let mut waiter = self.start(OPERATION, target.display(), limit, work).await?;
            let is_done = match waiter.wait(limit).await {
                Some(OperationEvent::Ended(result)) => return result.map(drop),
                Some(OperationEvent::PermitNeeded) => false,
                Some(OperationEvent::Conflict(RunningOperation {
                    key,
                    operation: TargetOperation::Mount { .. },
                    waiter,
                    ..
                })) => {
                    if !self.abandon(&key, waiter).await {
                        return self.remove_under_hung_mount(target).await;
                    }
                    false
                }
                Some(OperationEvent::Conflict(unmount)) => self.follow(target, unmount.waiter, unmount.since).await?,
                None => self.follow(target, waiter, since).await?,
            };
            if is_done {
                return Ok(());
            }
        }
    }

    /// Waits for an unmount in progress. `false` if the path has to be unmounted once more.
    async fn follow(&self, target: &Path, mut waiter: OperationWaiter, since: Instant) -> Result<bool, MountError> {
        let limits = &self.blocking.settings.limits;
        let mut next_check = limits.unmount.saturating_sub(since.elapsed());
        loop {
            let rest = limits.unmount_at_most.saturating_sub(since.elapsed());
            match waiter.wait(next_check.min(rest)).await {
                Some(OperationEvent::Ended(result)) => return result.map(|_| true),
                Some(_) => return Ok(false),
                None => next_check = limits.unmount,
            }
            let (owned, is_last) = (target.to_owned(), since.elapsed() >= limits.unmount_at_most);
            let work = move |blocking: &BlockingMounter| blocking.detach_if_dead(&owned, is_last);
            if self.on_thread(OPERATION, target.display(), limits.unmount, work).await? {
                return Ok(true);
            }
            if is_last {
                return Err(errno::stuck(OPERATION, target.display().to_string(), since.elapsed()));
            }
        }
    }

    /// Abandons a mount that is in progress; whether it has ended then.
    async fn abandon(&self, key: &OperationKey, mut waiter: OperationWaiter) -> bool {
        self.blocking.registry.update(key, TargetOperation::abandon);
        waiter.wait(self.blocking.settings.limits.abandon).await.is_some()
    }

    /// Removes the target while an abandoned mount of it still hangs.
    async fn remove_under_hung_mount(&self, target: &Path) -> Result<(), MountError> {
        let (owned, limit) = (target.to_owned(), self.blocking.settings.limits.abandon);
        self.on_thread(OPERATION, target.display(), LOCAL, move |blocking| {
            if blocking.is_mounted(&owned)? {
                return Err(errno::stuck(OPERATION, owned.display().to_string(), limit));
            }
            tracing::warn!(target = %owned.display(), "a mount hangs whose target is unpublished; it is left to end alone");
            target::remove(&owned)
        })
        .await
    }
}

impl BlockingMounter {
    /// The whole unmount.
    fn unmount(&self, target: &Path, pending: PendingOperation) {
        let canonical = match target::canonical(OPERATION, target) {
            Ok(Some(canonical)) => canonical,
            // Without a parent nothing is mounted, and there is no directory.
            Ok(None) => return pending.end(Ok(OperationOutput::Done)),
            Err(error) => return pending.end(Err(error)),
        };
        let operation = TargetOperation::Unmount { source: None, before: ServerState::Unknown };
        let key = OperationKey::Target(canonical.clone());
        let Some(guard) = self.registry.begin(key, operation, pending) else { return };
        let mut result = self.unmount_all(target, &canonical, &guard);
        // Once no caller waits any more, another call may use the path.
        if result.is_ok() && guard.is_waited_for() {
            result = target::remove(target);
        }
        guard.end(result.map(|()| OperationOutput::Done));
    }

    /// Unmounts all mounts of the driver's type at a target.
    fn unmount_all(&self, target: &Path, canonical: &Path, guard: &OperationGuard) -> Result<(), MountError> {
        let mut refused = None;
        for _ in 0..STACKED {
            let mounts = self.mounts(OPERATION, target)?;
            let mut stack = mounts.at(canonical);
            let Some(top) = stack.pop() else {
                self.records.remove(canonical);
                return Ok(());
            };
            if !self.is_ours(&top) {
                return Err(not_owned(target, &top));
            }
            if refused == Some(top.id) {
                return Err(errno::of_unmount(Errno::EINVAL.into(), target));
            }
            let before = self.client.server_state(&top.source);
            guard.update(TargetOperation::Unmount { source: Some(top.source.clone()), before });
            match self.syscalls.unmount(canonical, UnmountFlags::Plain).map_err(|error| (error.errno(), error)) {
                Ok(()) if stack.is_empty() => {
                    self.records.remove(canonical);
                    return Ok(());
                }
                Ok(()) => {}
                // Unmounted by another process, or not possible from here: the next observation shows which.
                Err((Errno::EINVAL | Errno::ENOENT, _)) => refused = Some(top.id),
                Err((Errno::EBUSY, _)) => self.unmount_busy(target, &top, before, &mounts)?,
                Err((_, error)) => return Err(errno::of_unmount(error, target)),
            }
        }
        let message = format!("more than {STACKED} mounts are stacked there");
        Err(MountError::at(MountErrorKind::Failed, OPERATION, target, message))
    }

    /// A mount in use: detached if its servers are dead, otherwise reported with its users.
    fn unmount_busy(
        &self,
        target: &Path,
        top: &MountEntry,
        before: ServerState,
        mounts: &Mountinfo,
    ) -> Result<(), MountError> {
        let servers = self.server_state(&top.source, before);
        if servers == ServerState::Dead {
            return self.detach(target, top);
        }
        // The user may have been the driver's own statfs, or has ended meanwhile.
        if self.syscalls.unmount(&top.mount_point, UnmountFlags::Plain).is_ok() {
            return Ok(());
        }
        let users = open_users::find(top, mounts);
        let users = if users.is_empty() { String::new() } else { format!(": {}", users.join(", ")) };
        let unknown = if servers == ServerState::Unknown { "; whether its servers answer is unknown" } else { "" };
        let message = format!("the mount is in use{users}{unknown}");
        Err(MountError::at(MountErrorKind::Busy, OPERATION, target, message)
            .with_hint("end what uses it; it is detached only when its servers are dead")
            .caused_by(SysError::from(Errno::EBUSY)))
    }

    /// For an unmount that does not end: whether its target is free now. A mount whose servers are dead is detached. With
    /// `is_last`, data has been written back for as long as any call waits, and a free path is enough.
    fn detach_if_dead(&self, target: &Path, is_last: bool) -> Result<bool, MountError> {
        let Some(canonical) = target::canonical(OPERATION, target)? else { return Ok(true) };
        let key = OperationKey::Target(canonical.clone());
        let Some(TargetOperation::Unmount { source, before }) = self.registry.update(&key, |_| {}) else {
            return Ok(false);
        };
        let servers = source.as_ref().map_or(ServerState::Unknown, |source| self.server_state(source, before));
        let mounted = self.mounts(OPERATION, target)?.at(&canonical).pop();
        match (mounted, servers) {
            (Some(top), ServerState::Dead) if self.is_ours(&top) => self.detach(target, &top)?,
            (None, ServerState::Dead) => {
                tracing::warn!(target = %canonical.display(), source, "unmounted, though its dead servers have not taken all data");
            }
            (None, _) if is_last => {
                let after = self.settings.limits.unmount_at_most;
                tracing::warn!(target = %canonical.display(), source, ?after, "unmounted, but the kernel is still writing data back");
            }
            _ => return Ok(false),
        }
        self.records.remove(&canonical);
        target::remove(target)?;
        Ok(true)
    }

    /// Detaches the uppermost mount of a target.
    fn detach(&self, target: &Path, top: &MountEntry) -> Result<(), MountError> {
        let (canonical, source) = (&top.mount_point, &top.source);
        tracing::warn!(target = %canonical.display(), source, "the servers of a mount are dead; it is detached");
        match self.syscalls.unmount(canonical, UnmountFlags::Detach) {
            Err(error) if !matches!(error.errno(), Errno::EINVAL | Errno::ENOENT) => {
                Err(errno::of_unmount(error, target))
            }
            _ => Ok(()),
        }
    }

    fn is_mounted(&self, target: &Path) -> Result<bool, MountError> {
        let Some(canonical) = target::canonical(OPERATION, target)? else { return Ok(false) };
        Ok(self.mounted_at(OPERATION, target, &canonical)?.is_some())
    }
}

fn not_owned(target: &Path, top: &MountEntry) -> MountError {
    let message =
        format!("a {} mount of {} is there, which this driver did not make; it stays", top.fs_type, top.source);
    MountError::at(MountErrorKind::Busy, OPERATION, target, message).with_hint("unmount it by hand if it is not needed")
}
