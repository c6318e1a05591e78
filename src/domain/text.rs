//! Text in messages: quoted input, the nearest word that is known, chains of errors.

use std::error::Error;

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

/// "; did you mean …?" with the known word nearest to `word`; empty if none is near.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean {near}?"))
}

/// `as_str` and `Display` for types that hold one checked text.
macro_rules! text_types {
    ($($name:ident),+) => {$(
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}
pub(super) use text_types;

/// The message of an error and those of its causes, the innermost last. A cause that is part of the text before is left out.
pub fn error_chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.map(ToString::to_string).fold(error.to_string(), |chain, cause| {
        if chain.contains(&cause) { chain } else { format!("{chain}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
