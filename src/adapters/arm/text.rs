//! Text of responses, made safe to show: on one line, of limited length, without secrets.

use super::token::Secret;

/// Text with control characters and white space collapsed to single spaces.
pub(super) fn words(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text on one line; what is longer than `longest` characters loses its middle.
pub(super) fn one_line(text: &str, longest: usize) -> String {
    let line = words(text);
    let length = line.chars().count();
    if length <= longest {
        return line;
    }
    let (head, tail) = (longest / 2, longest - longest / 2 - 5);
    let start: String = line.chars().take(head).collect();
    let end: String = line.chars().skip(length - tail).collect();
    format!("{start} […] {end}")
}

/// Text as one line of at most 300 characters without the given secrets, plain or percent-encoded: some proxies echo the
/// request that they refuse.
pub(super) fn redacted(text: &str, secrets: &[&Secret]) -> String {
    let secrets = secrets.iter().map(|secret| secret.reveal()).filter(|secret| !secret.is_empty());
    let text = secrets.fold(text.to_owned(), |text, secret| {
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        text.replace(secret, "…").replace(&encoded, "…")
    });
    one_line(&text, 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redacted_text_is_one_line_without_secrets() {
        let secret = Secret::new("ge/heim +");
        let text = "a\r\n\u{1b}[31mb ge/heim + client_secret=ge%2Fheim+%2B&x";
        assert_eq!(redacted(text, &[&secret, &Secret::new("")]), "a [31mb … client_secret=…&x");
        assert_eq!(redacted(&"ä".repeat(500), &[]).chars().count(), 300);
    }
}
