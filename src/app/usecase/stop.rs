//! Shutdown of the process, for the use-cases: what only waits ends at once, what was sent is waited for.

use std::future::pending;

use super::shared::{Shared, first};

/// Comes once, when the process is asked to end.
#[derive(Debug, Clone)]
pub(super) struct Stop(Shared<()>);

impl Stop {
    /// Comes when `stop` ends.
    pub(super) fn at(stop: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Shared::new(stop))
    }

    /// Never comes.
    pub(super) fn never() -> Self {
        Self::at(pending())
    }

    /// Whether it has come.
    pub(super) async fn has_come(&self) -> bool {
        self.unless_stopped(async {}).await.is_none()
    }

    /// Runs `work` to its end, or drops it when the process is asked to end (`None`).
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let stop = async {
            self.0.outcome().await;
            None
        };
        first(stop, async { Some(work.await) }).await
    }
}
