//! gRPC status codes of failures: the only place that makes a [`Status`].
//!
//! external-provisioner takes `CANCELLED`, `DEADLINE_EXCEEDED`, `UNAVAILABLE` and `ABORTED` as "may still
//! run" and every other code as "finished, nothing exists", after which a deleted claim is forgotten. A code on the wrong
//! side of that line leaks a file system that is billed for ever.

use tonic::{Code, Status};

use crate::ports::inbound::{Failure, FailureKind};

/// Most bytes of a message and its causes in the `grpc-message` header, where every character but letters, digits and a
/// few signs takes three: never less than 2,000 characters of ASCII. With the hint it stays below the 8 KiB of headers that
/// clients and proxies take by default.
const MESSAGE_LIMIT: usize = 6100;
/// Most bytes of a hint there.
const HINT_LIMIT: usize = 900;

/// The code that a failure of this kind becomes.
fn code(kind: FailureKind) -> Code {
    match kind {
        FailureKind::Invalid => Code::InvalidArgument,
        FailureKind::OutOfRange => Code::OutOfRange,
        FailureKind::Conflict => Code::AlreadyExists,
        FailureKind::NotFound => Code::NotFound,
        FailureKind::Precondition => Code::FailedPrecondition,
        FailureKind::Exhausted => Code::ResourceExhausted,
        FailureKind::Unauthenticated => Code::Unauthenticated,
        FailureKind::Denied => Code::PermissionDenied,
        FailureKind::Internal => Code::Internal,
        FailureKind::InProgress => Code::Aborted,
        FailureKind::Unavailable => Code::Unavailable,
        FailureKind::TimedOut => Code::DeadlineExceeded,
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut text = printable(&failure.chain(), MESSAGE_LIMIT);
        if let Some(hint) = &failure.hint {
            text.push_str("; hint: ");
            text.push_str(&printable(hint, HINT_LIMIT));
        }
        Self::new(code(failure.kind), text)
    }
}

/// The status of an RPC that this driver does not offer.
pub(super) fn not_offered(method: &str) -> Status {
    Status::unimplemented(format!("RPC {method} is not offered by azurelustre-csi"))
}

/// The status of an RPC whose handler panicked, without the panic's message, which may hold anything. A change may still be
/// in progress, so its code is never one that external-provisioner takes as finished.
pub(super) fn panicked(method: &str, changes: bool) -> Status {
    let code = if changes { Code::Unavailable } else { Code::Internal };
    Status::new(code, format!("{method} panicked; see the driver's log"))
}

/// The status of an RPC that arrives, or whose task is cancelled, while the process stops.
pub(super) fn stopping(method: &str) -> Status {
    Status::unavailable(format!("{method}: this process of the driver is ending; call again"))
}

/// The text on one line without control characters, cut in the middle to at most `limit` bytes of a header.
fn printable(text: &str, limit: usize) -> String {
    let shown: Vec<String> = text.chars().map(shown).collect();
    let size = |piece: &String| header_size(piece.as_bytes());
    if shown.iter().map(size).sum::<usize>() <= limit {
        return shown.concat();
    }
    // What happened stands in front, the innermost cause at the end.
    let fitting = |pieces: &mut dyn Iterator<Item = &String>| {
        let mut left = limit / 2;
        pieces.take_while(|piece| left.checked_sub(size(piece)).map(|rest| left = rest).is_some()).count()
    };
    let (front, back) = (fitting(&mut shown.iter()), fitting(&mut shown.iter().rev()));
    format!("{}…{}", shown[..front].concat(), shown[shown.len() - back..].concat())
}

/// A character as it may stand on a line of a log.
fn shown(character: char) -> String {
    match character {
        blank if blank.is_whitespace() => " ".to_owned(),
        plain if plain.is_ascii_graphic() => plain.to_string(),
        other => other.escape_debug().to_string(),
    }
}

/// Bytes that a text takes at most in a header, where all but letters and digits may be percent-encoded.
fn header_size(text: &[u8]) -> usize {
    text.iter().map(|byte| if byte.is_ascii_alphanumeric() { 1 } else { 3 }).sum()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn every_kind_has_its_code_on_the_right_side_of_the_line() {
        let may_still_run = [Code::Cancelled, Code::DeadlineExceeded, Code::Unavailable, Code::Aborted];
        for kind in FailureKind::ALL {
            let status = Status::from(Failure::new(kind, "what happened"));
            assert_eq!(status.message(), "what happened");
            assert_eq!(may_still_run.contains(&status.code()), !kind.is_final(), "{kind:?} became {:?}", status.code());
        }
    }

    #[test]
    fn no_two_kinds_share_a_code() {
        let codes: std::collections::BTreeSet<i32> =
            FailureKind::ALL.into_iter().map(|kind| code(kind).into()).collect();
        assert_eq!(codes.len(), FailureKind::ALL.len());
    }

    #[test]
    fn causes_are_reported_once_and_the_hint_comes_last() {
        #[derive(Debug, thiserror::Error)]
        #[error("GET amlFilesystems/v failed")]
        struct Get(#[source] io::Error);

        let failure = Failure::new(FailureKind::Unavailable, "cannot observe `v`")
            .caused_by(Get(io::Error::other("connection reset")))
            .with_hint("try again");
        let expected = "cannot observe `v`: GET amlFilesystems/v failed: connection reset; hint: try again";
        assert_eq!(Status::from(failure).message(), expected);

        let failure = Failure::new(FailureKind::Internal, "broken: connection reset")
            .caused_by(io::Error::other("connection reset"));
        assert_eq!(Status::from(failure).message(), "broken: connection reset");
    }

    #[test]
    fn control_characters_cannot_reach_a_log() {
        let failure = Failure::new(FailureKind::Invalid, "a\r\nb\u{7}\u{1b}[31m\u{202e}é`").with_hint("x\ty\0");
        assert_eq!(Status::from(failure).message(), "a  b\\u{7}\\u{1b}[31m\\u{202e}é`; hint: x y\\0");
    }

    #[test]
    fn two_thousand_characters_are_never_cut_and_more_lose_their_middle() {
        let json = r#"{"a": 1}"#.repeat(250);
        assert_eq!(Status::from(Failure::new(FailureKind::Invalid, json.clone())).message(), json);
        let long = format!("begin{}end", "{ }".repeat(5000));
        let status = Status::from(Failure::new(FailureKind::Invalid, long));
        assert!(status.message().starts_with("begin{") && status.message().ends_with("}end"), "{}", status.message());
    }

    #[test]
    fn a_status_fits_into_a_header_and_keeps_its_hint() {
        for filler in ["x", " ", "é", "\u{1}", "字"] {
            let failure = Failure::new(FailureKind::Invalid, filler.repeat(9000)).with_hint(filler.repeat(9000));
            let status = Status::from(failure);
            let (message, hint) = status.message().split_once("; hint: ").unwrap();
            assert!(message.contains('…') && hint.contains('…'));
            assert!(header_size(status.message().as_bytes()) < 7200, "{filler:?}");
            assert!(message.chars().count() > 300, "{filler:?}: {}", message.chars().count());
        }
    }
}
