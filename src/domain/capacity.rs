//! Sizes: what a claim asks for in bytes, what AMLFS sells in steps of whole TiB.
//!
//! Rounding decides what is paid for. The size made is never below the request, always a multiple of the
//! SKU's increment, and never above the SKU's maximum or the claim's limit. Integers only: no float can lose a byte.
//!
//! Source: CSI specification, `CapacityRange`; the sizes that a SKU has are in [`sku`](super::sku).

use std::fmt;

use super::text::quote;

const BYTES_PER_TIB: u64 = 1 << 40;

/// What is provisioned when a claim asks for no size, before rounding (as the Go driver does).
pub const DEFAULT_SIZE: Tib = Tib(4);

/// Step in which the size of a volume on an existing file system is reported (as the Go driver does).
pub const STATIC_INCREMENT: Tib = Tib(4);

/// Whole tebibytes (2^40 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tib(pub u32);

impl Tib {
    /// The size in bytes; what 64 bits cannot hold counts as the most that they can.
    pub fn bytes(self) -> Bytes {
        Bytes(u64::from(self.0).saturating_mul(BYTES_PER_TIB))
    }
}

impl fmt::Display for Tib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} TiB", self.0)
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(BYTES_PER_TIB) {
            write!(f, "{} TiB", self.0 / BYTES_PER_TIB)
        } else {
            write!(f, "{} bytes", self.0)
        }
    }
}

/// Why a size cannot be had. CSI answers all of these with `OUT_OF_RANGE`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapacityError {
    /// A negative number of bytes was asked for.
    #[error("capacity range: {field} is {value}; a size cannot be negative")]
    Negative {
        /// `required_bytes` or `limit_bytes`.
        field: &'static str,
        /// What was given.
        value: i64,
    },
    /// The limit lies below the request.
    #[error("capacity range: the limit of {limit} is below the {required} required")]
    Inverted {
        /// Lower bound asked for.
        required: Bytes,
        /// Upper bound asked for.
        limit: Bytes,
    },
    /// The smallest size that can be made exceeds the limit.
    #[error(
        "capacity range: {rounded} is the smallest size that holds the request in steps of {increment}, above the limit of {limit}"
    )]
    AboveLimit {
        /// The request, rounded up.
        rounded: Bytes,
        /// Step of the SKU.
        increment: Tib,
        /// Upper bound asked for.
        limit: Bytes,
    },
    /// The request exceeds what the SKU offers.
    #[error("capacity range: {required} is above the maximum of {maximum} that {offered_by} offers")]
    AboveMaximum {
        /// What was asked for.
        required: Bytes,
        /// Most that can be had in whole steps.
        maximum: Tib,
        /// The SKU, or what else sets the maximum.
        offered_by: String,
    },
}

/// The sizes that a request asks for, unchecked (CSI `CapacityRange`): bytes, 0 for not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestedCapacity {
    /// The volume must be at least this big.
    pub required_bytes: i64,
    /// The volume must not be bigger than this.
    pub limit_bytes: i64,
}

impl RequestedCapacity {
    /// A request without a limit.
    pub fn at_least(required_bytes: i64) -> Self {
        Self { required_bytes, limit_bytes: 0 }
    }
}

/// The sizes that a claim accepts, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapacityRange {
    required: Option<Bytes>,
    limit: Option<Bytes>,
}

impl CapacityRange {
    /// Checks what a request asks for.
    pub fn parse(requested: RequestedCapacity) -> Result<Self, CapacityError> {
        let required = non_negative("required_bytes", requested.required_bytes)?;
        let limit = non_negative("limit_bytes", requested.limit_bytes)?;
        match (required, limit) {
            (Some(required), Some(limit)) if limit < required => Err(CapacityError::Inverted { required, limit }),
            _ => Ok(Self { required, limit }),
        }
    }

    /// The size to make: the request rounded up to `increment`, within the limit and `maximum`. Where no size was asked
    /// for, the default gives way to a lower limit or maximum. `offered_by` names who sets the maximum, for the message.
    pub fn round(&self, increment: Tib, maximum: Tib, offered_by: &str) -> Result<Tib, CapacityError> {
        let step = increment.0.max(1);
        let most = Tib(maximum.0 / step * step);
        let required = self.required.unwrap_or(DEFAULT_SIZE.bytes());

        let step = u64::from(step);
        let limit = self.limit.map_or(u64::MAX, |limit| limit.0 / BYTES_PER_TIB / step * step);
        let at_most = limit.min(most.0.into());
        let smallest = required.0.div_ceil(BYTES_PER_TIB).next_multiple_of(step);
        let size = if self.required.is_none() { smallest.min(at_most).max(step) } else { smallest };
        match (u32::try_from(size), self.limit) {
            (Ok(size), _) if u64::from(size) <= at_most => Ok(Tib(size)),
            (Ok(size), Some(limit)) if size <= most.0 => {
                Err(CapacityError::AboveLimit { rounded: Tib(size).bytes(), increment, limit })
            }
            _ => Err(CapacityError::AboveMaximum { required, maximum: most, offered_by: quote(offered_by) }),
        }
    }

    /// Whether an existing file system of this size satisfies the claim.
    pub fn admits(&self, size: Bytes) -> bool {
        self.required.is_none_or(|required| size >= required) && self.limit.is_none_or(|limit| size <= limit)
    }
}

impl fmt::Display for CapacityRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.required, self.limit) {
            (Some(required), Some(limit)) if required == limit => write!(f, "exactly {required}"),
            (Some(required), Some(limit)) => write!(f, "{required} to {limit}"),
            (Some(required), None) => write!(f, "at least {required}"),
            (None, Some(limit)) => write!(f, "at most {limit}"),
            (None, None) => f.write_str("any size"),
        }
    }
}

fn non_negative(field: &'static str, value: i64) -> Result<Option<Bytes>, CapacityError> {
    let bytes = u64::try_from(value).map_err(|_| CapacityError::Negative { field, value })?;
    Ok((bytes > 0).then_some(Bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIB: i64 = 1 << 40;
    const MAXIMUM: Tib = Tib(128);

    fn parse(required_bytes: i64, limit_bytes: i64) -> Result<CapacityRange, CapacityError> {
        CapacityRange::parse(RequestedCapacity { required_bytes, limit_bytes })
    }

    fn round(required: i64, limit: i64, increment: u32) -> Result<Tib, CapacityError> {
        parse(required, limit)?.round(Tib(increment), MAXIMUM, "SKU")
    }

    #[test]
    fn sizes_are_rounded_up_to_the_increment() {
        for (required, increment, expected) in [
            (0, 4, 4),
            (0, 48, 48),
            (1, 4, 4),
            (4 * TIB, 4, 4),
            (4 * TIB + 1, 4, 8),
            (48 * TIB, 16, 48),
            (128 * TIB, 8, 128),
        ] {
            assert_eq!(round(required, 0, increment), Ok(Tib(expected)), "{required} by {increment}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        assert!(matches!(round(-1, 0, 4), Err(CapacityError::Negative { field: "required_bytes", .. })));
        assert!(matches!(round(0, -1, 4), Err(CapacityError::Negative { field: "limit_bytes", .. })));
        assert!(matches!(round(5 * TIB, 4 * TIB, 4), Err(CapacityError::Inverted { .. })));
        assert!(matches!(round(5 * TIB, 6 * TIB, 4), Err(CapacityError::AboveLimit { .. })));
        assert!(matches!(round(0, TIB, 4), Err(CapacityError::AboveLimit { .. })));
        assert!(matches!(round(129 * TIB, 0, 4), Err(CapacityError::AboveMaximum { .. })));
        assert!(matches!(round(i64::MAX, 0, 4), Err(CapacityError::AboveMaximum { .. })));
        assert_eq!(round(5 * TIB, 8 * TIB, 4), Ok(Tib(8)));
        let between = round(127 * TIB, 0, 48).unwrap_err().to_string();
        assert!(between.contains("127 TiB is above the maximum of 96 TiB"), "{between}");
    }

    #[test]
    fn the_default_gives_way_to_what_there_is() {
        assert_eq!(round(0, 2 * TIB, 1), Ok(Tib(2)));
        assert_eq!(round(0, 5 * TIB - 1, 3), Ok(Tib(3)));
        assert_eq!(CapacityRange::default().round(Tib(1), Tib(2), "SKU"), Ok(Tib(2)));
    }

    #[test]
    fn no_number_overflows() {
        let (largest, odd) = (Tib(u32::MAX), parse(1, i64::MAX).unwrap());
        assert_eq!(largest.bytes(), Bytes(u64::MAX));
        assert!(matches!(odd.round(largest, largest, "SKU"), Err(CapacityError::AboveLimit { .. })));
    }

    #[test]
    fn an_existing_size_is_held_against_the_range() {
        let range = parse(8 * TIB, 16 * TIB).unwrap();
        for (size, admitted) in [(4, false), (8, true), (12, true), (16, true), (20, false)] {
            assert_eq!(range.admits(Tib(size).bytes()), admitted, "{size}");
        }
        assert!(CapacityRange::default().admits(Bytes(1)));
    }
}
