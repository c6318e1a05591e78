//! The cloud that AMLFS file systems live in: Azure Resource Manager, or the simulator.
//!
//! The use-cases observe a resource, decide and act; so there is one way to observe and two ways to act, and the acts only
//! begin something. Waiting is observing again.

use std::time::Duration;

use async_trait::async_trait;

use super::Cause;
use crate::domain::capacity::Tib;
use crate::domain::filesystem::{FilesystemSpec, Observed};
use crate::domain::names::{FilesystemId, Location, SubnetId};
use crate::domain::sku::SkuCatalog;

/// What the use-cases need of a cloud.
#[async_trait]
pub trait Cloud: Send + Sync + std::fmt::Debug {
    /// Whether the settings suffice to reach the cloud. The error names the file and the missing fields. Sends no request.
    fn configured(&self) -> Result<(), CloudError> {
        Ok(())
    }

    /// Whether nothing behind this cloud is real. Volumes of such a cloud are marked in their context.
    fn is_simulated(&self) -> bool {
        false
    }

    /// Observes a file system (ARM: GET). [`Observed::Absent`] only by the cloud's own error code; any doubt is an error.
    async fn observe(&self, id: &FilesystemId) -> Result<Observed, CloudError>;

    /// Asks for a file system (ARM: PUT) and returns once that is accepted, not finished. Repeating it with the same spec
    /// makes no second one. What was sent runs to its end under the adapter's own limit (60 s) even if this future is
    /// dropped; a further call for the same file system meets it instead of sending another.
    ///
    /// An error whose kind [is a refusal](CloudErrorKind::is_refusal), and [`CloudErrorKind::Throttled`], promise that
    /// nothing was accepted; any other error leaves that open.
    async fn begin_create(&self, spec: &FilesystemSpec) -> Result<(), CloudError>;

    /// Asks for a deletion and returns once that is accepted. Absent is `Ok`. As with [`Cloud::begin_create`], what was
    /// sent runs to its end.
    async fn begin_delete(&self, id: &FilesystemId) -> Result<(), CloudError>;

    /// Lists what a region offers, all pages, AMLFS entries only.
    async fn skus(&self, location: &Location) -> Result<SkuCatalog, CloudError>;

    /// How many addresses a file system of this SKU and size needs, and how many the subnet has left. A subnet or network
    /// that does not exist is an error of kind [`CloudErrorKind::NotFound`].
    async fn subnet_capacity(&self, request: &SubnetCapacityRequest) -> Result<SubnetCapacity, CloudError>;
}

/// The file system that a subnet must have free addresses for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetCapacityRequest {
    /// Where its servers would get their addresses.
    pub subnet: SubnetId,
    /// Its SKU.
    pub sku_name: String,
    /// Its size.
    pub capacity: Tib,
}

/// Addresses in a subnet. Advisory: others take addresses at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubnetCapacity {
    /// Addresses that the file system needs.
    pub required: u64,
    /// Addresses that are free.
    pub available: u64,
}

/// What a failed cloud call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloudErrorKind {
    /// The request itself is wrong (HTTP 400).
    Invalid,
    /// No valid token (401).
    Unauthenticated,
    /// A permission is missing (403).
    Denied,
    /// Something that the request refers to does not exist (404).
    NotFound,
    /// Quota of the subscription is used up (409 with the quota text).
    QuotaExceeded,
    /// Another operation is in progress (409).
    Busy,
    /// Too many requests (429), or held back because of an earlier 429: nothing was accepted. Answered at once, with the
    /// time until the next request may be sent as [`CloudError::retry_after`].
    Throttled,
    /// The cloud or the way to it has a problem (408, 5xx, reset, time-out): the call may have had its effect.
    Unavailable,
    /// A response that cannot be read: the call may have had its effect.
    Unreadable,
}

impl CloudErrorKind {
    /// All kinds, for tables and tests.
    pub const ALL: [Self; 9] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Denied,
        Self::NotFound,
        Self::QuotaExceeded,
        Self::Busy,
        Self::Throttled,
        Self::Unavailable,
        Self::Unreadable,
    ];

    /// Whether a creation answered so was certainly refused: nothing was accepted.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::Invalid | Self::Unauthenticated | Self::Denied | Self::NotFound | Self::QuotaExceeded => true,
            Self::Busy | Self::Throttled | Self::Unavailable | Self::Unreadable => false,
        }
    }
}

/// A failed cloud call. Clones share the cause, so that one failed request fails every caller that waited for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} {resource}: {message}")]
pub struct CloudError {
    /// What it means.
    pub kind: CloudErrorKind,
    /// What was tried, such as "create file system".
    pub operation: &'static str,
    /// The resource that it was about.
    pub resource: String,
    /// The cloud's error message, its code included, without secrets.
    pub message: String,
    /// What to do about it, where the adapter knows: a permission, a quota, a setting.
    pub hint: Option<String>,
    /// The cloud's `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Whether the cloud's own error code names a cause that repeating the request does not cure, such as ARM's
    /// `ScopeLocked` or `ReadOnlyDisabledSubscription`. Says nothing about whether the request had its effect.
    pub lasting: bool,
    /// The cause below, such as a transport error.
    #[source]
    pub source: Option<Cause>,
}

impl CloudError {
    /// An error without hint, `Retry-After` or cause; set those fields where known.
    pub fn new(
        kind: CloudErrorKind,
        operation: &'static str,
        resource: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            operation,
            resource: resource.into(),
            message: message.into(),
            hint: None,
            retry_after: None,
            lasting: false,
            source: None,
        }
    }

    /// Adds the cause below.
    #[must_use]
    pub fn caused_by(self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { source: Some(cause.into()), ..self }
    }
}
