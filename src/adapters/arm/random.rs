//! Numbers that nobody can foresee, where nothing secret depends on them: request ids and jitter.
//!
//! Why the standard library's hasher: it is seeded by the system for every map, which is all that is needed here.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A UUID of version 4, for `x-ms-client-request-id`.
pub(super) fn uuid() -> String {
    let (high, low) = (number(), number());
    let digits = format!("{high:016x}{low:016x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let variant = 8 + (low >> 62);
    format!("{}-{}-4{}-{variant:x}{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// Between half of `pause` and one and a half times it.
pub(super) fn jittered(pause: Duration) -> Duration {
    let thousandths = u32::try_from(number() % 1000).unwrap_or(0);
    pause / 2 + pause.saturating_mul(thousandths) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_of_a_uuid_and_differ() {
        let (one, other) = (uuid(), uuid());
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{one}");
        assert!(one.chars().all(|c| c.is_ascii_hexdigit() || c == '-'), "{one}");
        assert_eq!(one.chars().nth(14), Some('4'));
        assert!(one.chars().nth(19).is_some_and(|c| "89ab".contains(c)), "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn jitter_stays_near_the_pause() {
        let pauses: Vec<Duration> = (0..200).map(|_| jittered(Duration::from_secs(2))).collect();
        assert!(pauses.iter().all(|pause| (1000..3000).contains(&pause.as_millis())), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
