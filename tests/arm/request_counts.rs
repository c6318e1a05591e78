//! The number of requests that a claim costs, and how soon it is reported.

use std::time::Duration;

use crate::fakes::arm::Kind;
use crate::load::{LASTING, requests_of_a_lasting_fault, storm};
use crate::stack::Stack;
use crate::world::NAME;

#[test]
fn the_first_claim_costs_at_most_ten_requests_and_later_ones_seven() {
    let stack = Stack::new();
    // Ready at the second poll.
    stack.azure.simulator.cloud().edit_world(|world| world.create_seconds = 4);
    let process = stack.process(Box::new(|_, _| None));
    process.driver.create("pvc-1").unwrap();
    let first = stack.kinds();
    assert_eq!(first.iter().filter(|kind| **kind == Kind::Skus).count(), 2, "two pages of SKUs: {first:?}");
    assert!(first.len() <= 10, "{first:?}");
    process.driver.create("pvc-2").unwrap();
    let second = stack.kinds().split_off(first.len());
    assert!(second.len() <= 7, "{second:?}");
    assert!(!second.contains(&Kind::Skus) && !second.contains(&Kind::Size), "cached: {second:?}");
}

#[test]
fn a_repeated_call_for_a_finished_creation_costs_one_get() {
    let stack = Stack::new();
    let driver = stack.healthy();
    driver.create(NAME).unwrap();
    let before = stack.kinds().len();
    driver.create(NAME).unwrap();
    assert_eq!(stack.kinds()[before..], [Kind::Get]);
}

#[test]
fn a_thousand_claims_at_once_share_their_requests() {
    let alone = storm(1);
    let crowd = storm(1000);
    assert_eq!((alone.throttled, crowd.throttled), (0, 0), "ARM had to refuse: {crowd:?}");
    assert!(crowd.per_claim() <= alone.per_claim() / 2.0, "{} and {}: {crowd:?}", crowd.per_claim(), alone.per_claim());
    for storm in [&alone, &crowd, &storm(10), &storm(100)] {
        assert!(storm.latest <= Duration::from_secs(15), "reported late: {storm:?}");
        assert_eq!(storm.kinds[&Kind::Put], storm.claims, "{storm:?}");
        assert!(storm.took < Duration::from_mins(20), "{storm:?}");
    }
}

#[test]
fn a_lasting_fault_costs_at_most_six_puts_and_six_deletes_in_a_quarter_of_an_hour() {
    for fault_kind in LASTING {
        let (puts, deletes) = requests_of_a_lasting_fault(fault_kind);
        assert!(
            (1..=6).contains(&puts) && (1..=6).contains(&deletes),
            "{fault_kind:?}: {puts} PUTs, {deletes} DELETEs"
        );
    }
}
