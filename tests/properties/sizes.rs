//! Sizes against integers that cannot overflow, and SKUs of any text.

use azurelustre_csi::domain::capacity::{Bytes, CapacityError, CapacityRange, DEFAULT_SIZE, RequestedCapacity, Tib};
use azurelustre_csi::domain::sku::{CAPABILITY_INCREMENT, CAPABILITY_MAXIMUM, Sku};
use proptest::prelude::*;

use crate::config;
use crate::generators::{bytes, number_text, tebibytes};

const TIB: i128 = 1 << 40;

/// The rule in numbers that cannot overflow: the smallest multiple of `step` that holds the request, or nothing. Where
/// nothing was asked for, the default gives way to what limit and maximum leave.
fn rounded(required: i64, limit: i64, increment: u32, maximum: u32) -> Option<i128> {
    let step = i128::from(increment.max(1));
    let limit = if limit == 0 { i128::MAX } else { i128::from(limit) };
    let largest = (i128::from(maximum) * TIB).min(limit) / (step * TIB) * step;
    let asked = if required == 0 { DEFAULT_SIZE.0.into() } else { (i128::from(required) + TIB - 1) / TIB };
    let smallest = (asked + step - 1) / step * step;
    let wanted = if required == 0 { smallest.min(largest) } else { smallest };
    (required >= 0 && limit >= i128::from(required) && (1..=largest).contains(&wanted)).then_some(wanted)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..config() })]

    #[test]
    fn sizes_are_the_smallest_that_will_do(
        required in bytes(), limit in bytes(), increment in tebibytes(), maximum in tebibytes(),
    ) {
        let range = CapacityRange::parse(RequestedCapacity { required_bytes: required, limit_bytes: limit });
        let size = range.clone().and_then(|range| range.round(Tib(increment), Tib(maximum), "SKU"));
        prop_assert_eq!(size.clone().ok().map(|size| i128::from(size.0)), rounded(required, limit, increment, maximum));
        match size {
            Ok(size) => {
                let (bytes, step) = (i128::from(size.0) * TIB, i128::from(increment.max(1)) * TIB);
                prop_assert!(bytes >= i128::from(required) && bytes % step == 0 && size.0 <= maximum);
                prop_assert!(limit == 0 || bytes <= i128::from(limit));
                prop_assert!(required == 0 || bytes - step < i128::from(required), "{} is more than needed", size);
                prop_assert!(range.unwrap().admits(size.bytes()), "what was made does not satisfy the claim");
            }
            Err(CapacityError::AboveMaximum { required, maximum, .. }) => {
                prop_assert!(i128::from(required.0) > i128::from(maximum.0) * TIB, "{} is not above {}", required, maximum);
            }
            Err(CapacityError::AboveLimit { rounded, limit, .. }) => prop_assert!(rounded > limit),
            Err(CapacityError::Inverted { required, limit }) => prop_assert!(limit < required),
            Err(CapacityError::Negative { value, .. }) => prop_assert!(value < 0),
        }
    }

    #[test]
    fn sizes_are_ordered_and_shown_without_overflow(left in any::<u32>(), right in any::<u32>(), bytes in any::<u64>()) {
        prop_assert!(left > right || Tib(left).bytes() <= Tib(right).bytes());
        prop_assert!(!Tib(left).bytes().to_string().is_empty() && !Bytes(bytes).to_string().is_empty());
    }

    #[test]
    fn a_sku_is_read_or_refused_whatever_the_cloud_says(
        increment in number_text(), maximum in number_text(), size in any::<u32>(),
    ) {
        let capabilities = [(CAPABILITY_INCREMENT, increment.as_str()), (CAPABILITY_MAXIMUM, maximum.as_str())];
        if let Ok(sku) = Sku::from_capabilities("S", vec![], capabilities) {
            prop_assert!(sku.increment.0 > 0 && sku.maximum.0 > 0);
            prop_assert_eq!(sku.throughput(Tib(size)), 0);
        }
    }
}
