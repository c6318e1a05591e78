//! [`Throttle`]: pauses after a 429 of ARM, one for each class of requests that ARM counts.
//!
//! During a pause no request of its class is sent and no caller waits: callers get the time of the next attempt at once. A
//! pause lasts as long as `Retry-After` says, but at most five minutes, since one wrong header must not stop the driver. It
//! ends only when one request, the probe, has got another status than 429, so that not every caller that waited for its end
//! is answered with 429 again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::limiter::Class;

/// Longest pause, for any `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Pause after a 429 without `Retry-After`.
const DEFAULT_PAUSE: Duration = Duration::from_secs(5);
/// Shortest pause, so that `Retry-After: 0` makes no busy loop.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The pause that a caller gets while the probe has no response yet.
const WHILE_PROBING: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Pause {
    /// When the probe may be sent; `None` while there is no pause.
    until: Option<Duration>,
    /// Whether the probe is in flight.
    probing: bool,
}

/// The pauses of one connection, by class.
#[derive(Debug, Default)]
pub(super) struct Throttle([Mutex<Pause>; 3]);

/// A permit to send one request.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    throttle: &'a Throttle,
    class: Class,
    is_probe: bool,
}

impl Throttle {
    /// A permit to send a request now, or what is left of the pause.
    pub(super) fn enter(&self, class: Class, now: Duration) -> Result<Permit<'_>, Duration> {
        let mut pause = self.pause(class);
        let is_probe = match pause.until {
            None => false,
            Some(until) if now < until => return Err(until.saturating_sub(now)),
            Some(_) if pause.probing => return Err(WHILE_PROBING),
            Some(_) => true,
        };
        pause.probing = is_probe;
        Ok(Permit { throttle: self, class, is_probe })
    }

    /// What is left of the pause of a class.
    pub(super) fn remaining(&self, class: Class, now: Duration) -> Option<Duration> {
        let pause = self.pause(class);
        pause.until.filter(|until| now < *until).map(|until| until.saturating_sub(now))
    }

    fn pause(&self, class: Class) -> MutexGuard<'_, Pause> {
        self.0[class as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// The response was 429: begins a pause, or extends it. Returns how long it lasts from now. Only the first 429 of a pause
    /// is logged as a warning.
    pub(super) fn throttled(self, retry_after: Option<Duration>, now: Duration) -> Duration {
        let asked = retry_after.unwrap_or(DEFAULT_PAUSE);
        let length = asked.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let mut pause = self.throttle.pause(self.class);
        let until = now.saturating_add(length).max(pause.until.unwrap_or_default());
        let (class, pause_seconds, asked_seconds) = (self.class, length.as_secs(), asked.as_secs());
        if pause.until.is_none() {
            tracing::warn!(%class, pause_seconds, asked_seconds, "ARM throttles {class}: none is sent for {pause_seconds} s");
        } else {
            tracing::debug!(%class, pause_seconds, asked_seconds, "ARM still throttles {class}");
        }
        pause.until = Some(until);
        until.saturating_sub(now)
    }

    /// The response had another status. If this was the probe, the pause is over.
    pub(super) fn accepted(self) {
        let mut pause = self.throttle.pause(self.class);
        if self.is_probe {
            pause.until = None;
            tracing::info!(class = %self.class, "ARM throttles {} no more", self.class);
        }
    }
}

impl Drop for Permit<'_> {
    /// A probe without a response lets the next one be sent.
    fn drop(&mut self) {
        if self.is_probe {
            self.throttle.pause(self.class).probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn throttled(throttle: &Throttle, class: Class, asked: Option<u64>, now: u64) -> u64 {
        throttle.enter(class, at(now)).unwrap().throttled(asked.map(at), at(now)).as_secs()
    }

    #[test]
    fn a_pause_lasts_as_long_as_retry_after_but_at_most_five_minutes() {
        for (asked, length) in [(Some(17), 17), (Some(1729), 300), (Some(u64::MAX / 4), 300), (Some(0), 1), (None, 5)] {
            let throttle = Throttle::default();
            assert_eq!(throttled(&throttle, Class::Writes, asked, 100), length, "{asked:?}");
            assert_eq!(throttle.enter(Class::Writes, at(100)).map(|_| ()), Err(at(length)), "{asked:?}");
            assert!(throttle.enter(Class::Writes, at(100 + length)).is_ok(), "{asked:?}");
        }
    }

    #[test]
    fn each_class_has_a_pause_of_its_own() {
        let throttle = Throttle::default();
        throttled(&throttle, Class::Writes, Some(60), 0);
        assert!(throttle.enter(Class::Reads, at(0)).is_ok() && throttle.enter(Class::Deletes, at(0)).is_ok());
    }

    #[test]
    fn one_probe_ends_a_pause() {
        let throttle = Throttle::default();
        throttled(&throttle, Class::Reads, Some(10), 0);
        let probe = throttle.enter(Class::Reads, at(10)).unwrap();
        assert_eq!(throttle.enter(Class::Reads, at(10)).map(|_| ()), Err(WHILE_PROBING), "one at a time");
        drop(probe);
        let probe = throttle.enter(Class::Reads, at(11)).unwrap();
        assert_eq!(probe.throttled(Some(at(20)), at(11)), at(20));
        assert_eq!(throttle.enter(Class::Reads, at(12)).map(|_| ()), Err(at(19)));
        throttle.enter(Class::Reads, at(31)).unwrap().accepted();
        let (one, other) = (throttle.enter(Class::Reads, at(31)), throttle.enter(Class::Reads, at(31)));
        assert!(one.is_ok() && other.is_ok());
    }

    /// The response to a request from before the pause does not end it.
    #[test]
    fn only_the_probe_ends_a_pause() {
        let throttle = Throttle::default();
        let before = throttle.enter(Class::Reads, at(0)).unwrap();
        throttled(&throttle, Class::Reads, Some(10), 0);
        before.accepted();
        assert_eq!(throttle.remaining(Class::Reads, at(1)), Some(at(9)));
    }
}
