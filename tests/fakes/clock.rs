//! Clocks that never wait.
//!
//! Why two: [`ManualClock`] stands still until a test turns it, so a moment can be looked at for as long as it takes;
//! [`SkippingClock`] jumps over every sleep, so a loop that waits for an hour runs at once.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::ports::clock::Clock;

#[derive(Debug, Default)]
struct Hands {
    now: Duration,
    next: u64,
    sleepers: BTreeMap<u64, (Duration, Waker)>,
}

/// A clock that a test turns.
#[derive(Debug, Default)]
pub(crate) struct ManualClock(Mutex<Hands>);

impl ManualClock {
    /// Turns the clock and wakes every sleeper whose time has come.
    pub(crate) fn advance(&self, by: Duration) {
        let mut hands = self.0.lock().unwrap();
        hands.now += by;
        let now = hands.now;
        for (at, waker) in hands.sleepers.values() {
            if *at <= now {
                waker.wake_by_ref();
            }
        }
    }

    /// When the next sleeper wakes, if somebody sleeps.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        self.0.lock().unwrap().sleepers.values().map(|(at, _)| *at).min()
    }
}

/// Forgets a sleeper when its sleep ends or is dropped.
struct Place<'a> {
    clock: &'a ManualClock,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.clock.0.lock().unwrap().sleepers.remove(&self.number);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().now
    }

    async fn sleep(&self, duration: Duration) {
        let (until, number) = {
            let mut hands = self.0.lock().unwrap();
            hands.next += 1;
            (hands.now.saturating_add(duration), hands.next)
        };
        let place = Place { clock: self, number };
        poll_fn(|context| {
            let mut hands = place.clock.0.lock().unwrap();
            if hands.now >= until {
                return Poll::Ready(());
            }
            hands.sleepers.insert(number, (until, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// A clock on which every sleep is over at once and has taken its time.
#[derive(Debug, Default)]
pub(crate) struct SkippingClock(Mutex<Duration>);

#[async_trait]
impl Clock for SkippingClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        *self.0.lock().unwrap() += duration;
    }
}
