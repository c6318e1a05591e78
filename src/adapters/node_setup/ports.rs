//! Ports of node-setup: packages of the client, progress output, and the clock.

use std::fmt::{self, Debug};
use std::time::Duration;

use super::error::SetupError;
use super::host_state::HostState;
use super::version::ClientVersion;

/// How often a download that fails is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryPolicy {
    /// Up to the limits of [`packages`](super::packages): without the package the node cannot mount.
    WithBackoff,
    /// Once, without repetition: the node has a client, and the driver must not wait.
    Once,
}

/// Packages of the client: fetched, verified and unpacked into the private directory.
pub trait Packages: Debug {
    /// Unpacks this version for the node, and fetches it if it is not there yet.
    fn ensure(&self, node: &HostState, version: &ClientVersion, retry: RetryPolicy) -> Result<(), SetupError>;
    /// Whether this version is unpacked, complete and unaltered.
    fn is_complete(&self, kernel: &str, version: &ClientVersion) -> bool;
    /// The steps of [`Self::ensure`], for `--dry-run`.
    fn planned(&self, node: &HostState, version: &ClientVersion) -> Vec<PlannedStep>;
    /// Removes what is unpacked and no longer used; `loaded` stays.
    fn prune(&self, kernel: &str, loaded: Option<&ClientVersion>);
}

/// Reports progress.
pub trait ProgressLog: Debug {
    /// Reports the step that begins, in one line.
    fn progress(&self, line: &str);
}

/// A monotonic clock to wait by: real time in production, a manual clock in tests.
pub trait Timer: Debug {
    /// Waits.
    fn sleep(&self, time: Duration);
    /// Time since a fixed moment.
    fn elapsed(&self) -> Duration;
    /// A random number, at least 0 and below 1, to spread waits of many nodes over time.
    fn random_fraction(&self) -> f64;
}

/// One step that `--dry-run` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// What is done, such as "load module lnet".
    pub title: String,
    /// The command that does it as a shell would take it, or the system call or ioctl.
    pub command: String,
    /// What makes it necessary.
    pub reason: String,
}

impl PlannedStep {
    /// A step.
    pub fn new(title: impl Into<String>, command: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { title: title.into(), command: command.into(), reason: reason.into() }
    }
}

impl fmt::Display for PlannedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n   $ {}\n   because {}", self.title, self.command, self.reason)
    }
}
