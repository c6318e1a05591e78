//! [`TokenProvider`], [`TokenError`] and [`Secret`]: what credentials offer to the requests that need a token.

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::ports::Cause;

/// Provides access tokens for ARM.
#[async_trait]
pub trait TokenProvider: Send + Sync + std::fmt::Debug {
    /// A token that is valid now.
    async fn token(&self) -> Result<Secret, TokenError>;

    /// Reports that ARM did not accept this token: it is not provided again.
    fn reject(&self, token: &Secret);
}

/// A secret: a token, a client secret, a password. It has no `Display`, its `Debug` shows nothing of it, and its memory is
/// wiped on drop. Not [`SecretString`] itself, because settings that were read again are compared.
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

/// What a failure to get a token means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenErrorKind {
    /// The credential is bad, and stays so until its settings change: it was refused (400, 401, 403), a file is missing or
    /// empty, a key is of the wrong kind, a setting is a placeholder.
    Refused,
    /// The issuer cannot be reached or is not available (network, time-out, 429, 5xx); trying again may help.
    Unavailable,
    /// A response that cannot be read as one of its issuer.
    Unreadable,
}

/// A failure to get a token. Its texts name tenant, client and host, never a secret, an assertion or a token.
///
/// It can be cloned, since one failed exchange fails every caller that waited for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct TokenError {
    /// What it means.
    pub kind: TokenErrorKind,
    /// What happened, with the issuer's code where it gave one.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// The cause below, such as an HTTP error.
    #[source]
    pub source: Option<Cause>,
}

impl TokenError {
    /// An error without hint or cause; set those fields where known.
    pub fn new(kind: TokenErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// A credential that cannot be used.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(TokenErrorKind::Refused, message)
    }

    /// An issuer that is not available now.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(TokenErrorKind::Unavailable, message)
    }

    /// A response that cannot be read as one of its issuer.
    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(TokenErrorKind::Unreadable, message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause below. It must be free of secrets.
    #[must_use]
    pub(super) fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(source.into());
        self
    }
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
}
