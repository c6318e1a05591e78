//! The clock of the machine, and one that runs a fixed number of times faster.
//!
//! Why two: RPC deadlines are always real time, while the simulated cloud and our polling of it run at
//! `--simulator-speed`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

    fn unix_time(&self) -> Duration {
        unix_time()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Real time, sped up or slowed down.
#[derive(Debug)]
pub struct ScaledClock {
    started: Instant,
    speed: f64,
}

impl ScaledClock {
    /// A clock that begins now and runs `speed` times as fast as real time. What is no positive number counts as 1.
    pub fn new(speed: f64) -> Self {
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        Self { started: Instant::now(), speed }
    }
}

#[async_trait]
impl Clock for ScaledClock {
    fn now(&self) -> Duration {
        seconds(self.started.elapsed().as_secs_f64() * self.speed)
    }

    fn unix_time(&self) -> Duration {
        unix_time().saturating_add(self.now().saturating_sub(self.started.elapsed()))
    }

    async fn sleep(&self, duration: Duration) {
        // A nanosecond more than the division says, so that rounding never ends a sleep early.
        tokio::time::sleep(seconds(duration.as_secs_f64() / self.speed).saturating_add(Duration::from_nanos(1))).await;
    }
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_clock_runs_ahead_of_the_systems() {
        let (scaled, real) = (ScaledClock::new(1e6), SystemClock::new());
        std::thread::yield_now();
        let (fast, slow) = (scaled.now(), real.now());
        assert!(fast > slow * 1000, "{fast:?} against {slow:?}");
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!((ScaledClock::new(odd).speed - 1.0).abs() < f64::EPSILON);
        }
    }
}
