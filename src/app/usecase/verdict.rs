//! What an error means for the call: the rules that keep file systems from leaking.
//!
//! Why it exists: external-provisioner forgets a claim after a *final* failure if the claim is deleted then. A final
//! failure is therefore only allowed where nothing can exist: before any look, after a look that found nothing and before
//! the creation was sent, or when the creation was refused. One function for each of these moments; no other code chooses
//! a [`FailureKind`] for an error of the cloud.

use crate::domain::error::Violations;
use crate::domain::provisioning::RequestError;
use crate::ports::cloud::{CloudError, CloudErrorKind};
use crate::ports::inbound::{Failure, FailureKind};

/// A request that local rules refuse: final, nothing was asked of the cloud.
pub fn refused_locally(error: &RequestError) -> Failure {
    let kind = match error {
        RequestError::Invalid(_) => FailureKind::Invalid,
        RequestError::Capacity(_) => FailureKind::OutOfRange,
    };
    Failure::new(kind, error.to_string())
}

/// Broken rules of a request that is never about the cloud.
pub fn invalid(violations: &Violations) -> Failure {
    Failure::new(FailureKind::Invalid, violations.to_string())
}

/// A look that failed, or any failure while something may exist: never final, whatever the cause.
pub fn in_doubt(error: CloudError) -> Failure {
    from_cloud(FailureKind::Unavailable, error)
}

/// A failure after this call saw that nothing exists and before it sent a creation, or the refusal of that creation.
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

/// What still runs when the time ends, and the trouble that it had last, which may be what it waits for.
pub fn in_progress(message: String, trouble: Option<&CloudError>) -> Failure {
    let Some(error) = trouble else { return Failure::new(FailureKind::InProgress, message) };
    let failure = Failure::new(FailureKind::InProgress, format!("{message}; the last answer was: {error}"));
    error.hint.iter().fold(failure, |failure, hint| failure.with_hint(hint.clone()))
}

/// Whether looking again soon may help, so that a running wait need not end.
pub fn is_passing(kind: CloudErrorKind) -> bool {
    matches!(
        kind,
        CloudErrorKind::Busy | CloudErrorKind::Throttled | CloudErrorKind::Unavailable | CloudErrorKind::Unreadable
    )
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
        CloudError::new(kind, "observe", "pvc-1", "said no")
    }

    #[test]
    fn a_failed_look_is_never_final() {
        for kind in CloudErrorKind::ALL {
            assert!(!in_doubt(error(kind)).kind.is_final(), "{kind:?}");
        }
    }

    #[test]
    fn only_refusals_are_final_when_nothing_exists() {
        for kind in CloudErrorKind::ALL {
            assert_eq!(nothing_exists(error(kind)).kind.is_final(), kind.is_refusal(), "{kind:?}");
            assert_ne!(is_passing(kind), kind.is_refusal(), "{kind:?}");
        }
    }
}
