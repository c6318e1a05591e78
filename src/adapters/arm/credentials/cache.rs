//! Tokens kept until shortly before they expire, and one exchange at a time.
//!
//! ```text
//!   issued ───────── fresh ─────────┬───── due ─────┬── late ──┬── expired
//!   callers are   served at once    │ served at once│ waiting  │ waiting
//!   a refresh     is not begun      │ runs behind   │ (served the old one if it fails)
//!                                   └ a third of the lifetime ─┘ before expiry, at most 5 minutes; late: its last tenth
//! ```
//!
//! Why the exchange is a task of its own: a caller that goes away must not take with it what others wait for. The lock is
//! held for looks at the state only, never while anybody waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::error::TokenError;
use super::exchange::Exchange;
use super::secret::Secret;
use crate::ports::clock::Clock;

/// How long before expiry a token is refreshed, unless a third of its lifetime is less.
const AHEAD: Duration = Duration::from_mins(5);

/// After a failed refresh, how long a token that is still valid is served without another try.
const PAUSE: Duration = Duration::from_secs(30);

/// How long a rejected token is not taken from its issuer again. The instance metadata service keeps its tokens for up to a
/// day, so one wrong 401 on the way to Resource Manager must not count as long.
const REJECTED_FOR: Duration = Duration::from_mins(1);

/// How many rejected tokens are remembered. Only the issuer's own cache could bring one back.
const REJECTED: usize = 16;

/// A token and its times on the clock.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) token: Secret,
    expires: Duration,
    due: Duration,
    late: Duration,
}

impl Held {
    fn new(token: Secret, asked: Duration, lifetime: Duration) -> Self {
        let expires = asked.saturating_add(lifetime);
        let ahead = AHEAD.min(lifetime / 3);
        Self { token, expires, due: expires.saturating_sub(ahead), late: expires.saturating_sub(ahead / 10) }
    }
}

type Outcome = Result<Held, TokenError>;
type Flight = watch::Receiver<Option<Outcome>>;

#[derive(Default)]
struct State {
    current: Option<Held>,
    /// With the time until which each stays so.
    rejected: VecDeque<(Secret, Duration)>,
    /// Before this time a token that is still valid is not refreshed.
    paused_until: Duration,
    flight: Option<Flight>,
}

impl State {
    fn is_rejected(&self, token: &Secret, now: Duration) -> bool {
        self.rejected.iter().any(|(rejected, until)| now < *until && rejected.reveal() == token.reveal())
    }
}

/// What a caller does next.
enum Look {
    Serve(Held),
    Wait(Flight),
}

/// The tokens of one credential.
pub(super) struct Cache {
    exchange: Exchange,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Cache {
    pub(super) fn new(exchange: Exchange, clock: Arc<dyn Clock>) -> Self {
        Self { exchange, clock, state: Mutex::default() }
    }

    /// A token that is valid now and that nobody rejected.
    pub(super) async fn token(self: &Arc<Self>) -> Outcome {
        loop {
            let mut flight = match self.look() {
                Look::Serve(held) => return Ok(held),
                Look::Wait(flight) => flight,
            };
            let landed = flight.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
            match landed.ok().flatten().unwrap_or_else(interrupted) {
                // Another caller may have been refused with it meanwhile.
                Ok(held) if self.state().is_rejected(&held.token, self.clock.now()) => {}
                Ok(held) => return Ok(held),
                Err(error) => return self.still_valid().ok_or(error),
            }
        }
    }

    /// Does not serve this token again, unless its issuer gives it anew after a while.
    pub(super) fn reject(&self, token: &Secret) {
        let now = self.clock.now();
        let mut state = self.state();
        if !state.is_rejected(token, now) {
            state.rejected.truncate(REJECTED - 1);
            state.rejected.push_front((token.clone(), now.saturating_add(REJECTED_FOR)));
        }
        state.current.take_if(|held| held.token.reveal() == token.reveal());
    }

    fn look(self: &Arc<Self>) -> Look {
        let now = self.clock.now();
        let mut state = self.state();
        match state.current.clone().filter(|held| now < held.expires) {
            Some(held) if now < held.due || now < state.paused_until => Look::Serve(held),
            Some(held) if now < held.late => {
                self.fly(&mut state);
                Look::Serve(held)
            }
            _ => Look::Wait(self.fly(&mut state)),
        }
    }

    fn still_valid(&self) -> Option<Held> {
        let now = self.clock.now();
        self.state().current.clone().filter(|held| now < held.expires)
    }

    /// Joins the exchange that is under way, or begins one.
    fn fly(self: &Arc<Self>, state: &mut State) -> Flight {
        // A sender that is gone without a word belonged to a runtime that was shut down.
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return flight.clone();
        }
        let (sender, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = cache.exchange_once().await;
            sender.send_replace(Some(cache.land(outcome)));
        });
        flight
    }

    async fn exchange_once(&self) -> Outcome {
        // Lifetimes count from the request: the answer may have been long on its way.
        let asked = self.clock.now();
        let issued = self.exchange.run().await?;
        Ok(Held::new(issued.token, asked, issued.lifetime))
    }

    /// Keeps what an exchange brought.
    fn land(&self, outcome: Outcome) -> Outcome {
        let now = self.clock.now();
        let mut state = self.state();
        state.flight = None;
        let outcome =
            outcome.and_then(|held| if state.is_rejected(&held.token, now) { Err(again()) } else { Ok(held) });
        match &outcome {
            Ok(held) => {
                tracing::debug!(seconds = held.expires.saturating_sub(now).as_secs(), "got a token");
                state.paused_until = Duration::ZERO;
                state.current = Some(held.clone());
            }
            Err(error) => {
                let valid = state.current.as_ref().map(|held| held.expires.saturating_sub(now).as_secs());
                tracing::debug!(%error, still_valid_seconds = valid.unwrap_or_default(), "got no token");
                state.paused_until = now.saturating_add(PAUSE);
            }
        }
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn interrupted() -> Outcome {
    Err(TokenError::unavailable("the exchange for a token was interrupted"))
}

fn again() -> TokenError {
    TokenError::refused("the issuer gave again a token that was rejected")
        .with_hint("the token is tried again in a minute; check that cloud, audience and identity fit together")
}
