//! Kubernetes quantities of bytes: `48Ti`, `4.5Ti`, `500G`. In a cluster external-provisioner translates them.
//!
//! Parsed here, since the crates that do it bring a decimal type or all of the API's types for these lines.

/// Bytes of a Kubernetes quantity, rounded up; `None` if it is none or does not fit CSI's 64 bits.
pub(super) fn bytes(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() + fraction.len() > 18 {
        return None;
    }
    let scaled: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let total = scaled.checked_mul(unit(suffix)?)?.div_ceil(divisor);
    i64::try_from(total).ok()
}

fn unit(suffix: &str) -> Option<u128> {
    let power = |letters: &str| letters.find(&suffix[..1]).and_then(|index| u32::try_from(index + 1).ok());
    match suffix.len() {
        0 => Some(1),
        1 => power("kMGTPE").map(|power| 1000_u128.pow(power)),
        2 if suffix.ends_with('i') && suffix.is_ascii() => power("KMGTPE").map(|power| 1024_u128.pow(power)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_does() {
        for (text, expected) in [
            ("48Ti", 48 << 40),
            ("8.0Ti", 8 << 40),
            ("4.5Ti", 9 << 39),
            ("500G", 500_000_000_000),
            ("1", 1),
            ("1.5", 2),
            ("1k", 1000),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for bad in ["", "Ti", "1.2.3Ti", "48TiB", "-1", "1e3", "9Ei", "x", "1K", ".", "1ßi", "1é"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
