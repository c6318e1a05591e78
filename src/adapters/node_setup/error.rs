//! Failures of node-setup: what failed, why, what to do about it, and the exit code that says who has to do it.

/// The exit code of a failed node-setup. kubelet starts the init container again after each of them; the code is for people
/// and for alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetupExit {
    /// The next try may succeed: network, package not published yet.
    TryAgain = 1,
    /// A setting is wrong.
    WrongSetting = 2,
    /// Somebody has to change the node: signature, operating system, architecture, Secure Boot.
    NeedsHuman = 3,
}

impl SetupExit {
    /// The code of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::TryAgain => 1,
            Self::WrongSetting => 2,
            Self::NeedsHuman => 3,
        }
    }
}

/// Why the node is not ready. Displays as `what: why`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct SetupError {
    /// Who has to act.
    pub exit: SetupExit,
    /// What failed on which resource, in the form "cannot load module lnet".
    pub what: String,
    /// The cause, with the words of the tool or the kernel.
    pub why: String,
    /// What to do, in the imperative.
    pub hint: String,
    /// Whether the failure is of the network's kind, so that the same step may succeed within seconds.
    pub transient: bool,
}

impl SetupError {
    /// A failure that the next run may not meet.
    pub fn try_again(what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(SetupExit::TryAgain, what, why, hint)
    }

    /// A setting that cannot be followed.
    pub fn wrong_setting(what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(SetupExit::WrongSetting, what, why, hint)
    }

    /// A failure that stays until somebody changes the node.
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
