//! Booleans as Go's `strconv.ParseBool` spells them.

use super::problem::Problem;
use super::text::quote;

/// Takes `1`, `t`, `T`, `true`, `TRUE`, `True` and their opposites; any other text is a problem.
pub fn go_bool(text: &str) -> Result<bool, Problem> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Problem::new(format!("{} is neither true nor false", quote(text))).with_hint("write true or false")),
    }
}
