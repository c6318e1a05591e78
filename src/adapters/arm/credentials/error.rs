//! Why there is no token.

use std::error::Error;
use std::sync::Arc;

/// What a failure to get a token means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenErrorKind {
    /// The credential is bad, and stays so until somebody acts: it was refused (400, 401, 403), a file is missing or
    /// empty, a key is of the wrong kind, a setting is a placeholder.
    Refused,
    /// The issuer or the way to it has a problem (network, time-out, 429, 5xx); trying again may help.
    Unavailable,
    /// An answer that makes no sense.
    Unreadable,
}

/// A failure to get a token. Its texts name tenant, client and host, never a secret, an assertion or a token.
///
/// It can be cloned, since one failed exchange fails everybody who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct TokenError {
    /// What it means.
    pub kind: TokenErrorKind,
    /// What happened, with the issuer's code where it gave one.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// The cause below, such as a transport error.
    #[source]
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

impl TokenError {
    /// An error without hint or cause.
    pub fn new(kind: TokenErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// A credential that cannot be used.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::new(TokenErrorKind::Refused, message)
    }

    /// An issuer that cannot be asked now.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(TokenErrorKind::Unavailable, message)
    }

    /// An answer that makes no sense.
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
    pub(super) fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}
