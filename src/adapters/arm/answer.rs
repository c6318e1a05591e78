//! [`ArmAnswer`]: an answer that is no success, read: whose it is, what it means, what it says.
//!
//! Whether a file system may exist is decided here, by the rules of ARM's REST contract:
//! <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling> (429) and
//! <https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md#handling-errors> (bodies).

use std::fmt;
use std::time::Duration;

use super::causes;
use super::reason::{self, Reason};
use super::retry_after::retry_after;
use super::wire::Response;
use crate::domain::text::quote;
use crate::ports::cloud::CloudErrorKind;

/// The header that every answer of ARM has, and no proxy's.
const REQUEST_ID: &str = "x-ms-request-id";

/// An answer with another status than 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmAnswer {
    /// HTTP status.
    pub status: u16,
    /// Whether ARM itself answered (the answer has `x-ms-request-id`). A proxy's or a firewall's answer with the same
    /// status proves nothing.
    pub is_arms: bool,
    /// ARM's error code, or of an error without one the code of its first detail; `None` if there is none.
    pub code: Option<String>,
    /// All codes, those of `details[]` and of inner errors included, outermost first.
    pub codes: Vec<String>,
    /// Everything that ARM says about the cause, on one line, or the beginning of a body that says nothing.
    pub message: String,
    /// Whether it says that a quota of the subscription is used up.
    pub is_quota: bool,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// ARM's id of the request, for support requests.
    pub request_id: Option<String>,
}

impl fmt::Display for ArmAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.code.is_some() { "" } else { ":" };
        write!(f, "HTTP {}{colon} {}", self.status, self.message)?;
        self.request_id.as_ref().map_or(Ok(()), |id| write!(f, " (request id {id})"))
    }
}

impl ArmAnswer {
    /// Reads an answer. Never fails: a body that is no error of ARM's becomes a message without a code.
    pub fn read(response: &Response) -> Self {
        let reason = Reason::read(&response.body);
        let message = reason.as_ref().map_or_else(|| beginning(&response.body), Reason::to_string);
        let codes = reason.as_ref().map(Reason::codes).unwrap_or_default();
        Self {
            status: response.status.as_u16(),
            is_arms: is_arms(response),
            code: codes.first().cloned(),
            is_quota: reason.as_ref().is_some_and(Reason::is_quota),
            codes,
            message,
            retry_after: retry_after(response),
            request_id: ["x-ms-correlation-request-id", REQUEST_ID]
                .iter()
                .find_map(|name| response.header(name))
                .map(|id| reason::one_line(&id, 64)),
        }
    }

    /// Whether ARM itself said that a file system, or its resource group, does not exist. Another code, such as
    /// `SubscriptionNotFound`, and a proxy's 404 say nothing about the file system.
    pub fn is_absent(&self) -> bool {
        let absent = matches!(self.code.as_deref(), Some("ResourceNotFound" | "ResourceGroupNotFound"));
        self.is_arms && self.status == 404 && absent
    }

    /// Whether ARM itself did not accept the token, so that it has not acted.
    pub fn is_token_refused(&self) -> bool {
        self.kind() == CloudErrorKind::Unauthenticated
    }

    /// Whether repeating the request cannot help: a code names a cause that lasts, or the status says that the request
    /// itself is at fault.
    pub fn is_lasting(&self) -> bool {
        let at_fault = matches!(self.status, 405 | 406 | 410 | 411 | 413..=417 | 422 | 431 | 451);
        self.is_arms && (at_fault || self.codes.iter().any(|code| causes::is_lasting(code)))
    }

    /// What it means, by status; ARM's code only distinguishes quota from an operation in progress.
    pub fn kind(&self) -> CloudErrorKind {
        match (self.status, self.is_arms) {
            (429, _) => CloudErrorKind::Throttled,
            (400, true) => CloudErrorKind::Invalid,
            (401, true) => CloudErrorKind::Unauthenticated,
            (403, true) => CloudErrorKind::Denied,
            (404, true) => CloudErrorKind::NotFound,
            (409, true) if self.is_quota => CloudErrorKind::QuotaExceeded,
            (409, true) => CloudErrorKind::Busy,
            (200..=399, _) | (400..=499, false) if self.status != 408 => CloudErrorKind::Unreadable,
            _ => CloudErrorKind::Unavailable,
        }
    }
}

/// Whether ARM itself answered.
pub(super) fn is_arms(response: &Response) -> bool {
    response.header(REQUEST_ID).is_some_and(|id| !id.trim().is_empty())
}

/// The beginning of a body that nobody understands.
pub(super) fn beginning(body: &[u8]) -> String {
    if body.is_empty() {
        return "an empty body".to_owned();
    }
    let start = body.get(..body.len().min(240)).unwrap_or_default();
    format!("the body is not an error of ARM's, it begins with {}", quote(&String::from_utf8_lossy(start)))
}
