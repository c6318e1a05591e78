//! The contract of the port [`Clock`]: the laws that every wait of the use-cases rests on.
//!
//! [`Clock`]: azurelustre_csi::ports::clock::Clock

use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::clock::{ScaledClock, SystemClock};
use azurelustre_csi::ports::clock::Clock;
use futures_lite::future;
use libtest_mimic::Trial;

use crate::fakes::clock::ManualClock;
use crate::harness::{self, Adapter, Law, LawResult, laws};

/// A clock, and how time passes on it.
struct ClockWorld {
    clock: Arc<dyn Clock>,
    advance: Box<dyn Fn()>,
}

fn with_real_time(clock: impl Clock + 'static) -> ClockWorld {
    ClockWorld { clock: Arc::new(clock), advance: Box::new(|| {}) }
}

fn with_manual_time() -> ClockWorld {
    let clock = Arc::new(ManualClock::default());
    let advanced = Arc::clone(&clock);
    ClockWorld { clock, advance: Box::new(move || advanced.advance(Duration::from_millis(1))) }
}

const LAWS: &[Law<ClockWorld>] =
    laws![time_never_goes_back, a_sleep_of_zero_ends_at_once, a_sleep_lasts_at_least_as_long_as_asked];

/// Every law with every clock.
pub(crate) fn trials() -> Vec<Trial> {
    let adapters = [
        Adapter::new("system", || Ok(Box::new(with_real_time(SystemClock::new())))),
        Adapter::new("scaled", || Ok(Box::new(with_real_time(ScaledClock::new(1000.0))))),
        Adapter::new("manual", || Ok(Box::new(with_manual_time()))),
    ];
    harness::trials("clock", &adapters, &[LAWS])
}

async fn time_never_goes_back(world: &ClockWorld) -> LawResult {
    let mut before = world.clock.now();
    for _ in 0..1000 {
        (world.advance)();
        let now = world.clock.now();
        if now < before {
            return Err(format!("{now:?} came after {before:?}").into());
        }
        before = now;
    }
    Ok(())
}

async fn a_sleep_of_zero_ends_at_once(world: &ClockWorld) -> LawResult {
    world.clock.sleep(Duration::ZERO).await;
    Ok(())
}

async fn a_sleep_lasts_at_least_as_long_as_asked(world: &ClockWorld) -> LawResult {
    let asked = Duration::from_millis(5);
    let begun = world.clock.now();
    let advancing = async {
        loop {
            future::yield_now().await;
            (world.advance)();
        }
    };
    future::or(world.clock.sleep(asked), advancing).await;
    assert!(world.clock.now().saturating_sub(begun) >= asked);
    Ok(())
}
