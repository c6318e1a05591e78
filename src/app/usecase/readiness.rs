//! Readiness of the process as Probe reports it, and the removal of the startup taint that waits for it.
//!
//! kubelet kills a container whose Probe fails, which is of no use once volumes are mounted, so readiness is latched at its
//! first success. Pods are kept off the node by a taint until then, and a driver that stopped removing it would keep
//! the node empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::polling;
use crate::ports::clock::Clock;
use crate::ports::inbound::ReadinessProbe;
use crate::ports::mounter::{Mounter, Readiness};
use crate::ports::node_faults::NodeFaults;
use crate::ports::operations::{Operation, Operations};
use crate::ports::orchestrator::{Orchestrator, OrchestratorError, OrchestratorErrorKind};

/// Overdue operations that one log line names.
const NAMED: usize = 8;

/// Readiness that stays once reached.
#[derive(Debug)]
pub struct LatchedReadiness {
    mounter: Option<Arc<dyn Mounter>>,
    operations: Option<Arc<dyn Operations>>,
    reached: AtomicBool,
}

impl LatchedReadiness {
    /// Readiness of a process that mounts with `mounter`; one without (a controller) is ready once its settings were
    /// usable, which they were when it was built.
    pub fn new(mounter: Option<Arc<dyn Mounter>>) -> Self {
        Self { mounter, operations: None, reached: AtomicBool::new(false) }
    }

    /// Ready at once if file systems are mounted already when the process starts: kubelet would kill it for ever while the
    /// network is down, and only a living driver can unmount them.
    #[must_use]
    pub fn with_mounts_at_start(self, mounted: bool) -> Self {
        Self { reached: AtomicBool::new(mounted), ..self }
    }

    /// Logs the overdue ones of these operations at each Probe.
    #[must_use]
    pub fn with_operations(self, operations: Option<Arc<dyn Operations>>) -> Self {
        Self { operations, ..self }
    }

    async fn mounter_is_ready(&self) -> bool {
        let Some(mounter) = &self.mounter else { return true };
        match mounter.readiness().await {
            Readiness::Ready => true,
            Readiness::NotReady(reasons) => {
                tracing::info!(reasons = reasons.join("; "), "the node is not ready for Lustre yet");
                false
            }
        }
    }

    fn log_overdue(&self) {
        let in_progress = self.operations.iter().flat_map(|operations| operations.in_progress());
        if let Some(overdue) = overdue(in_progress.collect()) {
            tracing::warn!(overdue, "operations in progress are past their limit");
        }
    }
}

#[async_trait]
impl ReadinessProbe for LatchedReadiness {
    async fn is_ready(&self) -> bool {
        self.log_overdue();
        if !self.reached.load(Ordering::Acquire) && self.mounter_is_ready().await {
            self.reached.store(true, Ordering::Release);
        }
        self.reached.load(Ordering::Acquire)
    }
}

/// Whether pods may come to the node: the process was ready, and no fault makes its volumes unusable for them. Readiness
/// itself, as Probe reports it, does not depend on such a fault: kubelet would kill a driver that can still unmount.
#[derive(Debug)]
pub struct PodReadiness {
    ready: Arc<dyn ReadinessProbe>,
    faults: Option<Arc<dyn NodeFaults>>,
}

impl PodReadiness {
    /// Readiness with these faults; none where they do not count.
    pub fn new(ready: Arc<dyn ReadinessProbe>, faults: Option<Arc<dyn NodeFaults>>) -> Self {
        Self { ready, faults }
    }
}

#[async_trait]
impl ReadinessProbe for PodReadiness {
    async fn is_ready(&self) -> bool {
        let kept_away = self.faults.as_ref().is_some_and(|faults| faults.keeps_pods_away());
        self.ready.is_ready().await && !kept_away
    }
}

/// The operations past their limit, the oldest first: `mount of /target on 10.0.0.4@tcp for 300s`; none if there are none.
fn overdue(mut operations: Vec<Operation>) -> Option<String> {
    operations.retain(|operation| operation.overdue);
    operations.sort_by_key(|operation| std::cmp::Reverse(operation.age));
    let more = operations.len().saturating_sub(NAMED);
    let named: Vec<String> = operations.iter().take(NAMED).map(named).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| named.join(", ") + &more)
}

fn named(operation: &Operation) -> String {
    let mgs = operation.mgs.as_ref().map(|mgs| format!(" on {mgs}")).unwrap_or_default();
    format!("{} of {}{mgs} for {}s", operation.kind.name(), operation.subject, operation.age.as_secs())
}

/// Longest pause between two tries to remove the startup taints: an API server that is unreachable for an hour gets one request
/// a minute from each node.
const LONGEST_TAINT_PAUSE: Duration = Duration::from_mins(1);

/// Removes the startup taints after the first readiness. Tries until they are gone. A failure is logged when
/// its kind changes, not at each try.
pub async fn remove_taint_when_ready(ready: &dyn ReadinessProbe, orchestrator: &dyn Orchestrator, clock: &dyn Clock) {
    let (mut polls, mut attempts, mut reported) = (0, 0, None);
    loop {
        if !ready.is_ready().await {
            clock.sleep(polling::pause(polls, None)).await;
            polls = polls.saturating_add(1);
            continue;
        }
        let Err(error) = orchestrator.remove_startup_taint().await else { return };
        if reported.replace(error.kind) != Some(error.kind) {
            log_failure(&error);
        }
        clock.sleep(polling::backoff(attempts, LONGEST_TAINT_PAUSE)).await;
        attempts = attempts.saturating_add(1);
    }
}

fn log_failure(error: &OrchestratorError) {
    if error.kind == OrchestratorErrorKind::NotRegistered {
        tracing::info!(%error, "the startup taints stay until then");
    } else {
        tracing::warn!(%error, "the startup taints are not removed yet; trying again, at least once a minute");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ports::operations::OperationKind;

    fn operation(seconds: u64, overdue: bool) -> Operation {
        let (kind, mgs) = (OperationKind::Mount, Some("10.0.0.4@tcp".to_owned()));
        let (subject, age) = (format!("/target-{seconds}"), Duration::from_secs(seconds));
        Operation { kind, subject, volume_id: None, mgs, age, overdue }
    }

    #[test]
    fn overdue_operations_are_named_the_oldest_first() {
        assert_eq!(overdue(vec![]), None);
        assert_eq!(overdue(vec![operation(5, false)]), None);
        let two = overdue(vec![operation(100, true), operation(5, false), operation(300, true)]).unwrap();
        assert_eq!(two, "mount of /target-300 on 10.0.0.4@tcp for 300s, mount of /target-100 on 10.0.0.4@tcp for 100s");
        let many = overdue((100..120).map(|seconds| operation(seconds, true)).collect()).unwrap();
        assert!(many.starts_with("mount of /target-119 ") && many.ends_with(" for 112s and 12 more"), "{many}");
    }
}
