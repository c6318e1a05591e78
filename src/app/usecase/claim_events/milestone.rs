//! What a claim's owner reads while its file system is created. Answers of RPCs are not repeated here: external-provisioner
//! posts those itself.

use std::time::Duration;

use crate::app::usecase::time_format::format_duration;
use crate::domain::filesystem::FilesystemSpec;
use crate::ports::orchestrator::EventKind;

/// A point in the life of a creation that its claim's owner should know of.
#[derive(Debug, Clone, Copy)]
pub enum Milestone<'a> {
    /// The creation was sent to the cloud.
    Requested(&'a FilesystemSpec),
    /// The file system exists and is not ready.
    Creating {
        /// Name of the file system.
        name: &'a str,
        /// What the cloud says, such as `Creating`.
        state: &'a str,
        /// Time since it was requested, as far as this process knows.
        so_far: Duration,
    },
    /// The file system became ready.
    Ready {
        /// Name of the file system.
        name: &'a str,
        /// Time since it was requested, as far as this process knows.
        so_far: Duration,
    },
    /// A creation failed in the cloud; what is left of it is deleted, and the file system is created anew.
    CreationFailed {
        /// Name of the file system.
        name: &'a str,
        /// How many creations failed by now, this one included.
        failures: u32,
        /// The cloud's reason.
        reason: Option<&'a str>,
    },
}

impl Milestone<'_> {
    /// Whether it is the normal course of things.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Requested(_) | Self::Creating { .. } | Self::Ready { .. } => EventKind::Normal,
            Self::CreationFailed { .. } => EventKind::Warning,
        }
    }

    /// The event's reason, shown in a column of its own by `kubectl describe`. Alerts may match on it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Requested(_) => "FilesystemRequested",
            Self::Creating { .. } => "FilesystemCreating",
            Self::Ready { .. } => "FilesystemReady",
            Self::CreationFailed { .. } => "FilesystemCreationFailed",
        }
    }

    /// The event's text.
    pub fn message(&self) -> String {
        match self {
            Self::Requested(spec) => {
                let (name, sku, size) = (&spec.id.name, &spec.sku_name, spec.capacity);
                let group = &spec.id.resource_group;
                format!(
                    "AMLFS {name} ({sku}, {size}) was requested in resource group {group}, usually ready in 10 to 20 minutes"
                )
            }
            Self::Creating { name, state, so_far } => {
                let so_far = format_duration(*so_far);
                format!("AMLFS {name} is {state}, {so_far} so far, usually ready in 10 to 20 minutes")
            }
            Self::Ready { name, so_far } => format!("AMLFS {name} is ready after {}", format_duration(*so_far)),
            Self::CreationFailed { name, failures, reason } => {
                let reason = reason.unwrap_or("the cloud gives no reason");
                format!("creation {failures} of AMLFS {name} failed: {reason}; it is deleted and created anew")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_the_file_system_and_what_to_expect() {
        let so_far = Duration::from_secs(390);
        let creating = Milestone::Creating { name: "pvc-1", state: "Creating", so_far };
        assert_eq!(creating.message(), "AMLFS pvc-1 is Creating, 6m30s so far, usually ready in 10 to 20 minutes");
        assert_eq!(Milestone::Ready { name: "pvc-1", so_far }.message(), "AMLFS pvc-1 is ready after 6m30s");
        let failed = Milestone::CreationFailed { name: "pvc-1", failures: 2, reason: Some("QuotaExceeded: no cores") };
        assert_eq!(
            failed.message(),
            "creation 2 of AMLFS pvc-1 failed: QuotaExceeded: no cores; it is deleted and created anew"
        );
        assert_eq!((creating.kind(), failed.kind()), (EventKind::Normal, EventKind::Warning));
    }
}
