//! Answers of token issuers: a token, or what they say instead.
//!
//! Why so tolerant: Entra writes `expires_in` as a number, the instance metadata service everything as text, other
//! versions and the Azure CLI only `expires_on`. Of an answer that may hold a token nothing is ever quoted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::error::TokenError;
use super::secret::Secret;

/// Longer lifetimes count as this; the longest known is a day.
const LONGEST: u64 = 7 * 24 * 60 * 60;

/// A token as issued.
pub(super) struct Issued {
    /// The token.
    pub(super) token: Secret,
    /// How long it is good, counted from the request.
    pub(super) lifetime: Duration,
}

/// Reads a token. `from` names the issuer in errors.
pub(super) fn issued(body: &[u8], from: &str) -> Result<Issued, TokenError> {
    let unreadable = |what: &str| TokenError::unreadable(format!("{from} answered {what}"));
    let Ok(Value::Object(answer)) = serde_json::from_slice::<Value>(body) else {
        return Err(unreadable("with something else than a JSON object"));
    };
    let token = answer.get("access_token").or_else(|| answer.get("accessToken")).and_then(Value::as_str);
    let token = token.ok_or_else(|| unreadable("without a token"))?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unreadable("with a token that no HTTP header could carry"));
    }
    // The time that is left needs no clock of ours, so it is preferred.
    let left = answer.get("expires_in").and_then(seconds);
    let until = || answer.get("expires_on").and_then(seconds).map(|until| until.saturating_sub(unix_time()));
    let lifetime = left.or_else(until).ok_or_else(|| unreadable("without saying when its token expires"))?;
    if lifetime == 0 {
        return Err(unreadable("with a token that has expired").with_hint("check that the clocks are right"));
    }
    Ok(Issued { token: Secret::new(token), lifetime: Duration::from_secs(lifetime.min(LONGEST)) })
}

/// Whole seconds, as a number or as text; below zero is zero.
fn seconds(value: &Value) -> Option<u64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok()?,
        value => value.as_f64()?,
    };
    // Saturating: what is below zero, and no number at all, becomes 0.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some(number as u64)
}

/// Seconds since 1970 by the machine's clock.
pub(super) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(fields: &str) -> Result<u64, String> {
        let body = format!(r#"{{"access_token":"geheim"{fields}}}"#);
        issued(body.as_bytes(), "issuer").map(|issued| issued.lifetime.as_secs()).map_err(|error| error.message)
    }

    #[test]
    fn lifetimes_are_numbers_or_text_and_relative_ones_win() {
        for fields in [r#","expires_in":3599"#, r#","expires_in":"3599""#, r#","expires_in":3599.7,"expires_on":"1""#] {
            assert_eq!(lifetime(fields), Ok(3599), "{fields}");
        }
        let until = unix_time() + 1000;
        for fields in [format!(r#","expires_on":{until}"#), format!(r#","expires_on":"{until}","expires_in":"soon""#)] {
            assert!((990..=1000).contains(&lifetime(&fields).unwrap()), "{fields}");
        }
        assert_eq!(lifetime(r#","expires_in":1e300"#), Ok(LONGEST));
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        for (fields, told) in [
            ("", "without saying when"),
            (r#","expires_in":"soon","expires_on":null"#, "without saying when"),
            (r#","expires_in":0"#, "has expired"),
            (r#","expires_in":-5"#, "has expired"),
            (r#","expires_on":"1500000000""#, "has expired"),
            (r#","expires_in":"NaN""#, "has expired"),
        ] {
            let error = lifetime(fields).unwrap_err();
            assert!(error.contains(told) && !error.contains("geheim"), "{fields}: {error}");
        }
        for body in [
            "",
            "geheim",
            "[\"geheim\"]",
            r#"{"access_token":7}"#,
            r#"{"access_token":"","expires_in":9}"#,
            "{\"access_token\":\"a\\nb\",\"expires_in\":9}",
            "{\"access_token\":\"geheim\"",
            "\u{0}",
        ] {
            let error = issued(body.as_bytes(), "issuer").err().unwrap();
            assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        }
    }
}
