//! The clock of the machine, and one that runs a fixed number of times faster.
//!
//! Why two: RPC deadlines are always real time, while the simulated cloud and our polling of it run at
//! `--simulator-speed`.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::ports::clock::Clock;

/// Real time on tokio's timer.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Real time, sped up.
#[derive(Debug)]
pub struct ScaledClock {
    started: Instant,
    speed: u32,
}

impl ScaledClock {
    /// A clock that begins now and runs `speed` times as fast as real time; 0 counts as 1.
    pub fn new(speed: u32) -> Self {
        Self { started: Instant::now(), speed: speed.max(1) }
    }
}

#[async_trait]
impl Clock for ScaledClock {
    fn now(&self) -> Duration {
        self.started.elapsed().saturating_mul(self.speed)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration / self.speed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_clock_runs_ahead_of_the_systems() {
        let (scaled, real) = (ScaledClock::new(1_000_000), SystemClock::new());
        std::thread::yield_now();
        let (fast, slow) = (scaled.now(), real.now());
        assert!(fast > slow * 1000, "{fast:?} against {slow:?}");
        assert_eq!(ScaledClock::new(0).speed, 1);
    }
}
