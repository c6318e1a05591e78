//! Finality of failures: what an error of a port means for the RPC, and which failures may be final.
//!
//! external-provisioner forgets a claim after a *final* failure if the claim is deleted then, so a final failure is only
//! allowed where nothing can exist; for how long nothing was found decides `domain::history`. kubelet forgets a volume after
//! a final code of NodePublishVolume and calls NodeUnpublishVolume after the others, so a failure that may leave something
//! mounted, now or later, is never final there. No other code chooses a [`FailureKind`] for an error of a port.

use std::time::Duration;

use super::time_format::format_duration;
use crate::domain::names::FilesystemId;
use crate::domain::problem::Problems;
use crate::domain::provisioning::RequestError;
use crate::ports::cloud::{CloudError, CloudErrorKind};
use crate::ports::inbound::{Failure, FailureKind};
use crate::ports::mounter::{MountError, MountErrorKind};

/// A request that local rules refuse: final, nothing was asked of the cloud.
pub fn refused_locally(error: &RequestError) -> Failure {
    let kind = match error {
        RequestError::Invalid(_) => FailureKind::Invalid,
        RequestError::Capacity(_) => FailureKind::OutOfRange,
    };
    Failure::new(kind, error.to_string())
}

/// A request with these problems that is never about the cloud.
pub fn invalid(problems: impl Into<Problems>) -> Failure {
    Failure::new(FailureKind::Invalid, problems.into().to_string())
}

/// A failed observation, or any failure while something may exist: never final for any cause.
pub fn may_exist(error: CloudError) -> Failure {
    from_cloud(FailureKind::Unavailable, error)
}

/// What a failure means once it is certain that nothing exists; whether it is certain decides `domain::history`.
pub fn nothing_exists(error: CloudError) -> Failure {
    let kind = match error.kind {
        CloudErrorKind::Invalid => FailureKind::Invalid,
        CloudErrorKind::Unauthenticated => FailureKind::Unauthenticated,
        CloudErrorKind::Denied => FailureKind::Denied,
        CloudErrorKind::NotFound => FailureKind::Precondition,
        CloudErrorKind::QuotaExceeded => FailureKind::Exhausted,
        CloudErrorKind::Busy | CloudErrorKind::Throttled | CloudErrorKind::Unavailable | CloudErrorKind::Unreadable => {
            FailureKind::Unavailable
        }
    };
    from_cloud(kind, error)
}

/// A deletion that was not accepted. Kubernetes repeats every failed deletion, so the kind only informs.
pub fn not_deleted(error: CloudError) -> Failure {
    let kind = match error.kind {
        CloudErrorKind::Unauthenticated => FailureKind::Unauthenticated,
        CloudErrorKind::Denied => FailureKind::Denied,
        _ => FailureKind::Unavailable,
    };
    from_cloud(kind, error)
}

/// The cloud cannot be asked for a deletion, since the settings do not say how it is reached.
pub fn not_configured(error: CloudError) -> Failure {
    from_cloud(FailureKind::Precondition, error)
}

/// Requests are held back by the cloud: what for, until when, and that `subject` waits. `requests` is "reads" or "writes",
/// which ARM counts apart.
pub fn throttled(error: CloudError, requests: &str, next_try: &str, subject: &str) -> Failure {
    let message = format!("ARM throttles {requests}, next try at {next_try}; {subject} ({error})");
    Failure { message, ..from_cloud(FailureKind::Unavailable, error) }
}

/// What is still in progress when the caller's time ends, and the error and hint that it had last, which may be what it
/// waits for.
pub fn in_progress(message: String, last_error: Option<&CloudError>) -> Failure {
    match last_error {
        None => Failure::new(FailureKind::InProgress, message),
        Some(error) => {
            let message = format!("{message}; the last answer was: {error}");
            Failure { hint: error.hint.clone(), ..Failure::new(FailureKind::InProgress, message) }
        }
    }
}

/// A file system that exists, was never ready, and that the call cannot use: it is billed until a person acts.
pub fn exists_and_is_billed(message: &str, id: &FilesystemId) -> Failure {
    let FilesystemId { resource_group, name } = id;
    let message = format!("{message}; AMLFS {name} exists and is billed");
    Failure::new(FailureKind::InProgress, message).with_hint(format!(
        "correct the StorageClass, or delete it with: az amlfs delete --resource-group {resource_group} --name {name}"
    ))
}

/// A refused request for a file system that was seen or asked for, whose deletion was not seen, and that every observation
/// for so long has not found: most likely a person deleted it. It may come back, so the refusal is not final, but nothing
/// says that it exists. The next correct request makes it anew.
pub fn seen_and_absent(refusal: &Failure, id: &FilesystemId, absent_for: Duration) -> Failure {
    let FilesystemId { resource_group, name } = id;
    let absent_for = format_duration(absent_for);
    let message = format!(
        "{}; AMLFS {name}, which was made for this volume, is absent for {absent_for} in resource group {resource_group}",
        refusal.message
    );
    Failure::new(FailureKind::Unavailable, message)
        .with_hint("correct the request (StorageClass, claim); the file system is then made anew")
}

/// The same where the request asks for another resource group or region than that of the absent file system: two could come
/// to exist, so a new one is only begun where it was begun before, or by a process that has not seen it.
pub fn begun_elsewhere_and_absent(message: &str, absent_for: Duration) -> Failure {
    let message = format!("{message}; the first is absent for {} and may reappear", format_duration(absent_for));
    Failure::new(FailureKind::InProgress, message).with_hint(
        "if it was deleted by hand, restart the controller (kubectl rollout restart deployment \
         csi-azurelustre-controller) or make a new claim; else ask for the first resource group and region again",
    )
}

/// A failed mount: never final while something may be mounted at the target.
pub fn publish_failed(error: MountError) -> Failure {
    let may_be_mounted = error.kind.may_be_mounted();
    let failure = mount_failed(error);
    let kind = if may_be_mounted && failure.kind.is_final() { FailureKind::Unavailable } else { failure.kind };
    Failure { kind, ..failure }
}

/// A failed operation of a mounter. What still runs is never final.
pub fn mount_failed(error: MountError) -> Failure {
    let kind = match error.kind {
        MountErrorKind::NotFound => FailureKind::NotFound,
        MountErrorKind::Denied => FailureKind::Denied,
        MountErrorKind::Invalid => FailureKind::Invalid,
        MountErrorKind::Unreachable | MountErrorKind::NotReady | MountErrorKind::Unknown => FailureKind::Unavailable,
        MountErrorKind::Busy => FailureKind::Precondition,
        MountErrorKind::Stuck => FailureKind::TimedOut,
        MountErrorKind::Failed => FailureKind::Internal,
    };
    Failure { kind, message: error.to_string(), hint: error.hint, source: error.source }
}

fn from_cloud(kind: FailureKind, error: CloudError) -> Failure {
    let message = error.to_string();
    let hint = error.hint.or_else(|| default_hint(error.kind).map(str::to_owned));
    Failure { kind, message, hint, source: error.source }
}

fn default_hint(kind: CloudErrorKind) -> Option<&'static str> {
    match kind {
        CloudErrorKind::Unauthenticated => Some("check the driver's credentials (cloud settings, workload identity)"),
        CloudErrorKind::Denied => Some("grant the driver's identity the missing permission"),
        CloudErrorKind::QuotaExceeded => {
            Some("delete unused file systems or ask for more quota of AMLFS in this region")
        }
        CloudErrorKind::Throttled => Some("nothing to do; the call is repeated"),
        CloudErrorKind::Invalid
        | CloudErrorKind::NotFound
        | CloudErrorKind::Busy
        | CloudErrorKind::Unavailable
        | CloudErrorKind::Unreadable => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: CloudErrorKind) -> CloudError {
        CloudError::new(kind, "observe", "pvc-1", "refused")
    }

    #[test]
    fn a_failed_observation_is_never_final() {
        for kind in CloudErrorKind::ALL {
            assert!(!may_exist(error(kind)).kind.is_final(), "{kind:?}");
        }
    }

    #[test]
    fn only_refusals_are_final_when_nothing_exists() {
        for kind in CloudErrorKind::ALL {
            assert_eq!(nothing_exists(error(kind)).kind.is_final(), kind.is_refusal(), "{kind:?}");
        }
    }

    fn mount_error(kind: MountErrorKind) -> MountError {
        MountError::new(kind, "mount", "/x", "refused")
    }

    #[test]
    fn what_still_runs_or_is_not_known_is_never_final() {
        use MountErrorKind::{NotReady, Stuck, Unknown, Unreachable};
        for kind in MountErrorKind::ALL {
            let failure = mount_failed(mount_error(kind));
            let repeated = matches!(kind, Stuck | Unknown | Unreachable | NotReady);
            assert_eq!(failure.kind.is_final(), !repeated, "{kind:?}");
            assert_eq!(failure.message, "mount /x: refused");
        }
    }

    #[test]
    fn a_publish_is_never_final_while_something_may_be_mounted() {
        for kind in MountErrorKind::ALL {
            assert!(!(kind.may_be_mounted() && publish_failed(mount_error(kind)).kind.is_final()), "{kind:?}");
        }
        assert_eq!(publish_failed(mount_error(MountErrorKind::NotFound)).kind, FailureKind::NotFound);
    }
}
