//! Calls in flight: how many lanes run beside each other, and how long their calls take together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::runtime::Runtime;

/// Most calls in flight.
pub(crate) const LANES: u64 = 64;
/// Calls in flight that are measured.
pub(crate) const IN_FLIGHT: [u64; 3] = [1, 16, LANES];

/// A number that no other call has; modulo 64 it is the lane's, so that lanes never meet at one volume.
pub(crate) fn number(lane: u64) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed) * LANES + lane
}

/// Runs `calls` calls, `in_flight` of them at a time, and returns how long they took together.
pub(crate) fn timed<C: Future<Output = ()>>(
    runtime: &Runtime,
    calls: u64,
    in_flight: u64,
    call: impl Fn(u64) -> C,
) -> Duration {
    let (call, each) = (&call, calls.div_ceil(in_flight));
    let begun = Instant::now();
    runtime.block_on(async {
        join_all((0..in_flight).map(|lane| async move {
            for _ in 0..each {
                call(number(lane)).await;
            }
        }))
        .await;
    });
    of_calls(begun.elapsed(), calls, each * in_flight)
}

/// Criterion asked for `calls`; a few more were made so that every lane does the same.
#[allow(clippy::cast_precision_loss)] // far fewer than 2^52 calls
pub(crate) fn of_calls(took: Duration, calls: u64, made: u64) -> Duration {
    took.mul_f64(calls as f64 / made as f64)
}
