//! Durations and times of day as text for messages.

use std::time::Duration;

/// A moment for people, given as Unix time: `14:03:20 UTC`.
pub fn format_time_of_day(unix_time: Duration) -> String {
    let seconds = unix_time.as_secs() % 86_400;
    format!("{:02}:{:02}:{:02} UTC", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A duration for people: `45s`, `6m30s`, `1h05m`.
pub fn format_duration(duration: Duration) -> String {
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
    fn durations_and_times_read_well() {
        assert_eq!(format_time_of_day(secs(86_400 * 20_000 + 3600 * 14 + 200)), "14:03:20 UTC");
        assert_eq!(
            [format_duration(secs(45)), format_duration(secs(390)), format_duration(secs(3900))],
            ["45s", "6m30s", "1h05m"]
        );
    }
}
