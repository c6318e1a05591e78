//! Polling intervals: exponential backoff, and the cloud's `Retry-After`.
//!
//! A creation takes 10 to 20 minutes and an RPC less. These few numbers decide how soon a ready file system is reported, and
//! how many requests that costs.

use std::time::Duration;

/// Longest pause between two observations of a file system. An observation may be served from a list that is up to two
/// seconds old, so what it shows is never older than 15 seconds when the next one comes.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(13);
/// Most that a `Retry-After` of the cloud can stretch one pause to.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(2);

/// Pause before observation number `poll` (counted from 0): 2, 4, 8, then 13 seconds; longer if the cloud asked for it.
pub fn pause(poll: u32, retry_after: Option<Duration>) -> Duration {
    let backoff = backoff(poll, LONGEST_PAUSE);
    retry_after.map_or(backoff, |asked| asked.min(LONGEST_RETRY_AFTER).max(backoff))
}

/// Pause number `attempt` (counted from 0): 2, 4, 8 seconds and so on, at most `longest`.
pub fn backoff(attempt: u32, longest: Duration) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(attempt.saturating_add(1))).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let pauses = |longest| (0..8).map(|attempt| backoff(attempt, longest).as_secs()).collect::<Vec<_>>();
        assert_eq!(pauses(Duration::from_mins(1)), [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pauses(LONGEST_PAUSE)[..5], [2, 4, 8, 13, 13]);
        assert_eq!(backoff(u32::MAX, LONGEST_PAUSE), LONGEST_PAUSE);
    }

    #[test]
    fn the_cloud_may_ask_for_a_longer_pause() {
        for (poll, retry_after, expected) in
            [(0, 30, Duration::from_secs(30)), (5, 1, LONGEST_PAUSE), (0, 3600, LONGEST_RETRY_AFTER)]
        {
            assert_eq!(pause(poll, Some(Duration::from_secs(retry_after))), expected);
        }
    }
}
