//! What a failed request means: one table, by HTTP status first.
//!
//! Why it exists: this decides whether a file system may exist. Only an answer that is ARM's own (it carries ARM's error
//! envelope) can be a refusal; a proxy's or a firewall's page with the same status proves nothing.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::credentials::{TokenError, TokenErrorKind};
use super::wire::{WireAnswer, WireError};
use crate::domain::error::quote;
use crate::ports::cloud::{CloudError, CloudErrorKind};

/// A request that ARM, or something before it, did not answer with success.
#[derive(Debug, thiserror::Error)]
pub enum ArmFailure {
    /// An answer with another status than 2xx.
    #[error("{0}")]
    Answer(ArmAnswer),
    /// No answer at all.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// A success whose body makes no sense.
    #[error("{0}")]
    Unreadable(String),
    /// A name that is no path segment; nothing was sent.
    #[error("{0} cannot be part of an ARM path")]
    BadName(String),
    /// No token; nothing was sent.
    #[error("no token for ARM: {0}")]
    Token(#[source] TokenError),
    /// The request was not sent, because it would have gone somewhere else with our token.
    #[error("refused to follow a link to {0}, which is not {1}")]
    ForeignHost(String, String),
}

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmAnswer {
    /// HTTP status.
    pub status: u16,
    /// ARM's error code; `None` if the body is not ARM's.
    pub code: Option<String>,
    /// ARM's message, or the beginning of the body.
    pub message: String,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// ARM's id of the request, for support requests.
    pub request_id: Option<String>,
}

impl fmt::Display for ArmAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        write!(f, ": {}", self.message)?;
        self.request_id.as_ref().map_or(Ok(()), |id| write!(f, " (request id {id})"))
    }
}

/// Longest message of ARM that is passed on, in characters.
const LONGEST_MESSAGE: usize = 600;

impl ArmAnswer {
    /// Reads an answer. Never fails: what is no error envelope of ARM becomes a message without a code.
    pub fn read(answer: &WireAnswer) -> Self {
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        // Members without the envelope are somebody else's JSON: gateways write `code` and `message` too.
        let error = body.as_ref().and_then(|body| body.get("error"));
        let text = |key: &str| error.and_then(|error| error.get(key)).and_then(Value::as_str);
        let code = text("code").map(|code| plain(code, 80)).filter(|code| !code.is_empty());
        let message = text("message").filter(|_| code.is_some());
        let message = message.map_or_else(|| beginning(&answer.body), |message| plain(message, LONGEST_MESSAGE));
        Self {
            status: answer.status,
            code,
            message,
            retry_after: retry_after(answer),
            request_id: ["x-ms-correlation-request-id", "x-ms-request-id"]
                .iter()
                .find_map(|name| answer.headers.get(*name))
                .map(|id| plain(id, 64)),
        }
    }

    /// Whether ARM itself said that a file system, or its resource group, does not exist. `SubscriptionNotFound` and a
    /// proxy's 404 say nothing about the file system.
    pub fn is_absent(&self) -> bool {
        self.status == 404 && matches!(self.code.as_deref(), Some("ResourceNotFound" | "ResourceGroupNotFound"))
    }

    /// Whether ARM itself did not accept the token, so that it has not acted.
    pub fn is_token_refused(&self) -> bool {
        self.kind() == CloudErrorKind::Unauthenticated
    }

    fn kind(&self) -> CloudErrorKind {
        // The only text that may be matched: ARM gives quota the same code as a running operation.
        let quota = || self.message.contains("quota limits");
        match (self.status, self.code.is_some()) {
            (429, _) => CloudErrorKind::Throttled,
            (400, true) => CloudErrorKind::Invalid,
            (401, true) => CloudErrorKind::Unauthenticated,
            (403, true) => CloudErrorKind::Denied,
            (404, true) => CloudErrorKind::NotFound,
            (409, true) if quota() => CloudErrorKind::QuotaExceeded,
            (409, _) => CloudErrorKind::Busy,
            (200..=399, _) | (400..=499, false) if self.status != 408 => CloudErrorKind::Unreadable,
            _ => CloudErrorKind::Unavailable,
        }
    }
}

impl From<azure_core::Error> for ArmFailure {
    /// What travelled through the generated clients, or their own complaint about a body.
    fn from(error: azure_core::Error) -> Self {
        let error = match error.into_downcast::<Self>() {
            Ok(failure) => return failure,
            Err(error) => error,
        };
        match error.into_downcast::<TokenError>() {
            Ok(failure) => Self::Token(failure),
            Err(error) => Self::Unreadable(plain(&error.to_string(), LONGEST_MESSAGE)),
        }
    }
}

impl ArmFailure {
    /// What it means.
    pub fn kind(&self) -> CloudErrorKind {
        match self {
            Self::Answer(answer) => answer.kind(),
            Self::Wire(WireError::TooLong(_)) | Self::Unreadable(_) | Self::ForeignHost(..) => {
                CloudErrorKind::Unreadable
            }
            Self::BadName(_) => CloudErrorKind::Invalid,
            Self::Token(TokenError { kind: TokenErrorKind::Refused, .. }) => CloudErrorKind::Unauthenticated,
            Self::Token(_) | Self::Wire(_) => CloudErrorKind::Unavailable,
        }
    }

    /// How long to leave ARM alone.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Answer(answer) = self { answer.retry_after } else { None }
    }

    /// The same in the port's words. `action` is the permission that the call needs.
    pub fn told(self, call: &Call) -> CloudError {
        let hint = self.hint(call);
        let retry_after = self.retry_after();
        CloudError {
            hint,
            retry_after,
            ..CloudError::new(self.kind(), call.operation, call.resource.clone(), self.to_string())
        }
    }

    fn hint(&self, call: &Call) -> Option<String> {
        let answer = match self {
            Self::Answer(answer) => answer,
            Self::Wire(WireError::TooLong(_)) | Self::Unreadable(_) | Self::ForeignHost(..) => {
                return Some(NOT_ARM.to_owned());
            }
            Self::Token(failure) => return failure.hint.clone(),
            Self::BadName(_) => return None,
            Self::Wire(_) => {
                let check =
                    "check that this pod reaches the ARM endpoint on port 443 (name resolution, firewall, proxy)";
                return Some(check.to_owned());
            }
        };
        match answer.kind() {
            CloudErrorKind::Denied
                if answer.code.as_deref().is_some_and(|code| code.contains("DisallowedByPolicy")) =>
            {
                let cure = "an Azure Policy forbids it, not a missing permission: choose what the policy allows (location, \
                            tags, SKU), or ask for an exemption";
                Some(cure.to_owned())
            }
            CloudErrorKind::Denied => {
                let linked = "Microsoft.Network/virtualNetworks/subnets/join/action and, with identities, \
                              Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";
                let action =
                    if answer.code.as_deref() == Some("LinkedAuthorizationFailed") { linked } else { call.action };
                Some(format!("grant the driver's identity {action}; a new role assignment takes some minutes"))
            }
            CloudErrorKind::Unauthenticated => {
                Some("check tenant and cloud of the driver's credentials; ARM does not accept their token".to_owned())
            }
            CloudErrorKind::NotFound => not_found(answer.code.as_deref(), call),
            CloudErrorKind::Unreadable => Some(NOT_ARM.to_owned()),
            CloudErrorKind::Busy if answer.code.as_deref() == Some("MissingSubscriptionRegistration") => {
                Some("register the provider: az provider register --namespace Microsoft.StorageCache".to_owned())
            }
            CloudErrorKind::Busy if answer.code.as_deref() == Some("ScopeLocked") => {
                Some("remove the management lock that the message names (az lock list), or leave the volume".to_owned())
            }
            _ => None,
        }
    }
}

const NOT_ARM: &str = "the answer is not ARM's; look for a proxy or firewall between this pod and ARM, and check the \
                       cloud and resourceManagerEndpoint in the cloud settings";

fn not_found(code: Option<&str>, call: &Call) -> Option<String> {
    let hint = match code {
        Some("SubscriptionNotFound") => "check subscriptionId in the cloud settings, and that the identity may see it",
        Some("ResourceGroupNotFound") => "create the resource group, or name another one (resource-group-name)",
        _ => call.missing,
    };
    (!hint.is_empty()).then(|| hint.to_owned())
}

/// What is being asked, for messages.
#[derive(Debug, Clone)]
pub struct Call {
    /// Such as "create file system".
    pub operation: &'static str,
    /// What it is about.
    pub resource: String,
    /// The action that Azure's access control wants for it.
    pub action: &'static str,
    /// What to do if what it refers to is not there; may be empty.
    pub missing: &'static str,
}

/// `Retry-After` in milliseconds, seconds or as an HTTP date.
fn retry_after(answer: &WireAnswer) -> Option<Duration> {
    let header = |name: &str| answer.headers.get(name).map(|value| value.trim());
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"].iter().find_map(|name| header(name)?.parse().ok());
    let retry = || header("retry-after");
    millis
        .map(Duration::from_millis)
        .or_else(|| retry()?.parse().ok().map(Duration::from_secs))
        .or_else(|| until(retry()?, header("date")?))
}

/// The time between two HTTP dates; both are the server's, so its clock need not be ours.
fn until(date: &str, now: &str) -> Option<Duration> {
    let read = |text: &str| time::PrimitiveDateTime::parse(text, HTTP_DATE).ok();
    (read(date)? - read(now)?).try_into().ok()
}

const HTTP_DATE: &[time::format_description::BorrowedFormatItem<'_>] = time::macros::format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// The beginning of a body that nobody understands.
pub fn beginning(body: &[u8]) -> String {
    if body.is_empty() {
        return "an empty body".to_owned();
    }
    let start = body.get(..body.len().min(240)).unwrap_or_default();
    format!("not an answer of ARM, it begins with {}", quote(&String::from_utf8_lossy(start)))
}

/// Text from ARM on one line, at most `longest` characters.
fn plain(text: &str, longest: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(longest).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
