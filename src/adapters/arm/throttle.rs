//! [`Throttle`]: pauses after ARM has answered 429, one for each class of requests that ARM counts.
//!
//! During a pause nothing of its class is sent, and nobody waits: callers get the time of the next try at once. A pause
//! lasts as long as ARM's `Retry-After` says, but not longer than five minutes, since one odd answer must not silence the
//! process. Whatever its length, it ends only when one request, the probe, has been answered with something else than 429;
//! so not everybody who waited for its end is sent into the same wall.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::limiter::Class;

/// Longest pause, whatever `Retry-After` says.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Pause after a 429 without `Retry-After`.
const UNNAMED_PAUSE: Duration = Duration::from_secs(5);
/// Shortest pause: `Retry-After: 0` is an invitation to a loop.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The time of the next try that a caller gets while the probe has no response yet.
const WHILE_PROBING: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Pause {
    /// When the probe may be sent; `None` where ARM throttles nothing.
    until: Option<Duration>,
    /// Whether the probe is on its way.
    probing: bool,
}

/// The pauses of one connection.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    reads: Mutex<Pause>,
    writes: Mutex<Pause>,
    deletes: Mutex<Pause>,
}

/// Permission to send one request.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    throttle: &'a Throttle,
    class: Class,
    is_probe: bool,
}

impl Throttle {
    /// Permission to send a request now, or how long the pause lasts yet.
    pub(super) fn enter(&self, class: Class, now: Duration) -> Result<Entry<'_>, Duration> {
        let mut pause = self.pause(class);
        let is_probe = match pause.until {
            None => false,
            Some(until) if now < until => return Err(until.saturating_sub(now)),
            Some(_) if pause.probing => return Err(WHILE_PROBING),
            Some(_) => true,
        };
        pause.probing = is_probe;
        Ok(Entry { throttle: self, class, is_probe })
    }

    /// How long the pause of a class lasts yet; nothing is taken.
    pub(super) fn left(&self, class: Class, now: Duration) -> Option<Duration> {
        let pause = self.pause(class);
        pause.until.filter(|until| now < *until).map(|until| until.saturating_sub(now))
    }

    fn pause(&self, class: Class) -> MutexGuard<'_, Pause> {
        let pause = match class {
            Class::Reads => &self.reads,
            Class::Writes => &self.writes,
            Class::Deletes => &self.deletes,
        };
        pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry<'_> {
    /// ARM answered 429: begins a pause, or lengthens it. Returns how long it lasts from now. Only the first answer of a
    /// pause is a warning.
    pub(super) fn throttled(self, retry_after: Option<Duration>, now: Duration) -> Duration {
        let asked = retry_after.unwrap_or(UNNAMED_PAUSE);
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

    /// ARM answered something else. If this was the probe, the pause is over.
    pub(super) fn answered(self) {
        let mut pause = self.throttle.pause(self.class);
        if self.is_probe {
            pause.until = None;
            tracing::info!(class = %self.class, "ARM throttles {} no more", self.class);
        }
    }
}

impl Drop for Entry<'_> {
    /// A probe without an answer makes place for the next one.
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

    fn refused(throttle: &Throttle, class: Class, asked: Option<u64>, now: u64) -> u64 {
        throttle.enter(class, at(now)).unwrap().throttled(asked.map(at), at(now)).as_secs()
    }

    #[test]
    fn a_pause_is_as_long_as_asked_but_at_most_five_minutes() {
        for (asked, length) in [(Some(17), 17), (Some(1729), 300), (Some(u64::MAX / 4), 300), (Some(0), 1), (None, 5)] {
            let throttle = Throttle::default();
            assert_eq!(refused(&throttle, Class::Writes, asked, 100), length, "{asked:?}");
            assert_eq!(throttle.enter(Class::Writes, at(100)).map(|_| ()), Err(at(length)), "{asked:?}");
            assert!(throttle.enter(Class::Writes, at(100 + length)).is_ok(), "{asked:?}");
        }
    }

    #[test]
    fn each_class_has_a_pause_of_its_own() {
        let throttle = Throttle::default();
        refused(&throttle, Class::Writes, Some(60), 0);
        assert!(throttle.enter(Class::Reads, at(0)).is_ok() && throttle.enter(Class::Deletes, at(0)).is_ok());
    }

    #[test]
    fn one_probe_ends_a_pause() {
        let throttle = Throttle::default();
        refused(&throttle, Class::Reads, Some(10), 0);
        let probe = throttle.enter(Class::Reads, at(10)).unwrap();
        assert_eq!(throttle.enter(Class::Reads, at(10)).map(|_| ()), Err(WHILE_PROBING), "one at a time");
        drop(probe);
        let probe = throttle.enter(Class::Reads, at(11)).unwrap();
        assert_eq!(probe.throttled(Some(at(20)), at(11)), at(20));
        assert_eq!(throttle.enter(Class::Reads, at(12)).map(|_| ()), Err(at(19)));
        throttle.enter(Class::Reads, at(31)).unwrap().answered();
        let (one, other) = (throttle.enter(Class::Reads, at(31)), throttle.enter(Class::Reads, at(31)));
        assert!(one.is_ok() && other.is_ok());
    }

    /// An answer to a request from before the pause says nothing about it.
    #[test]
    fn only_the_probe_ends_a_pause() {
        let throttle = Throttle::default();
        let before = throttle.enter(Class::Reads, at(0)).unwrap();
        refused(&throttle, Class::Reads, Some(10), 0);
        before.answered();
        assert_eq!(throttle.left(Class::Reads, at(1)), Some(at(9)));
    }
}
