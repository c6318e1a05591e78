//! What clap finds wrong with a command line, as problems.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::app::command_error::CommandError;
use crate::domain::problem::Problem;
use crate::domain::text::{nearest, quote};

/// What clap found, in our words: the nearest flag is offered.
pub(super) fn of_clap(error: &clap::Error, command: &clap::Command) -> CommandError {
    let help = format!("see `{} --help`", command.get_name());
    let problem = match unknown_flag(error) {
        None => Problem::new(first_line(error)).with_hint(help),
        Some(flag) => {
            let hint = nearest_flag(command, flag).map_or(help, |near| format!("did you mean `{near}`?"));
            Problem::new(format!("unknown flag {}", quote(flag))).with_hint(hint)
        }
    };
    CommandError::usage(problem)
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
