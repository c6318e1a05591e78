//! The time that a call has, and waiting that ends with it.
//!
//! The caller of an RPC leaves at its deadline, and an answer that comes later is lost. Every wait of a
//! use-case therefore ends a margin before it, and the call says what it knows by then.

use std::time::Duration;

use super::shared::first;
use crate::ports::clock::Clock;

/// Time that a call without a deadline gets.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);
/// Longest time between an answer and the caller's own deadline.
const LONGEST_MARGIN: Duration = Duration::from_secs(5);

/// When an answer is due, on the clock of RPC deadlines.
#[derive(Debug, Clone, Copy)]
pub struct Deadline<'a> {
    clock: &'a dyn Clock,
    at: Duration,
}

impl<'a> Deadline<'a> {
    /// The deadline of a call that begins now; `timeout` is what the caller will wait.
    pub fn new(clock: &'a dyn Clock, timeout: Option<Duration>) -> Self {
        Self { clock, at: clock.now().saturating_add(working_time(timeout)) }
    }

    /// Runs `work` until it ends or an answer is due; `None` means that it was not finished, or not begun because the time
    /// is up. Its effects may go on.
    pub async fn limit<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let rest = self.at.saturating_sub(self.clock.now());
        if rest.is_zero() {
            return None;
        }
        let timer = async {
            self.clock.sleep(rest).await;
            None
        };
        first(async { Some(work.await) }, timer).await
    }
}

/// How much of the caller's time may be used before an answer is due: all but a margin of 5 seconds or a tenth, whichever
/// is less.
pub fn working_time(timeout: Option<Duration>) -> Duration {
    let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
    timeout.saturating_sub(LONGEST_MARGIN.min(timeout / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_due_before_the_caller_leaves() {
        assert_eq!(working_time(Some(Duration::from_mins(15))), Duration::from_secs(895));
        assert_eq!(working_time(Some(Duration::from_secs(10))), Duration::from_secs(9));
        assert_eq!(working_time(Some(Duration::ZERO)), Duration::ZERO);
        assert_eq!(working_time(None), Duration::from_secs(595));
    }
}
