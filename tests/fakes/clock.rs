//! A manual clock: time stands still until a test advances it, or until a future that it runs can only wait. So a loop that
//! waits for an hour is tested at once, and to the second.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::ports::clock::Clock;

#[derive(Debug, Default)]
struct State {
    now: Duration,
    last_sleeper: u64,
    /// When each sleep ends, by its number.
    sleepers: BTreeMap<u64, (Duration, Waker)>,
}

/// A task in the background.
type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// A clock that a test advances, and the background tasks of the process under test.
#[derive(Default)]
pub(crate) struct ManualClock {
    state: Mutex<State>,
    tasks: Mutex<Vec<Task>>,
}

impl std::fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ManualClock({:?})", self.now())
    }
}

impl ManualClock {
    /// Advances the clock and wakes every sleeper whose time has come.
    pub(crate) fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap();
        state.now += by;
        let now = state.now;
        // Woken once: a sleeper that is not polled then, since its owner waits for another future, is removed too.
        state.sleepers.retain(|_, (at, waker)| {
            if *at <= now {
                waker.wake_by_ref();
            }
            *at > now
        });
    }

    /// Adds a task that runs whenever [`ManualClock::run`] runs anything, until it ends. A panic in it ends the run and all
    /// tasks, as a killed process does.
    pub(crate) fn spawn(&self, task: Task) {
        self.tasks.lock().unwrap().push(task);
    }

    /// How many tasks have not ended.
    #[allow(dead_code)]
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.lock().unwrap().len()
    }

    fn poll_tasks(&self, context: &mut Context<'_>) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        let left: Vec<Task> =
            tasks.into_iter().filter_map(|mut task| task.as_mut().poll(context).is_pending().then_some(task)).collect();
        self.tasks.lock().unwrap().extend(left);
    }

    /// Runs a future to its end. Whenever it can only wait, the clock advances to the moment at which the next sleeper wakes.
    /// A future that waits for anything but this clock would wait for ever, which is a panic.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            let before = self.tasks();
            self.poll_tasks(&mut Context::from_waker(&waker));
            if self.tasks() != before {
                continue;
            }
            if !woken.0.swap(false, Ordering::AcqRel) {
                let next = self.next_wake().expect("the future waits for something that never comes");
                self.advance(next.saturating_sub(self.now()));
            }
        }
    }

    /// When the next sleeper wakes, if there is one.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        self.state.lock().unwrap().sleepers.values().map(|(at, _)| *at).min()
    }
}

/// Remembers that another poll was asked for.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Removes a sleeper when its sleep ends or is dropped.
struct Sleeper<'a> {
    clock: &'a ManualClock,
    number: u64,
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.clock.state.lock().unwrap().sleepers.remove(&self.number);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Duration {
        self.state.lock().unwrap().now
    }

    fn unix_time(&self) -> Duration {
        // Midnight of some day, so that times of day are easy to read.
        Duration::from_hours(20_000 * 24) + self.now()
    }

    async fn sleep(&self, duration: Duration) {
        let (until, number) = {
            let mut state = self.state.lock().unwrap();
            state.last_sleeper += 1;
            (state.now.saturating_add(duration), state.last_sleeper)
        };
        let sleeper = Sleeper { clock: self, number };
        poll_fn(|context| {
            let mut state = sleeper.clock.state.lock().unwrap();
            if state.now >= until {
                return Poll::Ready(());
            }
            state.sleepers.insert(number, (until, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
