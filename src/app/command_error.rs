//! [`CommandError`]: how a command fails, an exit code and problems.

use std::fmt;
use std::process::ExitCode;

use crate::domain::problem::{Problem, Problems};

/// How the process ends when a command fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something failed while running; starting again may help.
    Failure,
    /// The command line or the settings are wrong; starting again will not help.
    Usage,
    /// The code that the command's own documentation explains.
    Code(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Failure => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::Code(code) => Self::from(code),
        }
    }
}

/// A failed command. `Display` is what goes to stderr: `error:` and `hint:` lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    exit: Exit,
    problems: Vec<Problem>,
}

impl CommandError {
    /// A failure with these problems.
    pub fn new(exit: Exit, problems: Vec<Problem>) -> Self {
        Self { exit, problems }
    }

    /// Something failed while running.
    pub fn failure(problem: impl Into<Problem>) -> Self {
        Self::new(Exit::Failure, vec![problem.into()])
    }

    /// Something failed while running, in one sentence.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::failure(Problem::new(message))
    }

    /// The command line or the settings are wrong.
    pub fn usage(problem: impl Into<Problem>) -> Self {
        Self::new(Exit::Usage, vec![problem.into()])
    }

    /// All of these failures as one, with the exit code of the first; nothing if there are none.
    pub fn all(errors: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let join = |first: Self, other: Self| Self { problems: [first.problems, other.problems].concat(), ..first };
        errors.into_iter().reduce(join).map_or(Ok(()), Err)
    }

    /// How the process is to end.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems.iter().try_for_each(|problem| writeln!(f, "{problem:#}"))
    }
}

impl std::error::Error for CommandError {}

impl From<Problems> for CommandError {
    fn from(problems: Problems) -> Self {
        Self::new(Exit::Usage, problems.into_vec())
    }
}
