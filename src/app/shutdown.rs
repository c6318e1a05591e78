//! The signals that end the process.
//!
//! Why it exists: kubelet ends a container with SIGTERM, a person at a terminal with SIGINT, and both mean the same: finish
//! what runs, leave no socket behind, exit with 0.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, caught from the moment this value exists: one that comes while the driver still starts is not lost.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Begins to catch the signals. Several listeners each see every signal.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[tokio::test]
    async fn both_signals_are_seen_even_if_they_came_before_the_wait() {
        let mut signals = StopSignals::listen().unwrap();
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.next().await, "SIGTERM");
        raise(Signal::SIGINT).unwrap();
        assert_eq!(signals.next().await, "SIGINT");
    }
}
