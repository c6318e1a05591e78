//! NodeGetVolumeStats: statfs(2) of a mounted volume, on a thread of its own and once at a time for each path.
//!
//! On dead servers a statfs hangs for 16 s and longer. A call that finds one past its limit fails at once, so that each such
//! volume does not delay kubelet's loop over all volumes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::blocking::BlockingMounter;
use super::errno;
use super::mounter::KernelMounter;
use super::operation_registry::{OperationEvent, OperationKey, OperationOutput, PendingOperation, TargetOperation};
use crate::adapters::target;
use crate::ports::mounter::{MountError, Usage};

const OPERATION: &str = "statfs";

impl KernelMounter {
    /// Usage of the volume mounted at a path.
    pub(super) async fn usage_at(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        let (owned, limit) = (path.to_owned(), self.blocking.settings.limits.statfs);
        self.run_statfs(path, limit, move |blocking, pending| blocking.usage(&owned, pending)).await
    }

    /// statfs(2) of the canonical path of a mounted volume.
    pub(super) async fn statfs(&self, canonical: &Path, limit: Duration) -> Result<Option<Usage>, MountError> {
        let owned = canonical.to_owned();
        self.run_statfs(canonical, limit, move |blocking, pending| blocking.statfs(&owned, pending)).await
    }

    async fn run_statfs(
        &self,
        path: &Path,
        limit: Duration,
        work: impl FnOnce(&BlockingMounter, PendingOperation) + Send + 'static,
    ) -> Result<Option<Usage>, MountError> {
        let mut event = self.start(OPERATION, path.display(), limit, work).await?.wait(limit).await;
        if let Some(OperationEvent::Conflict(mut running)) = event {
            let is_overdue = running.since.elapsed() >= self.blocking.settings.limits.statfs;
            event = running.waiter.wait(if is_overdue { Duration::ZERO } else { limit }).await;
        }
        match event {
            Some(OperationEvent::Ended(result)) => Ok(match result? {
                OperationOutput::Usage(usage) => usage,
                OperationOutput::Done | OperationOutput::Mount(_) => None,
            }),
            _ => Err(errno::stuck(OPERATION, path.display().to_string(), limit)),
        }
    }
}

impl BlockingMounter {
    fn usage(&self, path: &Path, pending: PendingOperation) {
        match self.volume_at(path) {
            Ok(Some(canonical)) => self.statfs(&canonical, pending),
            Ok(None) => pending.end(Ok(OperationOutput::Usage(None))),
            Err(error) => pending.end(Err(error)),
        }
    }

    /// The canonical path, if a volume is mounted there.
    fn volume_at(&self, path: &Path) -> Result<Option<PathBuf>, MountError> {
        let Some(canonical) = target::canonical(OPERATION, path)? else { return Ok(None) };
        Ok(self.mounted_at(OPERATION, path, &canonical)?.map(|_| canonical))
    }

    fn statfs(&self, canonical: &Path, pending: PendingOperation) {
        let key = OperationKey::Statfs(canonical.to_owned());
        let Some(guard) = self.registry.begin(key, TargetOperation::Statfs, pending) else { return };
        let usage = self.syscalls.statfs(canonical).map_err(|errno| errno::of_statfs(errno, canonical));
        guard.end(usage.map(|usage| OperationOutput::Usage(Some(usage))));
    }
}
