//! [`ErrorResponse`]: a response whose status is no success: whether ARM itself sent it, its codes, and what it means.
//!
//! Whether a file system may exist is decided here, by the rules of ARM's REST contract:
//! <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling> (429) and
//! <https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md#handling-errors> (bodies).

use std::fmt;
use std::time::Duration;

use super::codes;
use super::detail::ErrorDetail;
use crate::adapters::arm::http::Response;
use crate::adapters::arm::http::retry_after::retry_after;
use crate::adapters::arm::text::one_line;
use crate::domain::text::quote;
use crate::ports::cloud::CloudErrorKind;

/// ARM sets this header in every response; no proxy does.
const REQUEST_ID: &str = "x-ms-request-id";

/// A response with another status than 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResponse {
    /// HTTP status.
    pub status: u16,
    /// Whether ARM itself sent it (`x-ms-request-id` is set). A response of a proxy or firewall with the same status proves
    /// nothing.
    pub from_arm: bool,
    /// ARM's error codes, those of `details[]` and of inner errors included, outermost first.
    pub codes: Vec<String>,
    /// Codes, messages and details on one line, or the beginning of a body that is no error of ARM.
    pub message: String,
    /// Whether it reports that a quota of the subscription is used up.
    pub is_quota: bool,
    /// How long the server asks the client to wait.
    pub retry_after: Option<Duration>,
    /// ARM's id of the request, for support requests.
    pub request_id: Option<String>,
}

impl fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.codes.is_empty() { ":" } else { "" };
        write!(f, "HTTP {}{colon} {}", self.status, self.message)?;
        self.request_id.as_ref().map_or(Ok(()), |id| write!(f, " (request id {id})"))
    }
}

impl ErrorResponse {
    /// Reads a response. Never fails: a body that is no error of ARM becomes a message without a code.
    pub fn read(response: &Response) -> Self {
        let detail = ErrorDetail::read(&response.body);
        let request_id = ["x-ms-correlation-request-id", REQUEST_ID].iter().find_map(|name| response.header(name));
        Self {
            status: response.status.as_u16(),
            from_arm: is_from_arm(response),
            codes: detail.as_ref().map(ErrorDetail::codes).unwrap_or_default(),
            message: detail.as_ref().map_or_else(|| beginning(&response.body), ErrorDetail::to_string),
            is_quota: detail.as_ref().is_some_and(ErrorDetail::is_quota),
            retry_after: retry_after(response),
            request_id: request_id.map(|id| one_line(&id, 64)),
        }
    }

    /// Whether ARM itself reports that a file system, or its resource group, does not exist. Another code, such as
    /// `SubscriptionNotFound`, and a proxy's 404 do not prove that the file system is absent.
    pub fn is_absent(&self) -> bool {
        let code = self.codes.first().map(String::as_str);
        self.from_arm && self.status == 404 && matches!(code, Some("ResourceNotFound" | "ResourceGroupNotFound"))
    }

    /// Whether ARM itself did not accept the token, so that it has not acted.
    pub fn is_token_refused(&self) -> bool {
        self.kind() == CloudErrorKind::Unauthenticated
    }

    /// Whether repeating the request cannot help: a code names a cause that lasts, or the status says that the request
    /// itself is at fault.
    pub fn is_lasting(&self) -> bool {
        let at_fault = matches!(self.status, 405 | 406 | 410 | 411 | 413..=417 | 422 | 431 | 451);
        self.from_arm && (at_fault || self.codes.iter().any(|code| codes::is_lasting(code)))
    }

    /// What it means, by status; ARM's code only distinguishes quota from an operation in progress.
    pub fn kind(&self) -> CloudErrorKind {
        match (self.status, self.from_arm) {
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

/// Whether ARM itself sent a response.
pub(in super::super) fn is_from_arm(response: &Response) -> bool {
    response.header(REQUEST_ID).is_some_and(|id| !id.trim().is_empty())
}

/// The beginning of a body that is no error of ARM, for messages.
pub(in super::super) fn beginning(body: &[u8]) -> String {
    if body.is_empty() {
        return "an empty body".to_owned();
    }
    let start = body.get(..body.len().min(240)).unwrap_or_default();
    format!("the body is not an error of ARM's, it begins with {}", quote(&String::from_utf8_lossy(start)))
}
