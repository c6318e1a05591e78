//! From a failed mount operation to the failure of an RPC: which kinds kubelet may take as final.
//!
//! kubelet forgets a volume after a final code of NodePublishVolume and calls NodeUnpublishVolume after the others, so a
//! kind that may leave something mounted, now or later, is never final there.

use crate::ports::inbound::{Failure, FailureKind};
use crate::ports::mounter::{MountError, MountErrorKind};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: MountErrorKind) -> MountError {
        MountError::new(kind, "mount", "/x", "said no")
    }

    #[test]
    fn what_still_runs_or_is_not_known_is_never_final() {
        use MountErrorKind::{NotReady, Stuck, Unknown, Unreachable};
        for kind in MountErrorKind::ALL {
            let failure = mount_failed(error(kind));
            let repeated = matches!(kind, Stuck | Unknown | Unreachable | NotReady);
            assert_eq!(failure.kind.is_final(), !repeated, "{kind:?}");
            assert_eq!(failure.message, "mount /x: said no");
        }
    }

    #[test]
    fn a_publish_is_never_final_while_something_may_be_mounted() {
        for kind in MountErrorKind::ALL {
            assert!(!(kind.may_be_mounted() && publish_failed(error(kind)).kind.is_final()), "{kind:?}");
        }
        assert_eq!(publish_failed(error(MountErrorKind::NotFound)).kind, FailureKind::NotFound);
    }
}
