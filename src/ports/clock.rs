//! The clock port: tests turn it by hand and the simulator runs it fast.

use std::time::Duration;

use async_trait::async_trait;

/// A monotonic clock.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Time since an arbitrary, fixed beginning. Never goes back.
    fn now(&self) -> Duration;

    /// The same moment as Unix time, for messages such as "next try at 14:03:20 UTC"; nothing is decided by it. A clock whose
    /// times no person sees counts from its own beginning.
    fn unix_time(&self) -> Duration {
        self.now()
    }

    /// Ends when `duration` has passed on this clock. Dropping the future is harmless.
    async fn sleep(&self, duration: Duration);
}
