//! Polling intervals, and pauses between repeated requests: arithmetic on durations.
//!
//! A creation takes 10 to 20 minutes and an RPC less. These few numbers decide how soon a ready file system is reported, and how
//! many requests that costs.

use std::time::Duration;

/// Longest pause between two observations of a file system. An observation may be served from a list that is up to two
/// seconds old, so what it shows is never older than 15 seconds when the next one comes.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(13);
/// Most that a `Retry-After` of the cloud can stretch one pause to.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(2);
/// Time between the two observations that must both find nothing before the same creation is sent again.
pub const ABSENCE_CONFIRMED_AFTER: Duration = Duration::from_secs(5);
/// For how long this process must have found nothing before a circumstance (a full subnet, quota, a missing permission, a
/// refused creation) may end a creation for good. A request that an earlier process sent lives at most 60 seconds, and lists
/// and reads of ARM may lag behind.
pub const ABSENCE_PROVED_AFTER: Duration = Duration::from_secs(90);
/// Longest pause before a failed creation is tried again.
const LONGEST_RECREATE_PAUSE: Duration = Duration::from_mins(10);
/// Longest pause before a PUT or DELETE without a clear success is sent again.
const LONGEST_RETRY_PAUSE: Duration = Duration::from_mins(5);

/// Pause before observation number `poll` (counted from 0): 2, 4, 8, then 13 seconds; longer if the cloud asked for it.
pub fn pause(poll: u32, retry_after: Option<Duration>) -> Duration {
    let backoff = Duration::from_secs(2_u64.saturating_pow(poll.saturating_add(1))).min(LONGEST_PAUSE);
    retry_after.map_or(backoff, |asked| asked.min(LONGEST_RETRY_AFTER).max(backoff))
}

/// Pause after failed creation number `failures` (from 1) before it is made anew: 3 minutes, doubled each time, at most 10.
pub fn recreate_pause(failures: u32) -> Duration {
    doubled(Duration::from_mins(3), failures).min(LONGEST_RECREATE_PAUSE)
}

/// Pause number `pause` (from 1) before a PUT or DELETE without a clear success is sent again: 1 minute, doubled each time,
/// at most 5.
pub fn retry_pause(pause: u32) -> Duration {
    doubled(Duration::from_mins(1), pause).min(LONGEST_RETRY_PAUSE)
}

fn doubled(first: Duration, number: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(number.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn observations_back_off_to_a_limit() {
        let pauses: Vec<u64> = (0..6).map(|poll| pause(poll, None).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 13, 13, 13]);
        assert_eq!(pause(u32::MAX, None), LONGEST_PAUSE);
        assert_eq!(pause(0, Some(secs(30))), secs(30));
        assert_eq!(pause(5, Some(secs(1))), LONGEST_PAUSE);
        assert_eq!(pause(0, Some(secs(3600))), LONGEST_RETRY_AFTER);
    }

    #[test]
    fn repeated_failures_wait_longer_each_time() {
        let minutes = |pause: fn(u32) -> Duration| (1..6).map(move |number| pause(number).as_secs() / 60);
        assert_eq!(minutes(recreate_pause).collect::<Vec<_>>(), [3, 6, 10, 10, 10]);
        assert_eq!(minutes(retry_pause).collect::<Vec<_>>(), [1, 2, 4, 5, 5]);
        assert_eq!(recreate_pause(u32::MAX), LONGEST_RECREATE_PAUSE);
        assert_eq!(retry_pause(u32::MAX), LONGEST_RETRY_PAUSE);
    }
}
