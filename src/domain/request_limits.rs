//! Limits of repeated PUTs and DELETEs of one file system: how many a call may send, and the pauses between them.

use std::time::Duration;

/// Time between the two observations that must both find nothing before the same creation is sent again.
pub const ABSENCE_CONFIRMED_AFTER: Duration = Duration::from_secs(5);

/// PUTs or DELETEs of one file system that had no clear success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SentRequests {
    count: u32,
    /// How many calls sent them; the pause grows with it.
    calls: u32,
    last: Duration,
}

/// How many requests of one kind a call has sent and may still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRequests {
    /// Sent by this call.
    pub sent: u32,
    /// What it may still send.
    pub left: u32,
}

/// Whether a request may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestDecision {
    /// Send the request now.
    Now,
    /// Observe again after this time, then decide.
    ObserveAfter(Duration),
    /// Not in this call: not before this time.
    NotBefore(Duration),
    /// A failed creation of this volume is not made anew before this time.
    FailedNotBefore(Duration),
}

impl SentRequests {
    /// Counts a request; `again` if it is not the first of its call.
    pub fn sent(&mut self, now: Duration, again: bool) {
        self.count = self.count.saturating_add(1);
        self.calls = self.calls.saturating_add(u32::from(!again)).max(1);
        self.last = now;
    }

    /// Whether any was sent.
    pub fn any(&self) -> bool {
        self.count > 0
    }

    /// What a call that begins now may send: two requests at first, later one.
    pub fn of_call(&self) -> CallRequests {
        CallRequests { sent: 0, left: if self.any() { 1 } else { 2 } }
    }

    /// When the first request of the next call may be sent.
    pub fn not_before(&self) -> Duration {
        if self.any() { self.last.saturating_add(retry_pause(self.calls)) } else { Duration::ZERO }
    }

    /// Whether a call may send one. `observed_for` is the time for which observations have shown that one is needed since
    /// the last request; `None` if that need not be confirmed.
    pub fn decide(&self, call: CallRequests, now: Duration, observed_for: Option<Duration>) -> RequestDecision {
        let not_before = RequestDecision::NotBefore(self.not_before());
        if call.sent == 0 && self.not_before() > now {
            return not_before;
        }
        let rest = observed_for.map_or(Duration::ZERO, |time| ABSENCE_CONFIRMED_AFTER.saturating_sub(time));
        match call.left {
            _ if !rest.is_zero() => RequestDecision::ObserveAfter(rest),
            0 => not_before,
            _ => RequestDecision::Now,
        }
    }

    /// When the last one was sent.
    pub fn last(&self) -> Duration {
        self.last
    }
}

impl CallRequests {
    /// Counts one.
    pub fn count(&mut self) {
        self.sent = self.sent.saturating_add(1);
        self.left = self.left.saturating_sub(1);
    }
}

/// Pause after failed creation number `failures` (from 1) before it is made anew: 3 minutes, doubled each time, at most 10.
pub fn recreate_pause(failures: u32) -> Duration {
    doubled(Duration::from_mins(3), failures).min(Duration::from_mins(10))
}

/// Pause number `pause` (from 1) before a PUT or DELETE without a clear success is sent again: 1 minute, doubled each time,
/// at most 5.
fn retry_pause(pause: u32) -> Duration {
    doubled(Duration::from_mins(1), pause).min(Duration::from_mins(5))
}

fn doubled(first: Duration, number: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(number.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let minutes = |pause: fn(u32) -> Duration| (1..6).map(move |number| pause(number).as_secs() / 60);
        assert_eq!(minutes(recreate_pause).collect::<Vec<_>>(), [3, 6, 10, 10, 10]);
        assert_eq!(minutes(retry_pause).collect::<Vec<_>>(), [1, 2, 4, 5, 5]);
        assert_eq!([recreate_pause(u32::MAX), retry_pause(u32::MAX)].map(|pause| pause.as_secs() / 60), [10, 5]);
    }
}
