//! When to look again, and when to stop waiting: arithmetic on durations.
//!
//! Why it exists: a creation takes 10 to 20 minutes and an RPC less. These few numbers decide how soon a ready file system
//! is reported, how many requests that costs, and that an answer is given before the caller has gone.

use std::time::Duration;

/// Longest pause between two looks at a file system. A look may be served from a list that is up to two seconds old, so
/// what a look shows is never older than 15 seconds when the next one comes.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(13);
/// Most that a `Retry-After` of the cloud can stretch one pause to.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(2);
/// Time between the two looks that must both find nothing before the same creation is sent again.
pub const ABSENCE_CONFIRMED_AFTER: Duration = Duration::from_secs(5);
/// Time that a call without a deadline gets.
pub const DEFAULT_BUDGET: Duration = Duration::from_mins(10);
/// Longest pause before a failed creation is tried again.
const LONGEST_RECREATE_PAUSE: Duration = Duration::from_mins(10);
/// Longest pause between two tries to change something in the cluster.
const LONGEST_CLUSTER_PAUSE: Duration = Duration::from_mins(1);
const LONGEST_MARGIN: Duration = Duration::from_secs(5);

/// Pause before look number `look` (counted from 0): 2, 4, 8, then 13 seconds; longer if the cloud asked for it.
pub fn pause(look: u32, retry_after: Option<Duration>) -> Duration {
    let backoff = Duration::from_secs(2_u64.saturating_pow(look.saturating_add(1))).min(LONGEST_PAUSE);
    retry_after.map_or(backoff, |asked| asked.min(LONGEST_RETRY_AFTER).max(backoff))
}

/// Pause before creation number `attempt` (1 is the first repetition): half a minute, doubled each time.
pub fn recreate_pause(attempt: u32) -> Duration {
    let doubled = 2_u64.saturating_pow(attempt.saturating_sub(1));
    Duration::from_secs(30_u64.saturating_mul(doubled)).min(LONGEST_RECREATE_PAUSE)
}

/// Pause after try number `attempt` (counted from 0) to change something in the cluster: 2, 4, 8 seconds and so on, at most
/// a minute. An API server that is away for an hour is asked once a minute by each node.
pub fn cluster_pause(attempt: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(attempt.saturating_add(1))).min(LONGEST_CLUSTER_PAUSE)
}

/// How much of the caller's time may be used before an answer is due: all but a margin of 5 seconds or a tenth, whichever
/// is less.
pub fn working_time(budget: Option<Duration>) -> Duration {
    let budget = budget.unwrap_or(DEFAULT_BUDGET);
    budget.saturating_sub(LONGEST_MARGIN.min(budget / 10))
}

/// A duration for people: `45s`, `6m30s`, `1h05m`.
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn looks_back_off_to_a_limit() {
        let pauses: Vec<u64> = (0..6).map(|look| pause(look, None).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 13, 13, 13]);
        assert_eq!(pause(u32::MAX, None), LONGEST_PAUSE);
        assert_eq!(pause(0, Some(secs(30))), secs(30));
        assert_eq!(pause(5, Some(secs(1))), LONGEST_PAUSE);
        assert_eq!(pause(0, Some(secs(3600))), LONGEST_RETRY_AFTER);
    }

    #[test]
    fn repeated_failures_wait_longer_each_time() {
        let pauses: Vec<u64> = (1..8).map(|attempt| recreate_pause(attempt).as_secs()).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600, 600]);
        assert_eq!(recreate_pause(u32::MAX), LONGEST_RECREATE_PAUSE);
    }

    #[test]
    fn the_cluster_is_asked_once_a_minute_at_last() {
        let pauses: Vec<u64> = (0..8).map(|attempt| cluster_pause(attempt).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(cluster_pause(u32::MAX), LONGEST_CLUSTER_PAUSE);
    }

    #[test]
    fn an_answer_is_due_before_the_caller_leaves() {
        assert_eq!(working_time(Some(secs(900))), secs(895));
        assert_eq!(working_time(Some(secs(10))), secs(9));
        assert_eq!(working_time(Some(Duration::ZERO)), Duration::ZERO);
        assert_eq!(working_time(None), secs(595));
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([in_words(secs(45)), in_words(secs(390)), in_words(secs(3900))], ["45s", "6m30s", "1h05m"]);
    }
}
