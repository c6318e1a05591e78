//! Rule violations and notices in the words of the person who wrote the request.
//!
//! A `StorageClass` with three mistakes should be mended in one go, so the rules collect every violation with the field,
//! the value and the rule it breaks. How these become gRPC codes is the front end's business.

use std::fmt;

/// One broken rule: which field, what it held, what the rule is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field as the user spelled it, such as `sub-dir` or `mount flag`.
    pub field: String,
    /// The rule in a sentence without a full stop, with the offending value where that helps.
    pub rule: String,
}

impl Violation {
    /// Builds a violation of `field`.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.rule)
    }
}

impl std::error::Error for Violation {}

/// Every broken rule of one request, in the order found. Never empty once returned as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes one more violation.
    pub fn push(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.0.push(Violation::new(field, rule));
    }

    /// Takes the value of `result`, or notes its violation under `field` and goes on without.
    pub fn note<T>(&mut self, field: &str, result: Result<T, impl fmt::Display>) -> Option<T> {
        result.map_err(|rule| self.push(field, rule.to_string())).ok()
    }

    /// Adds all violations of another collection.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The violations found.
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// Whether no rule was broken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Ok(value)` when nothing was broken, else all violations.
    pub fn into_result<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self(vec![violation])
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

/// How much a [`Notice`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The request is carried out in another way than it reads: a line at level warn.
    Warning,
    /// Of interest only to somebody who searches: a line at level debug.
    Debug,
}

/// Something in a request that does not stop it but should be logged. The domain logs nothing; the use-case does.
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
        Self { severity: Severity::Debug, field: field.into(), message: message.into() }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Text from outside, made safe and short enough to quote in a message: control characters escaped, at most 80
/// characters.
pub fn quote(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).collect::<String>().escape_debug().to_string();
    if text.chars().count() > LONGEST {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The known word nearest to `word`, if one is near enough to be what was meant. Compared without case.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_are_all_reported() {
        let mut violations = Violations::default();
        violations.push("sku-name", "missing");
        violations.push("zone", "`9` is not offered");
        assert_eq!(violations.to_string(), "sku-name: missing; zone: `9` is not offered");
        assert_eq!(violations.clone().into_result(Some(1)), Err(violations));
        assert_eq!(Violations::default().into_result(Some(1)), Ok(1));
    }

    #[test]
    fn quoted_text_cannot_break_a_line() {
        assert_eq!(quote("a\nb\u{0}"), "`a\\nb\\0`");
        assert!(quote(&"x".repeat(500)).chars().count() < 90);
    }

    #[test]
    fn the_nearest_name_is_offered_and_far_ones_are_not() {
        assert_eq!(nearest("sku-nam", ["sku-name", "zone"]), Some("sku-name"));
        assert_eq!(nearest("replicas", ["sku-name", "zone"]), None);
    }
}
