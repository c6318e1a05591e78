//! A step of a plan as people read it.

use std::fmt;

/// What `--dry-run` prints of a step.
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
