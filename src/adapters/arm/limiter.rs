//! [`Limiter`]: a token bucket for each class of requests, below what ARM allows.
//!
//! By hand, since crates with token buckets have clocks of their own. ARM counts requests by subscription, caller and region in token buckets (reads 250, refilled by 25 a
//! second; writes and deletes 200 each, refilled by 10 a second) and answers 429 beyond them, to every component that
//! shares the identity. A thousand claims in one instant would empty them; here they queue instead, each in its turn.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::wire::Method;
use crate::ports::clock::Clock;

/// What ARM counts separately.
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
        f.write_str(match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Deletes => "deletes",
        })
    }
}

/// Requests that may be sent at once, and how many more each second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Size of the bucket.
    pub burst: u32,
    /// Refill.
    pub per_second: f64,
}

/// Four fifths of what ARM allows; the rest is for others that share the identity.
const READS: Rate = Rate { burst: 200, per_second: 20.0 };
const WRITES: Rate = Rate { burst: 160, per_second: 8.0 };

/// The buckets of one subscription.
#[derive(Debug)]
pub struct Limiter {
    reads: Bucket,
    writes: Bucket,
    deletes: Bucket,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { reads: Bucket::new(READS), writes: Bucket::new(WRITES), deletes: Bucket::new(WRITES) }
    }
}

impl Limiter {
    /// Waits until a request of this class may be sent. A caller that gives up gives its turn back, so that those who
    /// come later do not queue behind nobody.
    pub async fn admit(&self, class: Class, clock: &dyn Clock) {
        let bucket = self.bucket(class);
        let wait = bucket.reserve(clock.now());
        if wait.is_zero() {
            return;
        }
        let mut turn = Turn { bucket, clock, taken: false };
        tracing::debug!(%class, wait_seconds = wait.as_secs_f64(), "waiting for a turn to ask ARM");
        clock.sleep(wait).await;
        turn.taken = true;
    }

    /// ARM said that it was too much: after this pause turns come one by one, not all that were saved.
    pub fn penalise(&self, class: Class, pause: Duration, clock: &dyn Clock) {
        self.bucket(class).empty_for(pause, clock.now());
    }

    fn bucket(&self, class: Class) -> &Bucket {
        match class {
            Class::Reads => &self.reads,
            Class::Writes => &self.writes,
            Class::Deletes => &self.deletes,
        }
    }
}

/// A promised turn; one that is not taken goes back.
struct Turn<'a> {
    bucket: &'a Bucket,
    clock: &'a dyn Clock,
    taken: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.taken {
            self.bucket.give_back(self.clock.now());
        }
    }
}

/// A token bucket. A negative level is the queue: that many turns are promised already.
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

    /// Takes the next turn and returns how far away it is.
    fn reserve(&self, now: Duration) -> Duration {
        self.change(now, |level| level - 1.0)
    }

    fn give_back(&self, now: Duration) {
        self.change(now, |level| level + 1.0);
    }

    /// The next turn comes after `pause`, and those after it in their usual distance.
    fn empty_for(&self, pause: Duration, now: Duration) {
        self.change(now, |level| level.min(1.0 - pause.as_secs_f64() * self.rate.per_second));
    }

    /// Changes the level of this moment; returns how long it takes to be out of debt.
    fn change(&self, now: Duration, change: impl FnOnce(f64) -> f64) -> Duration {
        let mut kept = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let refill = now.saturating_sub(kept.1).as_secs_f64() * self.rate.per_second;
        let level = change((kept.0 + refill).min(f64::from(self.rate.burst)));
        *kept = (level, now.max(kept.1));
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
        let waits: Vec<Duration> = (0..6).map(|_| bucket.reserve(Duration::ZERO)).collect();
        assert_eq!(millis(&waits), [0, 0, 0, 500, 1000, 1500]);
        assert_eq!(bucket.reserve(Duration::from_secs(2)), Duration::ZERO);
    }

    #[test]
    fn saved_turns_are_bounded() {
        let bucket = Bucket::new(RATE);
        let waits: Vec<Duration> = (0..4).map(|_| bucket.reserve(Duration::from_hours(24))).collect();
        assert_eq!(millis(&waits), [0, 0, 0, 500]);
    }

    #[test]
    fn after_a_refusal_everybody_waits_and_then_takes_turns() {
        let bucket = Bucket::new(RATE);
        bucket.empty_for(Duration::from_secs(10), Duration::ZERO);
        let waits: Vec<Duration> = (0..3).map(|_| bucket.reserve(Duration::ZERO)).collect();
        assert_eq!(millis(&waits), [10_000, 10_500, 11_000]);
    }
}
