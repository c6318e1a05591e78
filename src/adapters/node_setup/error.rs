//! Errors of node-setup, with the exit code of each.

/// The exit code of a failed node-setup. kubelet restarts the init container after each of them; the code serves alerts and
/// the person who reads the pod's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetupExit {
    /// The next run may succeed: network, package not published yet.
    TryAgain = 1,
    /// A setting is wrong.
    WrongSetting = 2,
    /// The node has to be changed by hand: signature, operating system, architecture, Secure Boot.
    NeedsHuman = 3,
}

impl SetupExit {
    /// The code of the process.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Why the node is not ready. Displays as `what: why`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct SetupError {
    /// The exit code.
    pub exit: SetupExit,
    /// What failed on which resource, in the form "cannot load module lnet".
    pub what: String,
    /// The cause, with the message of the program or the kernel.
    pub why: String,
    /// What to do, in the imperative.
    pub hint: String,
    /// Whether the same step may succeed within seconds, so that this run repeats it.
    pub transient: bool,
}

impl SetupError {
    /// A failure that the next run may not meet ([`SetupExit::TryAgain`]).
    pub fn try_again(what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(SetupExit::TryAgain, what, why, hint)
    }

    /// A setting that cannot be followed ([`SetupExit::WrongSetting`]).
    pub fn wrong_setting(what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(SetupExit::WrongSetting, what, why, hint)
    }

    /// A failure that stays until the node is changed ([`SetupExit::NeedsHuman`]).
    pub fn needs_human(what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(SetupExit::NeedsHuman, what, why, hint)
    }

    /// The same failure, worth repeating within this run.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    fn new(exit: SetupExit, what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: why.into(), hint: hint.into(), transient: false }
    }
}
