//! Go's way of writing flags, put into clap's.
//!
//! The Go driver's manifests pass `-v=5`, `-endpoint=…`, `--nodeid $(NAME)`; Go's flag package takes one dash
//! or two, lets a flag eat the next word whatever its form, and never lets a boolean do so. Here everything becomes
//! `--name=value`, and the sub-command goes first, wherever it stood.

use std::ffi::OsString;

use clap::{Arg, Command};

use super::CommandError;
use crate::app::settings::go_bool;
use crate::domain::problem::Problem;
use crate::domain::text::{nearest, quote};

/// The same arguments (without the program's name) as clap understands them. `command` must be built.
pub(super) fn normalise(
    command: &Command,
    arguments: impl Iterator<Item = OsString>,
) -> Result<Vec<String>, CommandError> {
    let mut words = texts(arguments)?.into_iter();
    let (mut first, mut rest) = (None, Vec::new());
    while let Some(word) = words.next() {
        let short = flag(&word).and_then(|(name, value)| Some((long_of(command, name)?, value)));
        match short.or_else(|| flag(&word)) {
            Some((name, None)) if takes_value(command, name) => {
                rest.push(words.next().map_or(format!("--{name}"), |value| format!("--{name}={value}")));
            }
            Some((name, None)) => rest.push(format!("--{name}")),
            Some((name, Some(value))) => rest.push(format!("--{name}={value}")),
            None if first.is_none() && command.find_subcommand(&word).is_some() => first = Some(word),
            None if first.as_deref().is_some_and(|first| takes_word(command, first, &word)) => rest.push(word),
            None => return Err(stray(command, &word, first.is_none())),
        }
    }
    Ok(first.into_iter().chain(rest).collect())
}

/// A word that is neither flag nor value: a misspelt command, or the value of a boolean. Go would stop reading here and
/// pass over all that follows; that has hidden enough mistakes.
fn stray(command: &Command, word: &str, may_be_command: bool) -> CommandError {
    let names = command.get_subcommands().map(Command::get_name);
    let (kind, near) = if may_be_command { ("command", nearest(word, names)) } else { ("argument", None) };
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if go_bool(word).is_ok() => {
            format!("write a boolean's value with `=`, such as `--remove-not-ready-taint={word}`")
        }
        None => format!("see `{} --help`", command.get_name()),
    };
    CommandError::usage(Problem::new(format!("unknown {kind} {}", quote(word))).with_hint(hint))
}

fn texts(arguments: impl Iterator<Item = OsString>) -> Result<Vec<String>, CommandError> {
    let text = |word: OsString| {
        word.into_string().map_err(|word| {
            let problem = Problem::new(format!("argument {} is not UTF-8", word.to_string_lossy().escape_debug()));
            CommandError::usage(problem.with_hint("write arguments in UTF-8"))
        })
    };
    arguments.map(text).collect()
}

/// Name and value of a word that is a flag, with one dash or two.
fn flag(word: &str) -> Option<(&str, Option<&str>)> {
    let body = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    let (name, value) = body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value)));
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic());
    named.then_some((if name == "h" { "help" } else { name }, value))
}

/// Whether this word is one that the command itself takes: `node` after `doctor`, any file after `check-objects`.
fn takes_word(command: &Command, first: &str, word: &str) -> bool {
    let takes = |positional: &Arg| {
        let values = positional.get_possible_values();
        values.is_empty() || values.iter().any(|value| value.get_name() == word)
    };
    command.find_subcommand(first).into_iter().flat_map(Command::get_positionals).any(takes)
}

/// The name of a flag that was given by its one letter.
fn long_of<'a>(command: &'a Command, letter: &str) -> Option<&'a str> {
    let mut letters = letter.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else { return None };
    let commands = std::iter::once(command).chain(command.get_subcommands());
    commands.flat_map(Command::get_arguments).find(|arg| arg.get_short() == Some(letter)).and_then(Arg::get_long)
}

/// Whether a flag of any command needs a value; booleans can do without.
fn takes_value(command: &Command, name: &str) -> bool {
    let commands = std::iter::once(command).chain(command.get_subcommands());
    let mut named = commands.flat_map(Command::get_arguments).filter(|arg| arg.get_long() == Some(name));
    named.any(|arg: &Arg| arg.get_num_args().is_some_and(|range| range.min_values() > 0))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    fn normal(arguments: &[&str]) -> String {
        let mut command = Cli::command();
        command.build();
        normalise(&command, arguments.iter().map(OsString::from)).unwrap().join(" ")
    }

    #[test]
    fn every_spelling_becomes_one() {
        for spelling in [&["-endpoint", "x"] as &[_], &["--endpoint", "x"], &["-endpoint=x"], &["--endpoint=x"]] {
            assert_eq!(normal(spelling), "--endpoint=x");
        }
        for spelling in [&["-v", "5"] as &[_], &["--v", "5"], &["-v=5"], &["--v=5"]] {
            assert_eq!(normal(spelling), "--v=5");
        }
        assert_eq!(normal(&["-endpoint=a=b"]), "--endpoint=a=b");
        assert_eq!(normal(&["-h"]), "--help");
    }

    #[test]
    fn only_flags_with_values_eat_the_next_word() {
        assert_eq!(normal(&["--nodeid", "-x", "--version"]), "--nodeid=-x --version");
        assert_eq!(normal(&["-remove-not-ready-taint", "-v", "2"]), "--remove-not-ready-taint --v=2");
        assert_eq!(normal(&["--nodeid"]), "--nodeid");
    }

    #[test]
    fn the_command_goes_first_unless_it_is_a_value() {
        assert_eq!(normal(&["--nodeid", "serve", "-v=2", "serve"]), "serve --nodeid=serve --v=2");
        let mut command = Cli::command();
        command.build();
        for stray in ["nonsense", "-", "--", ""] {
            assert!(normalise(&command, std::iter::once(OsString::from(stray))).is_err(), "{stray}");
        }
    }
}
