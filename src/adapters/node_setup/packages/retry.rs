//! Repeated downloads: few, spread over time, and only for failures of the network's kind.

use std::time::Duration;

use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::ports::{ProgressLog, RetryPolicy, Timer};

/// The first try comes at a random time within this, so that many nodes that start at once do not ask at once.
const JITTER: Duration = Duration::from_secs(15);
/// Most tries.
const TRIES: u32 = 6;
/// The longest pause after the first try; it doubles with each, up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_mins(1);
/// No try begins later than this after the beginning.
const TOTAL: Duration = Duration::from_mins(5);

/// Tries until it succeeds, fails for good, or has been tried often or long enough; once alone where the package is
/// optional. `attempt` gets the time that is left.
pub(super) fn repeat<T>(
    timer: &dyn Timer,
    console: &dyn ProgressLog,
    patience: RetryPolicy,
    mut attempt: impl FnMut(Duration) -> Result<T, SetupError>,
) -> Result<T, SetupError> {
    let most = if patience == RetryPolicy::WithBackoff { TRIES } else { 1 };
    let begun = timer.elapsed();
    let left = || TOTAL.saturating_sub(timer.elapsed().saturating_sub(begun));
    timer.sleep(JITTER.mul_f64(timer.random_fraction()));
    let mut tries = 1;
    loop {
        let error = match attempt(left()) {
            Err(error) if error.transient && tries < most => error,
            result => return result,
        };
        let pause = longest_pause(tries).mul_f64(timer.random_fraction());
        if pause >= left() {
            return Err(error);
        }
        console.progress(&format!(
            "try {tries} of {most} failed: {error}; the next is in {} s",
            pause.as_secs_f64().ceil()
        ));
        timer.sleep(pause);
        tries += 1;
    }
}

/// The longest pause after this many tries.
fn longest_pause(tries: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A clock that pauses turn.
    #[derive(Debug, Default)]
    struct Manual {
        now: Cell<Duration>,
        fraction: f64,
        pauses: RefCell<Vec<u64>>,
        lines: RefCell<Vec<String>>,
    }

    impl Timer for Manual {
        fn sleep(&self, time: Duration) {
            self.now.set(self.now.get() + time);
            self.pauses.borrow_mut().push(time.as_secs());
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

    fn network() -> SetupError {
        SetupError::try_again("cannot fetch", "no route", "Wait.").transient()
    }

    fn failing(clock: &Manual, each: Duration) -> (u32, Vec<Duration>) {
        let (mut tries, mut left) = (0, Vec::new());
        let result = repeat(clock, clock, RetryPolicy::WithBackoff, |time| {
            tries += 1;
            left.push(time);
            clock.now.set(clock.now.get() + each);
            Err::<(), _>(network())
        });
        assert_eq!(result, Err(network()));
        (tries, left)
    }

    #[test]
    fn pauses_double_to_a_minute_and_end_after_six_tries() {
        let clock = Manual { fraction: 0.999, ..Manual::default() };
        assert_eq!(failing(&clock, Duration::ZERO).0, 6);
        assert_eq!(*clock.pauses.borrow(), [14, 1, 3, 7, 15, 31]);
        assert_eq!(clock.lines.borrow().len(), 5);
        assert_eq!((longest_pause(6), longest_pause(u32::MAX)), (LONGEST, LONGEST));
    }

    #[test]
    fn jitter_is_full() {
        let clock = Manual::default();
        assert_eq!(failing(&clock, Duration::ZERO).0, 6);
        assert_eq!(*clock.pauses.borrow(), [0; 6]);
    }

    #[test]
    fn no_try_begins_after_five_minutes_and_each_gets_the_time_left() {
        let clock = Manual { fraction: 0.5, ..Manual::default() };
        let (tries, left) = failing(&clock, Duration::from_mins(2));
        assert_eq!(tries, 3);
        assert!(left.windows(2).all(|pair| pair[1] + Duration::from_mins(2) < pair[0]) && left[2] > Duration::ZERO);
    }

    #[test]
    fn only_failures_of_the_network_are_repeated() {
        let clock = Manual::default();
        for error in [SetupError::try_again("", "", ""), SetupError::needs_human("", "", "")] {
            let mut tries = 0;
            let result = repeat(&clock, &clock, RetryPolicy::WithBackoff, |_| {
                tries += 1;
                Err::<(), _>(error.clone())
            });
            assert_eq!((result, tries), (Err(error), 1));
        }
        let mut tries = 0;
        let second = repeat(&clock, &clock, RetryPolicy::WithBackoff, |_| {
            tries += 1;
            if tries == 2 { Ok(tries) } else { Err(network()) }
        });
        assert_eq!(second, Ok(2));
    }
}
