//! Port to the cluster around the driver: startup taints of its node, events on claims.
//!
//! Both are best effort: no volume fails, and no call waits, because the cluster's API server does not answer.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;

use super::Cause;

/// Longest text of an event in bytes (`note` in the Kubernetes API, events.k8s.io/v1: "at most 1kB").
pub const NOTE_MAX: usize = 1024;
/// What stands in the place of the part that was cut out of a long note.
const CUT: &str = " … ";
/// Bytes of a long note's end that are kept, since the cure stands there.
const NOTE_END: usize = 400;

/// What the use-cases need of an orchestrator.
#[async_trait]
pub trait Orchestrator: Send + Sync + std::fmt::Debug {
    /// Removes the startup taints of this process's node, which keep pods away until the driver is ready. Other taints are
    /// untouched. `Ok` means that the node has none: they are removed, or there were none.
    ///
    /// Before the driver is registered on the node, pods would not find it: then nothing is removed, and the error is
    /// [`OrchestratorErrorKind::NotRegistered`].
    async fn remove_startup_taint(&self) -> Result<(), OrchestratorError>;

    /// Writes an event on a claim. A repeated event of the same volume, kind and reason updates the first one: a greater
    /// count, the newer text, the newer time. The text is [`ClaimEvent::note`].
    async fn report(&self, event: &ClaimEvent) -> Result<(), OrchestratorError>;
}

/// Whether an event is the normal course of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// Nothing is wrong.
    Normal,
    /// Somebody may have to act.
    Warning,
}

/// Something that a claim's owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimEvent {
    /// Normal or Warning.
    pub kind: EventKind,
    /// The CSI volume name, as external-provisioner makes it: `pvc-` and the claim's UID.
    pub volume_name: String,
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim.
    pub claim: String,
    /// One word in camel case, such as `FilesystemCreationFailed`; at most 128 characters.
    pub reason: &'static str,
    /// What happened, then what to do; see [`ClaimEvent::note`] for its length.
    pub message: String,
    /// How long ago it happened.
    pub age: Duration,
}

impl ClaimEvent {
    /// The message as it is written: at most [`NOTE_MAX`] bytes. A longer one loses its middle, because what happened stands
    /// at its beginning and what to do about it at its end.
    pub fn note(&self) -> Cow<'_, str> {
        let text = self.message.as_str();
        if text.len() <= NOTE_MAX {
            return Cow::Borrowed(text);
        }
        let head = text.floor_char_boundary(NOTE_MAX - NOTE_END - CUT.len());
        let tail = text.ceil_char_boundary(text.len() - NOTE_END);
        Cow::Owned([&text[..head], CUT, &text[tail..]].concat())
    }
}

/// What a failed call to the orchestrator means for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrchestratorErrorKind {
    /// The driver is not registered on the node yet: normal during the start. Try again.
    NotRegistered,
    /// No answer, or one that says "later". Try again, not too soon.
    Unavailable,
    /// Refused for lack of a permission or by an admission policy: an operator has to act.
    Denied,
    /// Refused for another reason: the object is absent, or the request is not valid. The same request fails again.
    Refused,
}

/// A failed call to the orchestrator.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct OrchestratorError {
    /// What the caller may do about it.
    pub kind: OrchestratorErrorKind,
    /// What was tried, and on which object.
    pub operation: String,
    /// What happened; what to do about it at the end, where anything can be done.
    pub message: String,
    /// The cause below.
    #[source]
    pub source: Option<Cause>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(message: &str) -> String {
        let event = ClaimEvent {
            kind: EventKind::Normal,
            volume_name: String::new(),
            namespace: String::new(),
            claim: String::new(),
            reason: "Reason",
            message: message.to_owned(),
            age: Duration::ZERO,
        };
        event.note().into_owned()
    }

    #[test]
    fn a_note_of_the_greatest_length_is_written_as_it_is() {
        let message = "x".repeat(NOTE_MAX);
        assert_eq!(note(&message), message);
    }

    #[test]
    fn a_long_note_keeps_its_beginning_and_its_end() {
        for filler in ["x", "é", "字", "🦀"] {
            for length in [NOTE_MAX, NOTE_MAX + 1, 3 * NOTE_MAX] {
                let cut = note(&format!("creation failed: QuotaExceeded {}; ask for quota", filler.repeat(length)));
                assert!(cut.len() <= NOTE_MAX && cut.len() > NOTE_MAX - 12, "{filler} {length}: {} bytes", cut.len());
                assert!(cut.starts_with("creation failed: QuotaExceeded") && cut.ends_with("; ask for quota"), "{cut}");
                assert_eq!(cut.matches(CUT).count(), 1);
            }
        }
    }
}
