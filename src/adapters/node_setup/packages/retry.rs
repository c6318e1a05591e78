//! Retries of downloads with exponential backoff and full jitter, for transient failures only.

use std::time::Duration;

use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::ports::{ProgressLog, RetryPolicy, Timer};

/// The first attempt is at a random time within this, so that many nodes that start at once do not ask at once.
const FIRST_JITTER: Duration = Duration::from_secs(15);
const MAX_ATTEMPTS: u32 = 6;
/// The maximum delay after the first attempt; it doubles with each, up to [`MAX_DELAY`].
const INITIAL_DELAY: Duration = Duration::from_secs(2);
const MAX_DELAY: Duration = Duration::from_mins(1);
/// No attempt begins later than this after the beginning.
const TOTAL: Duration = Duration::from_mins(5);
/// Time limit of one run of a package manager.
const RUN_LIMIT: Duration = Duration::from_secs(150);

/// The time limit of one run of a package manager when this time is left for all attempts; at least a second.
pub(super) fn limit(time_left: Duration) -> Duration {
    RUN_LIMIT.min(time_left).max(Duration::from_secs(1))
}

/// Runs `attempt`, which gets the time that is left, until it succeeds, fails with an error that is not transient, or has
/// used up the attempts of `retry` or the total time.
pub(super) fn with_backoff<T>(
    timer: &dyn Timer,
    console: &dyn ProgressLog,
    retry: RetryPolicy,
    mut attempt: impl FnMut(Duration) -> Result<T, SetupError>,
) -> Result<T, SetupError> {
    let max_attempts = if retry == RetryPolicy::WithBackoff { MAX_ATTEMPTS } else { 1 };
    let begun = timer.elapsed();
    let time_left = || TOTAL.saturating_sub(timer.elapsed().saturating_sub(begun));
    timer.sleep(FIRST_JITTER.mul_f64(timer.random_fraction()));
    let mut attempts = 1;
    loop {
        let error = match attempt(time_left()) {
            Err(error) if error.transient && attempts < max_attempts => error,
            result => return result,
        };
        let delay = max_delay(attempts).mul_f64(timer.random_fraction());
        if delay >= time_left() {
            return Err(error);
        }
        let seconds = delay.as_secs_f64().ceil();
        console.progress(&format!("attempt {attempts} of {max_attempts} failed: {error}; the next is in {seconds} s"));
        timer.sleep(delay);
        attempts += 1;
    }
}

/// The maximum delay after this many attempts.
fn max_delay(attempts: u32) -> Duration {
    INITIAL_DELAY.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1))).min(MAX_DELAY)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A clock that advances with each sleep.
    #[derive(Debug, Default)]
    struct Manual {
        now: Cell<Duration>,
        fraction: f64,
        sleeps: RefCell<Vec<u64>>,
        lines: RefCell<Vec<String>>,
    }

    impl Timer for Manual {
        fn sleep(&self, time: Duration) {
            self.now.set(self.now.get() + time);
            self.sleeps.borrow_mut().push(time.as_secs());
        }
        fn elapsed(&self) -> Duration {
            self.now.get()
        }
        fn random_fraction(&self) -> f64 {
            self.fraction
        }
    }

    impl ProgressLog for Manual {
        fn progress(&self, line: &str) {
            self.lines.borrow_mut().push(line.to_owned());
        }
    }

    fn transient() -> SetupError {
        SetupError::try_again("cannot fetch", "no route", "Wait.").transient()
    }

    fn failing(clock: &Manual, each: Duration) -> (u32, Vec<Duration>) {
        let (mut attempts, mut left) = (0, Vec::new());
        let result = with_backoff(clock, clock, RetryPolicy::WithBackoff, |time| {
            attempts += 1;
            left.push(time);
            clock.now.set(clock.now.get() + each);
            Err::<(), _>(transient())
        });
        assert_eq!(result, Err(transient()));
        (attempts, left)
    }

    #[test]
    fn delays_double_to_a_minute_and_end_after_six_attempts() {
        let clock = Manual { fraction: 0.999, ..Manual::default() };
        assert_eq!(failing(&clock, Duration::ZERO).0, 6);
        assert_eq!(*clock.sleeps.borrow(), [14, 1, 3, 7, 15, 31]);
        assert_eq!(clock.lines.borrow().len(), 5);
        assert_eq!((max_delay(6), max_delay(u32::MAX)), (MAX_DELAY, MAX_DELAY));
    }

    #[test]
    fn jitter_is_full() {
        let clock = Manual::default();
        assert_eq!(failing(&clock, Duration::ZERO).0, 6);
        assert_eq!(*clock.sleeps.borrow(), [0; 6]);
    }

    #[test]
    fn no_attempt_begins_after_five_minutes_and_each_gets_the_time_left() {
        let clock = Manual { fraction: 0.5, ..Manual::default() };
        let (attempts, left) = failing(&clock, Duration::from_mins(2));
        assert_eq!(attempts, 3);
        assert!(left.windows(2).all(|pair| pair[1] + Duration::from_mins(2) < pair[0]) && left[2] > Duration::ZERO);
    }

    #[test]
    fn only_transient_failures_are_retried() {
        let clock = Manual::default();
        for error in [SetupError::try_again("", "", ""), SetupError::needs_human("", "", "")] {
            let mut attempts = 0;
            let result = with_backoff(&clock, &clock, RetryPolicy::WithBackoff, |_| {
                attempts += 1;
                Err::<(), _>(error.clone())
            });
            assert_eq!((result, attempts), (Err(error), 1));
        }
        let mut attempts = 0;
        let second = with_backoff(&clock, &clock, RetryPolicy::WithBackoff, |_| {
            attempts += 1;
            if attempts == 2 { Ok(attempts) } else { Err(transient()) }
        });
        assert_eq!(second, Ok(2));
    }
}
