//! Problems of requests and settings: where, what is wrong, what to do about it. Also notices, which do not stop a request.
//!
//! A `StorageClass` or a settings file with three mistakes is corrected in one go, so problems are collected and reported
//! together. How they become gRPC codes or exit codes is up to the front end.

use std::fmt;

use super::text::error_chain;

/// One mistake: where it was made, what is wrong, and what to do about it.
///
/// `Display` is one line without the hint, `place: message`; the alternate form (`{:#}`) is the lines `error: …` and, where
/// there is a hint, `hint: …`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// The field, parameter, flag, variable or key as the user spelled it; empty where the message names it.
    pub place: String,
    /// What is wrong, with the value where that helps; no full stop.
    pub message: String,
    /// What to do about it, in the imperative.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without place and hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// A problem of the field or parameter `place`.
    pub fn of(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), ..Self::new(message) }
    }

    /// A problem whose message is the whole chain of causes, each given once.
    pub fn from_error(error: &dyn std::error::Error) -> Self {
        Self::new(error_chain(error))
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds where the mistake was made, in front of a place that is known already.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        let place = if self.place.is_empty() { place.to_owned() } else { format!("{place}: {}", self.place) };
        Self { place, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, message, hint } = self;
        let error = if f.alternate() { "error: " } else { "" };
        let colon = if place.is_empty() { "" } else { ": " };
        write!(f, "{error}{place}{colon}{message}")?;
        hint.as_ref().filter(|_| f.alternate()).map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

impl std::error::Error for Problem {}

/// All problems found, in the order found. Never empty once returned as an error. `Display` joins them by `; `.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds a problem.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds a problem of the field or parameter `place`.
    pub fn add(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.push(Problem::of(place, message));
    }

    /// The value of `result`; `None`, with its problems added, if it has none.
    pub fn note<T>(&mut self, result: Result<T, impl Into<Self>>) -> Option<T> {
        result.map_err(|more| self.0.extend(more.into().0)).ok()
    }

    /// As [`Problems::note`], for an error that is the message of one problem of `place`.
    pub fn note_at<T>(&mut self, place: &str, result: Result<T, impl fmt::Display>) -> Option<T> {
        self.note(result.map_err(|error| Problem::of(place, error.to_string())))
    }

    /// The problems found.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// The problems found, one by one.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Ok(value)` if nothing was found, else all problems.
    pub fn into_result<T>(self, value: Option<T>) -> Result<T, Self> {
        value.filter(|_| self.is_empty()).ok_or(self)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("; "))
    }
}

/// How much a [`Notice`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The request is carried out in another way than it reads: a line at level warn.
    Warning,
    /// Of interest to a search only: a line at level debug.
    Debug,
}

/// Something in a request that does not stop it but is to be logged. The domain logs nothing; the use-case does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub severity: Severity,
    /// The field as the user spelled it, such as `fs-name` or `volumeAttributes`.
    pub field: String,
    /// What was found and what happens instead, without a full stop.
    pub message: String,
}

impl Notice {
    /// A notice at level warn.
    pub fn warning(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, field: field.into(), message: message.into() }
    }

    /// A notice at level debug.
    pub fn debug(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Debug, ..Self::warning(field, message) }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_or_two_for_a_terminal() {
        let problem = Problem::of("sub", "`x` is not a mode").with_hint("use `all`").at("--mode");
        assert_eq!(problem.to_string(), "--mode: sub: `x` is not a mode");
        assert_eq!(format!("{problem:#}"), "error: --mode: sub: `x` is not a mode\nhint: use `all`");
        assert_eq!(format!("{:#}", Problem::new("gone")), "error: gone");
    }

    #[test]
    fn all_problems_are_reported_and_no_value_passes_beside_one() {
        let mut problems = Problems::default();
        assert_eq!(problems.clone().into_result(Some(1)), Ok(1));
        problems.add("sku-name", "missing");
        assert_eq!(problems.note::<u8>(Err(Problem::of("zone", "`9` is not offered"))), None);
        assert_eq!(problems.note_at::<u8>("size", Err("too large")), None);
        assert_eq!(problems.to_string(), "sku-name: missing; zone: `9` is not offered; size: too large");
        assert_eq!(problems.clone().into_result(Some(1)), Err(problems));
    }
}
