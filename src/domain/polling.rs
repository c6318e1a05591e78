//! Polling intervals, pauses between repeated requests, and when an answer is due: arithmetic on durations.
//!
//! A creation takes 10 to 20 minutes and an RPC less. These few numbers decide how soon a ready file system is reported, how
//! many requests that costs, and that an answer is given before the caller has gone.

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
/// Failed observations in a row that end a call which waits for a file system.
pub const OBSERVATION_ERRORS: u32 = 3;
/// Time between two progress lines in the log of one creation or deletion.
pub const PROGRESS_INTERVAL: Duration = Duration::from_mins(1);
/// Time that a call without a deadline gets.
pub const DEFAULT_BUDGET: Duration = Duration::from_mins(10);
/// Longest pause before a failed creation is tried again.
const LONGEST_RECREATE_PAUSE: Duration = Duration::from_mins(10);
/// Longest pause between two tries to change something in the cluster.
const LONGEST_CLUSTER_PAUSE: Duration = Duration::from_mins(1);
/// Longest pause before a PUT or DELETE without a clear success is sent again.
const LONGEST_RETRY_PAUSE: Duration = Duration::from_mins(5);
const LONGEST_MARGIN: Duration = Duration::from_secs(5);

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

/// A moment for people, given as Unix time: `14:03:20 UTC`.
pub fn time_of_day(unix_time: Duration) -> String {
    let seconds = unix_time.as_secs() % 86_400;
    format!("{:02}:{:02}:{:02} UTC", seconds / 3600, seconds / 60 % 60, seconds % 60)
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
    fn durations_and_times_read_well() {
        assert_eq!(time_of_day(secs(86_400 * 20_000 + 3600 * 14 + 200)), "14:03:20 UTC");
        assert_eq!([in_words(secs(45)), in_words(secs(390)), in_words(secs(3900))], ["45s", "6m30s", "1h05m"]);
    }
}
