//! From a failed mount operation to the failure of an RPC: which kinds kubelet may take as final.
//!
//! kubelet forgets a volume after a final code of NodePublishVolume and calls NodeUnpublishVolume after the others, so a
//! kind that may leave something mounted, now or later, is never final.

use crate::ports::inbound::{Failure, FailureKind};
use crate::ports::mounter::{MountError, MountErrorKind};

/// A failed mount operation. What may still be going on is never final: kubelet then unpublishes before it forgets.
pub fn mount_failed(error: MountError) -> Failure {
    let kind = match error.kind {
        MountErrorKind::NotFound => FailureKind::NotFound,
        MountErrorKind::Denied => FailureKind::Denied,
        MountErrorKind::Invalid => FailureKind::Invalid,
        MountErrorKind::Unreachable | MountErrorKind::NotReady => FailureKind::Unavailable,
        MountErrorKind::Busy => FailureKind::Precondition,
        MountErrorKind::Stuck => FailureKind::TimedOut,
        MountErrorKind::Failed => FailureKind::Internal,
    };
    Failure { kind, message: error.to_string(), hint: error.hint, source: error.source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_that_may_go_on_is_never_final() {
        for kind in MountErrorKind::ALL {
            let failure = mount_failed(MountError::new(kind, "mount", "/x", "said no"));
            let may_go_on =
                matches!(kind, MountErrorKind::Stuck | MountErrorKind::Unreachable | MountErrorKind::NotReady);
            assert_eq!(failure.kind.is_final(), !may_go_on, "{kind:?}");
            assert_eq!(failure.message, "mount /x: said no");
        }
    }
}
