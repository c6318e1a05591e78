//! Port for programs of the host: one invocation with its arguments, working directory, input and time limit, and its output.

use std::ffi::OsString;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

/// One run of a program. Paths in `args` and `cwd` are as the program opens them
/// ([`HostRoot::path_in_host`](super::layout::HostRoot::path_in_host)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Its name, searched in the `PATH` of the host.
    pub program: &'static str,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its working directory; `/` where absent.
    pub cwd: Option<PathBuf>,
    /// Its standard input; empty is end of file at once.
    pub stdin: Vec<u8>,
    /// How long it may run. At the limit its whole process group is killed.
    pub limit: Duration,
}

impl Invocation {
    /// A run without input, in `/`, with a limit of one minute.
    pub fn new<A: Into<OsString>>(program: &'static str, args: impl IntoIterator<Item = A>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self { program, args, cwd: None, stdin: Vec::new(), limit: Duration::from_mins(1) }
    }

    /// The same in another directory.
    #[must_use]
    pub fn in_dir(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// The same with other time to run.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The same with standard input.
    #[must_use]
    pub fn with_input(mut self, stdin: Vec<u8>) -> Self {
        self.stdin = stdin;
        self
    }

    /// The command with the quotes that a shell needs, for `--dry-run`.
    pub fn command_line(&self) -> String {
        let words = self.args.iter().map(|arg| quoted(&arg.to_string_lossy()));
        std::iter::once(self.program.to_owned()).chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// `word`, in quotes unless a shell reads it as one plain word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Exit code and output of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Its exit code; 128 and the number of the signal if one ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error, at most 64 KiB.
    pub stderr: String,
}

impl Output {
    /// Whether the exit code is 0.
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Why a program did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The host has no such program.
    #[error("the host has no program {program}")]
    Missing {
        /// Its name.
        program: &'static str,
    },
    /// It was killed at its time limit.
    #[error("{program} did not end within {} s", limit.as_secs())]
    TimedOut {
        /// Its name.
        program: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// It could not be started, or its output could not be read.
    #[error("{program} could not be run: {why}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// The cause.
        why: String,
    },
}

/// Runs programs of the host.
pub trait HostTools: Debug {
    /// Runs one to its end; an exit code that is not 0 is no error here.
    fn run(&self, invocation: &Invocation) -> Result<Output, ToolError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let run = Invocation::new("modprobe", ["-d", "/r", "lnet", "networks=tcp(eth0)", "it's", ""]);
        assert_eq!(run.command_line(), r"modprobe -d /r lnet 'networks=tcp(eth0)' 'it'\''s' ''");
    }
}
