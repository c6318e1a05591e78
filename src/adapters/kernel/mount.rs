//! NodePublishVolume's mount: one whole operation, after which the volume is mounted or nothing of the call is left.
//!
//! Everything is done on one thread, since each change of threads costs as much as a mount(2) of tmpfs: the target's
//! directory, the comparison with what is mounted there, the permit of the MGS, mount(2), the record. A conflict or a
//! missing permit is reported to the caller, which waits for it or refuses.

use std::path::Path;
use std::sync::Arc;

use super::blocking::BlockingMounter;
use super::errno;
use super::mgs_limit::{self, Permit};
use super::mounter::KernelMounter;
use super::operation_registry::{
    MountAttempt, OperationGuard, OperationKey, OperationOutput, PendingOperation, TargetOperation,
};
use super::syscalls::SysError;
use crate::adapters::target;
use crate::domain::mount::MountPlan;
use crate::ports::mounter::{MountError, MountErrorKind, MountOutcome};
use crate::ports::node_faults::NodeFault;

const OPERATION: &str = "mount";
/// Most corrupt mounts that one call replaces at one target.
const REPLACED: usize = 16;

impl KernelMounter {
    /// Mounts; a mount that is found corrupt is replaced in the same call.
    pub(super) async fn mount_plan(&self, plan: &MountPlan) -> Result<MountOutcome, MountError> {
        let plan = Arc::new(plan.clone());
        let mut replace = None;
        for _ in 0..REPLACED {
            let MountAttempt { outcome, found } = self.attempt(&plan, replace).await?;
            let Some((canonical, mount_id)) = found else { return Ok(outcome) };
            let Some(reason) = self.corruption(&canonical).await else { return Ok(outcome) };
            tracing::warn!(target = %canonical.display(), reason, "a corrupt mount is replaced");
            replace = Some(mount_id);
        }
        let message = "what is mounted there is corrupt, however often it is replaced";
        Err(MountError::at(MountErrorKind::Unreachable, OPERATION, &plan.target, message)
            .with_hint(errno::REACHABILITY))
    }

    async fn attempt(&self, plan: &Arc<MountPlan>, replace: Option<u64>) -> Result<MountAttempt, MountError> {
        let own = TargetOperation::Mount { plan: Arc::clone(plan), abandoned: false };
        let planned = Arc::clone(plan);
        let work =
            move |blocking: &BlockingMounter, permit, pending| blocking.mount(&planned, permit, replace, pending);
        let subject = plan.target.display().to_string();
        let output = self.run_with_permit(OPERATION, subject, &plan.source, &own, work).await?;
        if let OperationOutput::Mount(attempt) = output {
            return Ok(attempt);
        }
        let message = "another operation ended there instead";
        Err(MountError::at(MountErrorKind::Unknown, OPERATION, &plan.target, message))
    }

    /// Why a mount is corrupt, if it is. One that does not answer in time is not: its servers may come back.
    async fn corruption(&self, canonical: &Path) -> Option<String> {
        self.corrupt_errno(canonical).await?;
        tokio::time::sleep(self.blocking.settings.limits.recheck_after).await;
        Some(format!("statfs failed twice: {}", self.corrupt_errno(canonical).await?))
    }

    async fn corrupt_errno(&self, canonical: &Path) -> Option<SysError> {
        let error = self.statfs(canonical, self.blocking.settings.limits.observe).await.err()?;
        errno::of(&error).filter(|errno| errno::is_corrupt(*errno))
    }
}

impl BlockingMounter {
    /// The whole mount. `replace` is the mount id of a corrupt mount, which is unmounted first.
    fn mount(&self, plan: &Arc<MountPlan>, permit: Option<Permit>, replace: Option<u64>, pending: PendingOperation) {
        let canonical = match target::canonical(OPERATION, &plan.target) {
            Ok(Some(canonical)) => canonical,
            Ok(None) => return pending.end(Err(target::no_parent(OPERATION, &plan.target))),
            Err(error) => return pending.end(Err(error)),
        };
        let operation = TargetOperation::Mount { plan: Arc::clone(plan), abandoned: false };
        let key = OperationKey::Target(canonical.clone());
        let Some(guard) = self.registry.begin(key, operation, pending) else { return };
        match self.mount_or_report(plan, &canonical, permit, replace).transpose() {
            Some(result) => self.complete(guard, &canonical, result),
            None => guard.end_for_permit(),
        }
    }

    /// Mounts, unless something is mounted there already. `None`, without a change, where a permit is missing.
    fn mount_or_report(
        &self,
        plan: &MountPlan,
        canonical: &Path,
        permit: Option<Permit>,
        replace: Option<u64>,
    ) -> Result<Option<MountAttempt>, MountError> {
        self.check_propagation(&plan.target, canonical)?;
        // Nothing is mounted on a directory that did not exist: mountinfo need not be read.
        let made = target::make(&plan.target)?;
        if !made && let Some(found) = self.occupancy(plan, canonical, replace)? {
            return Ok(Some(found));
        }
        let permit = permit.or_else(|| self.mgs_limit.try_acquire(&mgs_limit::first_nid(&plan.source)));
        let result = permit.map(|permit| self.mount_at(plan, canonical, permit)).transpose();
        if made
            && !matches!(result, Ok(Some(())))
            && let Err(error) = target::remove(&plan.target)
        {
            tracing::warn!(?error, "the directory of a mount that failed stays");
        }
        Ok(result?.map(|()| MountAttempt { outcome: MountOutcome::Mounted, found: None }))
    }

    /// Refuses a target at which kubelet would not see the mount.
    fn check_propagation(&self, target: &Path, canonical: &Path) -> Result<(), MountError> {
        let fault = self.propagation.as_ref().and_then(|propagation| propagation.fault_for(canonical));
        fault.map_or(Ok(()), |fault| {
            let NodeFault { message, hint } = fault.into();
            Err(MountError::at(MountErrorKind::NotReady, OPERATION, target, message).with_hint(hint))
        })
    }

    /// Ends a mount: as it is, or unmounted again if it was abandoned meanwhile.
    fn complete(&self, guard: OperationGuard, canonical: &Path, result: Result<MountAttempt, MountError>) {
        let mounted = matches!(&result, Ok(MountAttempt { outcome: MountOutcome::Mounted, .. }));
        let error = result.as_ref().err().cloned();
        match guard.end_unless_abandoned(result.map(OperationOutput::Mount)) {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!(target = %canonical.display(), mounted, fault = ?error, "a mount has ended after its call");
            }
            Err(guard) => {
                if mounted {
                    tracing::warn!(target = %canonical.display(), "a mount succeeded after its target was unpublished; it is unmounted");
                    self.undo(canonical);
                }
                let message = "the target was unpublished while the mount was in progress";
                guard.end(Err(MountError::at(MountErrorKind::Stuck, OPERATION, canonical, message)));
            }
        }
    }

    /// Unmounts what this process mounted last at a target, and nothing else.
    fn undo(&self, canonical: &Path) {
        let is_recorded = |mount| self.records.of(&mount).is_some();
        let mounts = self.mounts("unmount", canonical);
        if mounts.is_ok_and(|mounts| mounts.at(canonical).pop().is_some_and(is_recorded))
            && let Err(errno) = self.unmount_or_detach(canonical)
        {
            tracing::error!(%errno, target = %canonical.display(), "a mount of an unpublished target stays; unmount it by hand");
        }
        self.records.remove(canonical);
    }
}
