//! [`Limiter`]: a token bucket for each class of requests, below ARM's own limits.
//!
//! Written by hand, because crates with token buckets have clocks of their own. ARM counts requests by subscription, caller
//! and region in token buckets (reads 250, refilled by 25 a second; writes and deletes 200 each, refilled by 10 a second)
//! and answers 429 beyond them, to every component that shares the identity. A thousand claims in one instant would empty
//! them; here they queue instead, in order. Source:
//! <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::http::Method;
use crate::ports::clock::Clock;

/// Requests that ARM counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// GET.
    Reads,
    /// PUT, PATCH and POST.
    Writes,
    /// DELETE.
    Deletes,
}

impl Class {
    /// The class of a request.
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Reads,
            Method::DELETE => Self::Deletes,
            _ => Self::Writes,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["reads", "writes", "deletes"][*self as usize])
    }
}

/// Size of a bucket, and its refill per second.
#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    per_second: f64,
}

/// Four fifths of ARM's limits; the rest is for other components that share the identity.
const READS: Rate = Rate { burst: 200, per_second: 20.0 };
const WRITES: Rate = Rate { burst: 160, per_second: 8.0 };

/// The buckets of one subscription, by class.
#[derive(Debug)]
pub struct Limiter([Bucket; 3]);

impl Default for Limiter {
    fn default() -> Self {
        Self([READS, WRITES, WRITES].map(Bucket::new))
    }
}

impl Limiter {
    /// Waits until a request of this class may be sent. A caller that stops waiting returns its token to the bucket, so that
    /// later callers do not wait for it.
    pub async fn admit(&self, class: Class, clock: &dyn Clock) {
        let bucket = &self.0[class as usize];
        let wait = bucket.take(clock.now());
        if wait.is_zero() {
            return;
        }
        let mut reserved = Reserved { bucket, clock, used: false };
        tracing::debug!(%class, wait_seconds = wait.as_secs_f64(), "waiting for a token of the request limiter");
        clock.sleep(wait).await;
        reserved.used = true;
    }

    /// ARM answered 429: empties the bucket, so that after this pause requests pass one by one, not in a burst.
    pub(super) fn drain(&self, class: Class, pause: Duration, clock: &dyn Clock) {
        self.0[class as usize].drain(pause, clock.now());
    }
}

/// A token that is taken before its time; one that is not used is returned.
struct Reserved<'a> {
    bucket: &'a Bucket,
    clock: &'a dyn Clock,
    used: bool,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.bucket.change(self.clock.now(), |level| level + 1.0);
        }
    }
}

/// A token bucket. A negative level is the queue: that many tokens are taken in advance.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// Level, and the time at which it was so.
    level: Mutex<(f64, Duration)>,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        Self { rate, level: Mutex::new((f64::from(rate.burst), Duration::ZERO)) }
    }

    /// Takes the next token and returns how long to wait for it.
    fn take(&self, now: Duration) -> Duration {
        self.change(now, |level| level - 1.0)
    }

    /// The next token comes after `pause`, and further ones at the usual rate.
    fn drain(&self, pause: Duration, now: Duration) {
        self.change(now, |level| level.min(1.0 - pause.as_secs_f64() * self.rate.per_second));
    }

    /// Changes the level of this moment; returns how long it takes until it is not negative.
    fn change(&self, now: Duration, change: impl FnOnce(f64) -> f64) -> Duration {
        let mut last = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let refill = now.saturating_sub(last.1).as_secs_f64() * self.rate.per_second;
        let level = change((last.0 + refill).min(f64::from(self.rate.burst)));
        *last = (level, now.max(last.1));
        Duration::from_secs_f64((-level).max(0.0) / self.rate.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, per_second: 2.0 };

    fn millis(waits: &[Duration]) -> Vec<u128> {
        waits.iter().map(Duration::as_millis).collect()
    }

    #[test]
    fn a_burst_passes_and_the_rest_queues() {
        let bucket = Bucket::new(RATE);
        let waits: Vec<Duration> = (0..6).map(|_| bucket.take(Duration::ZERO)).collect();
        assert_eq!(millis(&waits), [0, 0, 0, 500, 1000, 1500]);
        assert_eq!(bucket.take(Duration::from_secs(2)), Duration::ZERO);
    }

    #[test]
    fn saved_tokens_are_bounded() {
        let bucket = Bucket::new(RATE);
        let waits: Vec<Duration> = (0..4).map(|_| bucket.take(Duration::from_hours(24))).collect();
        assert_eq!(millis(&waits), [0, 0, 0, 500]);
    }

    #[test]
    fn after_a_429_requests_pass_one_by_one() {
        let bucket = Bucket::new(RATE);
        bucket.drain(Duration::from_secs(10), Duration::ZERO);
        let waits: Vec<Duration> = (0..3).map(|_| bucket.take(Duration::ZERO)).collect();
        assert_eq!(millis(&waits), [10_000, 10_500, 11_000]);
    }
}
