//! [`ArmFailure`] and [`TokenError`]: why a request has no useful response, and what the port reports of it.

use std::time::Duration;

use super::answer::ArmAnswer;
use super::causes;
use super::limiter::Class;
use super::wire::{Method, WireError};
use crate::ports::Cause;
use crate::ports::cloud::{CloudError, CloudErrorKind};

/// Why a request has no useful answer. It can be cloned, since one failed request fails everybody who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArmFailure {
    /// An answer with another status than 2xx.
    #[error("{0}")]
    Answer(Box<ArmAnswer>),
    /// Not sent: ARM has answered 429 to an earlier request of this class, and its pause is not over.
    #[error("ARM throttles {class}: none is sent for another {} s", seconds(*.left))]
    HeldBack {
        /// What ARM counts together.
        class: Class,
        /// How long the pause lasts yet.
        left: Duration,
    },
    /// ARM answered 429 to this request.
    #[error("ARM throttles {class}: {answer}")]
    Throttled {
        /// What ARM counts together.
        class: Class,
        /// How long the adapter sends no more of them.
        left: Duration,
        /// The answer.
        answer: Box<ArmAnswer>,
    },
    /// No answer at all.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A success whose body cannot be read as what was requested.
    #[error("{message}")]
    Unreadable {
        /// What is odd.
        message: String,
        /// Whether ARM itself wrote it.
        is_arms: bool,
    },
    /// A name that is no path segment; nothing was sent.
    #[error("{0} cannot be part of an ARM path")]
    BadName(String),
    /// No token; nothing was sent.
    #[error("no token for ARM: {0}")]
    Token(#[source] TokenError),
    /// The request was not sent, because it would have gone somewhere else with our token.
    #[error("refused to follow a link to {0}, which is not {1}")]
    ForeignHost(String, String),
    /// Not sent: another request that changes the same file system has no answer yet.
    #[error("a {0} of it has been sent and has no answer yet")]
    InFlight(Method),
    /// The task that had sent the request is gone without an answer.
    #[error("the request was interrupted before its answer came")]
    Interrupted,
}

fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

impl ArmFailure {
    /// What it means.
    pub fn kind(&self) -> CloudErrorKind {
        match self {
            Self::Answer(answer) => answer.kind(),
            Self::HeldBack { .. } | Self::Throttled { .. } => CloudErrorKind::Throttled,
            Self::Wire(WireError::TooLong(_)) | Self::Unreadable { .. } | Self::ForeignHost(..) => {
                CloudErrorKind::Unreadable
            }
            Self::BadName(_) => CloudErrorKind::Invalid,
            Self::Token(TokenError { kind: TokenErrorKind::Refused, .. }) => CloudErrorKind::Unauthenticated,
            Self::Token(_) | Self::Wire(_) | Self::Interrupted => CloudErrorKind::Unavailable,
            Self::InFlight(_) => CloudErrorKind::Busy,
        }
    }

    /// Whether ARM itself did not accept the token, so that it has not acted.
    pub fn is_token_refused(&self) -> bool {
        matches!(self, Self::Answer(answer) if answer.is_token_refused())
    }

    /// How long to leave ARM alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer(answer) => answer.retry_after,
            Self::HeldBack { left, .. } | Self::Throttled { left, .. } => Some(*left),
            _ => None,
        }
    }

    /// The same as an error of the port.
    pub fn into_cloud_error(self, call: &Call) -> CloudError {
        CloudError {
            hint: self.hint(call),
            retry_after: self.retry_after(),
            lasting: matches!(&self, Self::Answer(answer) if answer.is_lasting()),
            ..CloudError::new(self.kind(), call.operation, call.resource.clone(), self.to_string())
        }
        .caused_by(self)
    }

    fn hint(&self, call: &Call) -> Option<String> {
        let hint = match self {
            Self::Answer(answer) if answer.is_arms => return causes::hint(answer, call),
            Self::Answer(answer) if answer.kind() == CloudErrorKind::Unreadable => NOT_ARM,
            Self::Unreadable { is_arms: false, .. } => NOT_ARM,
            Self::Unreadable { .. } => "report this answer of ARM; this driver does not understand it",
            Self::HeldBack { left, .. } | Self::Throttled { left, .. } => {
                return Some(format!(
                    "a command is to be repeated in {} s, the driver repeats by itself; if it lasts, find who else sends \
                     requests to ARM as this identity or in this subscription",
                    seconds(*left)
                ));
            }
            Self::ForeignHost(..) => "check resourceManagerEndpoint in the cloud settings: ARM's links must lead there",
            Self::Wire(WireError::TooLong(_)) => {
                "check resourceManagerEndpoint in the cloud settings: no answer of ARM is as long"
            }
            Self::Token(failure) => return failure.hint.clone(),
            Self::Wire(_) => {
                "check that this pod reaches the ARM endpoint on port 443 (name resolution, firewall, proxy)"
            }
            Self::Answer(_) | Self::BadName(_) | Self::InFlight(_) | Self::Interrupted => return None,
        };
        Some(hint.to_owned())
    }
}

const NOT_ARM: &str = "the answer is not ARM's; search for a proxy or firewall between this pod and ARM, and check the \
                       cloud and resourceManagerEndpoint in the cloud settings";

/// What a request is for, as far as advice depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// To learn something.
    Read,
    /// To create a file system.
    Create,
    /// To delete one.
    Delete,
}

/// What is being asked, for messages.
#[derive(Debug, Clone)]
pub struct Call {
    /// Such as "create file system".
    pub operation: &'static str,
    /// What it is about.
    pub resource: String,
    /// What it is for.
    pub intent: Intent,
    /// The resource provider that answers it, such as `Microsoft.StorageCache`.
    pub provider: &'static str,
    /// The action that Azure's access control wants for it.
    pub action: &'static str,
    /// What to do if what it refers to is not there; may be empty.
    pub missing: &'static str,
}

impl Call {
    /// A question to the resource provider of AMLFS.
    pub(super) fn read(operation: &'static str, resource: impl Into<String>, action: &'static str) -> Self {
        let (provider, intent, missing) = ("Microsoft.StorageCache", Intent::Read, "");
        Self { operation, resource: resource.into(), intent, provider, action, missing }
    }
}

/// What a failure to get a token means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenErrorKind {
    /// The credential is bad, and stays so until somebody acts: it was refused (400, 401, 403), a file is missing or
    /// empty, a key is of the wrong kind, a setting is a placeholder.
    Refused,
    /// The issuer or the way to it has a problem (network, time-out, 429, 5xx); trying again may help.
    Unavailable,
    /// An answer that cannot be read as one of its issuer.
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
    pub source: Option<Cause>,
}

impl TokenError {
    /// An error without hint or cause; set those fields where known.
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

    /// An answer that cannot be read as one of its issuer.
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
