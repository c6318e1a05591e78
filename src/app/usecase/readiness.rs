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
use crate::ports::orchestrator::Orchestrator;

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

/// Removes the startup taint after the first readiness. Never gives up; ends when the taint is gone.
pub async fn remove_taint_when_ready(ready: &dyn Ready, orchestrator: &dyn Orchestrator, clock: &dyn Clock) {
    let mut tries = 0;
    loop {
        if ready.was_ready().await {
            match orchestrator.remove_startup_taint().await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the startup taint could not be removed; trying again"),
            }
        }
        clock.sleep(polling::pause(tries, None)).await;
        tries = tries.saturating_add(1);
    }
}
