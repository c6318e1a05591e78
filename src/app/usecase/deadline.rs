//! The time that a call has, and waiting that ends with it.
//!
//! The caller of an RPC leaves at its deadline, and an answer that comes later is lost. Every wait of a
//! use-case therefore ends a margin before it, and the call says what it knows by then.

use std::time::Duration;

use super::shared::first;
use crate::domain::polling;
use crate::ports::clock::Clock;

/// When an answer is due, on the clock of RPC deadlines.
#[derive(Debug, Clone, Copy)]
pub struct Deadline<'a> {
    clock: &'a dyn Clock,
    at: Duration,
}

impl<'a> Deadline<'a> {
    /// The deadline of a call that begins now; `budget` is what the caller will wait.
    pub fn new(clock: &'a dyn Clock, budget: Option<Duration>) -> Self {
        Self { clock, at: clock.now().saturating_add(polling::working_time(budget)) }
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
