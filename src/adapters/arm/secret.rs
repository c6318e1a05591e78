//! [`Secret`]: tokens, client secrets and passwords, wiped from memory when they are dropped.

use secrecy::{ExposeSecret, SecretString};

/// A secret: a token, a client secret, a password. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The text. Only for what is sent to its issuer or to the service that it is meant for.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.reveal() == other.reveal()
    }
}

impl Eq for Secret {}

/// Foreign text as one line of at most 300 characters, without the given secrets, plain or percent-encoded: some proxies
/// answer with the request that they refused.
pub(super) fn presentable(text: &str, secrets: &[&Secret]) -> String {
    const LONGEST: usize = 300;
    let without = secrets.iter().map(|secret| secret.reveal()).filter(|secret| !secret.is_empty());
    let text = without.fold(text.to_owned(), |text, secret| {
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        text.replace(secret, "…").replace(&encoded, "…")
    });
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    let end = line.char_indices().nth(LONGEST).map(|(at, _)| at);
    end.map_or_else(|| line.clone(), |at| format!("{}…", &line[..at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let secret = Secret::new("geheim");
        assert!(!format!("{secret:?} {:?}", Some(&secret)).contains("geheim"));
        assert_eq!(secret.reveal(), "geheim");
    }

    #[test]
    fn foreign_text_is_one_line_without_secrets() {
        let secret = Secret::new("ge/heim +");
        let shown =
            presentable("a\r\n\u{1b}[31mb ge/heim + client_secret=ge%2Fheim+%2B&x", &[&secret, &Secret::new("")]);
        assert_eq!(shown, "a [31mb … client_secret=…&x");
        assert_eq!(presentable(&"ä".repeat(500), &[]).chars().count(), 301);
    }
}
