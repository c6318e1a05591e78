//! How operations failed that nobody was waiting for any more, kept for the next call about the same thing.
//!
//! Why it exists: a mount on a dead server fails after minutes, when its caller has long been answered. The repeated call
//! then gets the reason instead of another attempt that takes as long.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::failure::Fault;
use crate::domain::mount::MountPlan;

/// How long a failure says something about the present.
const KEPT_FOR: Duration = Duration::from_mins(2);

/// Failures by the plan that was tried.
#[derive(Debug, Default)]
pub(super) struct Late(Mutex<BTreeMap<String, (Instant, Fault)>>);

impl Late {
    pub(super) fn keep(&self, plan: &MountPlan, fault: Fault) {
        let mut all = self.all();
        all.retain(|_, (at, _)| at.elapsed() < KEPT_FOR);
        all.insert(format!("{plan:?}"), (Instant::now(), fault));
    }

    /// Whether there is one.
    pub(super) fn holds(&self, plan: &MountPlan) -> bool {
        let all = self.all();
        !all.is_empty() && all.contains_key(&format!("{plan:?}"))
    }

    /// The failure, once.
    pub(super) fn take(&self, plan: &MountPlan) -> Option<Fault> {
        let mut all = self.all();
        // As a rule nothing failed, and the plan needs not be spelled out.
        let (at, fault) = if all.is_empty() { None } else { all.remove(&format!("{plan:?}")) }?;
        (at.elapsed() < KEPT_FOR).then_some(fault)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, Fault)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
