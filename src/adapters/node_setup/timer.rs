//! Waiting and elapsed time of node-setup: real time in production, a manual clock in tests.

use std::fmt::Debug;
use std::time::Duration;

/// A monotonic clock to wait by, with random numbers to spread waits over time.
pub trait Timer: Debug {
    /// Waits.
    fn sleep(&self, time: Duration);
    /// Time since a fixed moment.
    fn elapsed(&self) -> Duration;
    /// A random number, at least 0 and below 1.
    fn random_fraction(&self) -> f64;
}
