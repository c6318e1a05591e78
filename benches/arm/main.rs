//! What claims cost in requests to ARM, at 1, 10, 100 and 1,000 in the same instant, and what one volume costs while a fault
//! lasts.
//!
//! Time here is simulated, and the figures are counts that are the same on every machine. They are counted by ARM's REST
//! interface in front of the simulator, with ARM's own token buckets, so a storm would show as throttled requests. Memory is
//! the peak of this whole process: driver, stub and simulated Azure together.

// A benchmark that cannot set up has nothing to measure.
#![allow(clippy::unwrap_used, clippy::panic, clippy::clone_on_ref_ptr, clippy::unchecked_time_subtraction)]
// Shared with the tests, which need more of it.
#![allow(dead_code)]

#[path = "../../tests/fakes/mod.rs"]
mod fakes;
#[path = "../../tests/arm/load.rs"]
mod load;
#[path = "../../tests/arm/stack.rs"]
mod stack;
#[path = "../../tests/usecases/world.rs"]
mod world;

use std::time::Instant;

fn main() {
    println!(
        "{:>6}  {:>8}  {:>9}  {:>9}  {:>11}  {:>11}  {:>8}  by kind",
        "claims", "requests", "per claim", "throttled", "reported after", "all ready", "real time"
    );
    for claims in [1, 10, 100, 1000] {
        let begun = Instant::now();
        let storm = load::storm(claims);
        println!(
            "{claims:>6}  {:>8}  {:>9.2}  {:>9}  {:>9.1} s  {:>9.0} s  {:>6.1} s  {:?}",
            storm.requests(),
            storm.per_claim(),
            storm.throttled,
            storm.latest.as_secs_f64(),
            storm.took.as_secs_f64(),
            begun.elapsed().as_secs_f64(),
            storm.kinds
        );
    }
    println!("in 15 minutes of a lasting fault, for one volume:");
    for fault in load::LASTING {
        let (puts, deletes) = load::requests_of_a_lasting_fault(fault);
        println!("  {:<20} {puts} PUTs, {deletes} DELETEs", format!("{fault:?}"));
    }
    println!("peak memory of driver, stub and simulated Azure together: {}", peak());
}

/// Peak resident size as the kernel counts it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |size| size.trim().to_owned())
}
