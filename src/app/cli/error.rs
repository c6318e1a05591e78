//! How a command fails: an exit code and problems.

use std::fmt;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::domain::error::{nearest, quote};
use crate::domain::problem::Problem;

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
pub struct CliError {
    exit: Exit,
    problems: Vec<Problem>,
}

impl CliError {
    /// A failure with these problems.
    pub fn new(exit: Exit, problems: Vec<Problem>) -> Self {
        Self { exit, problems }
    }

    /// Something failed while running.
    pub fn failure(problem: impl Into<Problem>) -> Self {
        Self::new(Exit::Failure, vec![problem.into()])
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

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems.iter().try_for_each(|problem| writeln!(f, "{problem}"))
    }
}

impl std::error::Error for CliError {}

/// What clap found, in our words: the nearest flag is offered.
pub(super) fn of_clap(error: &clap::Error, command: &clap::Command) -> CliError {
    let help = format!("see `{} --help`", command.get_name());
    let problem = match unknown_flag(error) {
        None => Problem::new(first_line(error)).with_hint(help),
        Some(flag) => {
            let hint = nearest_flag(command, flag).map_or(help, |near| format!("did you mean `{near}`?"));
            Problem::new(format!("unknown flag {}", quote(flag))).with_hint(hint)
        }
    };
    CliError::usage(problem)
}

fn unknown_flag(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) if error.kind() == ErrorKind::UnknownArgument => Some(flag),
        _ => None,
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn nearest_flag(command: &clap::Command, flag: &str) -> Option<String> {
    let commands = std::iter::once(command).chain(command.get_subcommands());
    let names = commands.flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_long);
    nearest(flag.trim_start_matches('-'), names).map(|name| format!("--{name}"))
}
