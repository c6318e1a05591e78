//! The signals that end the process.
//!
//! Kubelet ends a container with SIGTERM, a person at a terminal with SIGINT or by closing it (SIGHUP), and
//! all mean the same: finish what runs, leave no socket behind, exit with 0.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT, SIGHUP and SIGQUIT, caught from the moment this value exists: one that comes while the driver still starts is not lost.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    quit: Signal,
}

impl StopSignals {
    /// Begins to catch the signals. Several listeners each see every signal.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for the next one and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[tokio::test]
    async fn every_signal_is_seen_even_if_it_came_before_the_wait() {
        let mut signals = StopSignals::listen().unwrap();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
            raise(signal).unwrap();
            assert_eq!(signals.next().await, signal.as_str());
        }
    }
}
