//! What is wrong and what to do about it, for the person who starts the process.
//!
//! A deployment is mended by its log, often one restart a try. So problems are collected, reported all at
//! once, and each says what to do next.

use std::fmt;

/// One mistake and its cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, where; no full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// A problem whose message is the whole chain of causes, each said once.
    pub fn from_error(error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        Self::new(causes.map(ToString::to_string).fold(error.to_string(), |message, cause| {
            if message.contains(&cause) { message } else { format!("{message}: {cause}") }
        }))
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says where the mistake was made: a flag, a variable, a key of a file.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Problem {
    /// The lines `error: …` and, where known, `hint: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

/// All problems found, in the order found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a problem.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Takes the value, or notes the problem and goes on without.
    pub fn note<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.push(problem)).ok()
    }

    /// The problems found.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// The problems found, one by one.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// `Ok(value)` when nothing was found, else all problems.
    pub fn into_result<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_printed_in_two_lines() {
        let problem = Problem::new("`x` is no mode").with_hint("use `all`").at("--mode");
        assert_eq!(problem.to_string(), "error: --mode: `x` is no mode\nhint: use `all`");
        assert_eq!(Problem::new("gone").to_string(), "error: gone");
    }

    #[test]
    fn nothing_passes_beside_a_problem() {
        let mut problems = Problems::default();
        assert_eq!(problems.clone().into_result(Some(1)), Ok(1));
        assert_eq!(problems.note::<u8>(Err(Problem::new("bad"))), None);
        assert_eq!(problems.clone().into_result(Some(1)), Err(problems));
    }
}
