//! NodeGetVolumeStats: statfs(2) of a mounted volume, on a thread of its own and once at a time for each path.
//!
//! On dead servers a statfs hangs for 16 s and longer. A call that meets one past its limit is answered at once, so that
//! kubelet's loop over all volumes is not held up by each of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::KernelMounter;
use super::errno;
use super::node::Node;
use super::registry::{Answer, Key, Signal, Start, What};
use crate::adapters::target;
use crate::ports::mounter::{MountError, Usage};

const OPERATION: &str = "statfs";

impl KernelMounter {
    /// Usage of the volume mounted at a path.
    pub(super) async fn usage_at(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        let given = path.to_owned();
        let limit = self.node.settings.limits.statfs;
        self.ask(path, limit, move |node, start| node.usage(&given, start)).await
    }

    /// statfs(2) of a canonical path that a volume is mounted at.
    pub(super) async fn statfs(&self, place: &Path, limit: Duration) -> Result<Option<Usage>, MountError> {
        let given = place.to_owned();
        self.ask(place, limit, move |node, start| node.statfs(&given, start)).await
    }

    async fn ask(
        &self,
        path: &Path,
        limit: Duration,
        work: impl FnOnce(&Node, Start) + Send + 'static,
    ) -> Result<Option<Usage>, MountError> {
        let mut waiter = self.start(OPERATION, path, limit, work).await?;
        let mut signal = waiter.wait(limit).await;
        if let Some(Signal::Met(mut met)) = signal {
            let is_overdue = met.since.elapsed() >= self.node.settings.limits.statfs;
            signal = met.waiter.wait(if is_overdue { Duration::ZERO } else { limit }).await;
        }
        match signal {
            Some(Signal::Ended(reply)) => Ok(match reply? {
                Answer::Usage(usage) => usage,
                Answer::Done | Answer::Mount(_) => None,
            }),
            _ => Err(errno::stuck(OPERATION, path.display().to_string(), limit)),
        }
    }
}

impl Node {
    fn usage(&self, path: &Path, start: Start) {
        match self.volume_at(path) {
            Ok(Some(place)) => self.statfs(&place, start),
            Ok(None) => start.end(Ok(Answer::Usage(None))),
            Err(fault) => start.end(Err(fault)),
        }
    }

    /// The canonical path, if a volume is mounted there.
    fn volume_at(&self, path: &Path) -> Result<Option<PathBuf>, MountError> {
        let Some(place) = target::canonical(OPERATION, path)? else { return Ok(None) };
        let top = self.mounts(OPERATION, path)?.at(&place).pop();
        Ok(top.is_some_and(|top| self.is_ours(&top)).then_some(place))
    }

    fn statfs(&self, place: &Path, start: Start) {
        let Some(ticket) = self.registry.begin(Key::Statfs(place.to_owned()), What::Statfs, start) else { return };
        let answer = self.calls.statfs(place).map_err(|errno| errno::of_statfs(errno, place));
        ticket.finish(answer.map(|usage| Answer::Usage(Some(usage))));
    }
}
