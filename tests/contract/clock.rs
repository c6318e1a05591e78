//! The contract of the port [`Clock`]: the laws that every wait of the use-cases rests on.
//!
//! [`Clock`]: azurelustre_csi::ports::clock::Clock

use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::clock::{ScaledClock, SystemClock};
use azurelustre_csi::ports::clock::Clock;
use futures_lite::future;
use libtest_mimic::{Failed, Trial};

use crate::fakes::clock::ManualClock;
use crate::harness;

/// A clock, and how to make the next sleeper's time come on it.
struct Turned {
    clock: Arc<dyn Clock>,
    turn: Box<dyn Fn() + Send>,
}

fn turned(name: &str) -> Turned {
    let still: Box<dyn Fn() + Send> = Box::new(|| {});
    match name {
        "system" => Turned { clock: Arc::new(SystemClock::new()), turn: still },
        "scaled" => Turned { clock: Arc::new(ScaledClock::new(1000.0)), turn: still },
        _ => {
            let clock = Arc::new(ManualClock::default());
            let turn = Arc::clone(&clock);
            Turned { clock, turn: Box::new(move || turn.advance(Duration::from_millis(1))) }
        }
    }
}

/// A law by its name.
type Law = (&'static str, fn(&Turned) -> Result<(), Failed>);

/// Every law with every clock.
pub(crate) fn trials() -> Vec<Trial> {
    let laws: [Law; 3] = [
        ("time_never_goes_back", time_never_goes_back),
        ("no_time_is_over_at_once", no_time_is_over_at_once),
        ("a_sleep_lasts_at_least_as_long_as_asked", a_sleep_lasts_at_least_as_long_as_asked),
    ];
    let clocks = ["system", "scaled", "manual"];
    let with = |(name, law): &Law| {
        let (name, law) = (*name, *law);
        clocks.map(|clock| harness::trial("clock", clock, name, move || law(&turned(clock))))
    };
    laws.iter().flat_map(with).collect()
}

fn time_never_goes_back(turned: &Turned) -> Result<(), Failed> {
    let mut before = turned.clock.now();
    for _ in 0..1000 {
        (turned.turn)();
        let now = turned.clock.now();
        if now < before {
            return Err(format!("{now:?} came after {before:?}").into());
        }
        before = now;
    }
    Ok(())
}

fn no_time_is_over_at_once(turned: &Turned) -> Result<(), Failed> {
    harness::run(async {
        turned.clock.sleep(Duration::ZERO).await;
        Ok(())
    })
}

fn a_sleep_lasts_at_least_as_long_as_asked(turned: &Turned) -> Result<(), Failed> {
    let asked = Duration::from_millis(5);
    harness::run(async {
        let begun = turned.clock.now();
        let turning = async {
            loop {
                future::yield_now().await;
                (turned.turn)();
            }
        };
        future::or(turned.clock.sleep(asked), turning).await;
        assert!(turned.clock.now().saturating_sub(begun) >= asked);
        Ok(())
    })
}
