//! [`ArmError`]: why a request to ARM has no useful response, and the [`CloudError`] that the port reports for it.

use std::fmt;
use std::time::Duration;

use super::http::{HttpError, Method};
use super::limiter::Class;
use super::operation::ArmOperation;
use super::token::{TokenError, TokenErrorKind};
use crate::ports::cloud::{CloudError, CloudErrorKind};

mod codes;
pub(super) mod detail;
pub(super) mod response;

pub use response::ErrorResponse;

/// Why a request has no useful response. It can be cloned, since one failed request fails every caller that waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArmError {
    /// A response with another status than 2xx and 429.
    #[error("{0}")]
    Response(Box<ErrorResponse>),
    /// ARM answered 429 to this request, or, without a response, to an earlier one of its class: then it was not sent.
    #[error("ARM throttles {class}: {}", Throttled(.response.as_deref(), *.pause))]
    Throttled {
        /// The requests that ARM counts together.
        class: Class,
        /// How long the adapter sends no more of them.
        pause: Duration,
        /// The response to this request.
        response: Option<Box<ErrorResponse>>,
    },
    /// No response.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A success whose body cannot be read as what was requested.
    #[error("{message}")]
    Unreadable {
        /// What is wrong with it.
        message: String,
        /// Whether ARM itself sent it.
        from_arm: bool,
    },
    /// A name that is not one path segment; nothing was sent.
    #[error("{0} cannot be part of an ARM path")]
    InvalidSegment(String),
    /// No token; nothing was sent.
    #[error("no token for ARM: {0}")]
    Token(#[source] TokenError),
    /// Not sent, because the token would have left ARM's origin: the link's origin, and ARM's.
    #[error("refused to follow a link to {0}, which is not {1}")]
    OtherOrigin(String, String),
    /// Not sent: another request that changes the same file system has no response yet.
    #[error("a {0} of it has been sent and has no answer yet")]
    WriteInFlight(Method),
    /// The task that had sent the request ended without a response.
    #[error("the request was interrupted before its answer came")]
    Interrupted,
}

struct Throttled<'a>(Option<&'a ErrorResponse>, Duration);

impl fmt::Display for Throttled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(response) => response.fmt(f),
            None => write!(f, "none is sent for another {} s", seconds(self.1)),
        }
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

impl ArmError {
    /// What it means.
    pub fn kind(&self) -> CloudErrorKind {
        match self {
            Self::Response(response) => response.kind(),
            Self::Throttled { .. } => CloudErrorKind::Throttled,
            Self::Http(HttpError::TooLong(_)) | Self::Unreadable { .. } | Self::OtherOrigin(..) => {
                CloudErrorKind::Unreadable
            }
            Self::InvalidSegment(_) => CloudErrorKind::Invalid,
            Self::Token(TokenError { kind: TokenErrorKind::Refused, .. }) => CloudErrorKind::Unauthenticated,
            Self::Token(_) | Self::Http(_) | Self::Interrupted => CloudErrorKind::Unavailable,
            Self::WriteInFlight(_) => CloudErrorKind::Busy,
        }
    }

    /// Whether ARM itself did not accept the token, so that it has not acted.
    pub fn is_token_refused(&self) -> bool {
        matches!(self, Self::Response(response) if response.is_token_refused())
    }

    /// How long to wait before the next request.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Response(response) => response.retry_after,
            Self::Throttled { pause, .. } => Some(*pause),
            _ => None,
        }
    }

    /// The same as an error of the port, with a hint that fits the operation.
    pub(super) fn into_cloud_error(self, operation: &ArmOperation, resource: impl Into<String>) -> CloudError {
        CloudError {
            hint: self.hint(operation),
            retry_after: self.retry_after(),
            lasting: matches!(&self, Self::Response(response) if response.is_lasting()),
            ..CloudError::new(self.kind(), operation.name, resource, self.to_string())
        }
        .caused_by(self)
    }

    fn hint(&self, operation: &ArmOperation) -> Option<String> {
        let hint = match self {
            Self::Response(response) if response.from_arm => {
                return codes::hint(response.kind(), &response.codes, &response.message, operation);
            }
            Self::Response(response) if response.kind() == CloudErrorKind::Unreadable => NOT_ARM,
            Self::Unreadable { from_arm: false, .. } => NOT_ARM,
            Self::Unreadable { .. } => "report this answer of ARM; this driver does not understand it",
            Self::Throttled { pause, .. } => {
                return Some(format!(
                    "repeat a command in {} s, the driver repeats by itself; if it lasts, find who else sends requests to ARM \
                     as this identity or in this subscription",
                    seconds(*pause)
                ));
            }
            Self::OtherOrigin(..) => "check resourceManagerEndpoint in the cloud settings: ARM's links must lead there",
            Self::Http(HttpError::TooLong(_)) => {
                "check resourceManagerEndpoint in the cloud settings: no answer of ARM is as long"
            }
            Self::Token(error) => return error.hint.clone(),
            Self::Http(_) => {
                "check that this pod reaches the ARM endpoint on port 443 (name resolution, firewall, proxy)"
            }
            Self::Response(_) | Self::InvalidSegment(_) | Self::WriteInFlight(_) | Self::Interrupted => return None,
        };
        Some(hint.to_owned())
    }
}

const NOT_ARM: &str = "the answer is not ARM's; search for a proxy or firewall between this pod and ARM, and check the \
                       cloud and resourceManagerEndpoint in the cloud settings";
