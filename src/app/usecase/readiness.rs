//! When the process can do its work, and the taint that waits for it.
//!
//! Why it exists: kubelet kills a container whose Probe fails, which helps nobody once volumes are mounted; so readiness
//! is latched at its first success. Pods are kept off the node by a taint until then, and a driver that gave up removing
//! it would keep the node empty for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::domain::polling;
use crate::ports::clock::Clock;
use crate::ports::inbound::Ready;
use crate::ports::mounter::{Mounter, Readiness};
use crate::ports::orchestrator::{Orchestrator, OrchestratorError, OrchestratorErrorKind};

/// Readiness that stays once reached.
#[derive(Debug)]
pub struct ReadyOnce {
    mounter: Option<Arc<dyn Mounter>>,
    reached: AtomicBool,
}

impl ReadyOnce {
    /// Readiness of a process that mounts with `mounter`; one without (a controller) is ready once its settings were
    /// usable, which they were when it was built.
    pub fn new(mounter: Option<Arc<dyn Mounter>>) -> Self {
        Self { mounter, reached: AtomicBool::new(false) }
    }

    async fn is_ready(&self) -> bool {
        let Some(mounter) = &self.mounter else { return true };
        match mounter.readiness().await {
            Readiness::Ready => true,
            Readiness::NotReady(reasons) => {
                tracing::info!(reasons = reasons.join("; "), "the node is not ready for Lustre yet");
                false
            }
        }
    }
}

#[async_trait]
impl Ready for ReadyOnce {
    async fn was_ready(&self) -> bool {
        if !self.reached.load(Ordering::Acquire) && self.is_ready().await {
            self.reached.store(true, Ordering::Release);
        }
        self.reached.load(Ordering::Acquire)
    }
}

/// Removes the startup taints after the first readiness. Never gives up; ends when they are gone. A failure is logged when
/// its kind changes, not at each try.
pub async fn remove_taint_when_ready(ready: &dyn Ready, orchestrator: &dyn Orchestrator, clock: &dyn Clock) {
    let mut polls = 0;
    while !ready.was_ready().await {
        clock.sleep(polling::pause(polls, None)).await;
        polls = polls.saturating_add(1);
    }
    let (mut attempts, mut reported) = (0, None);
    while let Err(error) = orchestrator.remove_startup_taint().await {
        if reported.replace(error.kind) != Some(error.kind) {
            log_failure(&error);
        }
        clock.sleep(polling::cluster_pause(attempts)).await;
        attempts = attempts.saturating_add(1);
    }
}

fn log_failure(error: &OrchestratorError) {
    match error.kind {
        OrchestratorErrorKind::NotRegistered => tracing::info!(%error, "the startup taints stay until then"),
        _ => tracing::warn!(%error, "the startup taints are not removed yet; trying again, at least once a minute"),
    }
}
