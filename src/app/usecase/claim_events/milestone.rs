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

/// What the event of a milestone holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MilestoneEvent {
    /// Warning where a creation failed.
    pub kind: EventKind,
    /// Shown in a column of its own by `kubectl describe`. Alerts may match on it.
    pub reason: &'static str,
    /// The event's text.
    pub message: String,
}

impl Milestone<'_> {
    /// Kind, reason and text of the event.
    pub fn event(&self) -> MilestoneEvent {
        let (kind, reason, message) = match self {
            Self::Requested(FilesystemSpec { id, sku_name, capacity, .. }) => {
                let message = format!(
                    "AMLFS {} ({sku_name}, {capacity}) was requested in resource group {}, usually ready in 10 to 20 minutes",
                    id.name, id.resource_group
                );
                (EventKind::Normal, "FilesystemRequested", message)
            }
            Self::Creating { name, state, so_far } => {
                let so_far = format_duration(*so_far);
                let message = format!("AMLFS {name} is {state}, {so_far} so far, usually ready in 10 to 20 minutes");
                (EventKind::Normal, "FilesystemCreating", message)
            }
            Self::Ready { name, so_far } => {
                let message = format!("AMLFS {name} is ready after {}", format_duration(*so_far));
                (EventKind::Normal, "FilesystemReady", message)
            }
            Self::CreationFailed { name, failures, reason } => {
                let reason = reason.unwrap_or("the cloud gives no reason");
                let message =
                    format!("creation {failures} of AMLFS {name} failed: {reason}; it is deleted and created anew");
                (EventKind::Warning, "FilesystemCreationFailed", message)
            }
        };
        MilestoneEvent { kind, reason, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_the_file_system_and_what_to_expect() {
        let so_far = Duration::from_secs(390);
        let creating = Milestone::Creating { name: "pvc-1", state: "Creating", so_far };
        assert_eq!(
            creating.event().message,
            "AMLFS pvc-1 is Creating, 6m30s so far, usually ready in 10 to 20 minutes"
        );
        assert_eq!(Milestone::Ready { name: "pvc-1", so_far }.event().message, "AMLFS pvc-1 is ready after 6m30s");
        let failed = Milestone::CreationFailed { name: "pvc-1", failures: 2, reason: Some("QuotaExceeded: no cores") };
        assert_eq!(
            failed.event().message,
            "creation 2 of AMLFS pvc-1 failed: QuotaExceeded: no cores; it is deleted and created anew"
        );
        assert_eq!((creating.event().kind, failed.event().kind), (EventKind::Normal, EventKind::Warning));
    }
}
