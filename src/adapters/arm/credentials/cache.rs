//! [`Cache`]: tokens kept until shortly before they expire, one exchange at a time; and [`ReloadingCredential`], which
//! follows the settings that a credential comes from.
//!
//! ```text
//!   issued ───────── fresh ─────────┬───── due ─────┬── late ──┬── expired
//!   callers are   served at once    │ served at once│ waiting  │ waiting
//!   a refresh     is not begun      │ runs behind   │ (served the old one if it fails)
//!                                   └ a third of the lifetime ─┘ before expiry, at most 5 minutes; late: its last tenth
//! ```
//!
//! The exchange is a task of its own, so that a caller that goes away leaves it to those who still wait. The lock is never
//! held while anybody waits.
//!
//! Secrets expire and are replaced, identities are exchanged, while the driver runs. So the settings are read again when
//! their file has changed, when the issuer refuses what they say, and when ARM does not accept the token. Settings that
//! cannot be used then change nothing.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Credential, CredentialKind, Exchange, Secret, TokenEndpoints, TokenError, TokenErrorKind};
use crate::adapters::arm::http_stack::HttpStack;
use crate::adapters::arm::transport::Tokens;

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
type Refresh = watch::Receiver<Option<Outcome>>;

#[derive(Default)]
struct State {
    current: Option<Held>,
    /// With the time until which each stays so.
    rejected: VecDeque<(Secret, Duration)>,
    /// Before this time a token that is still valid is not refreshed.
    paused_until: Duration,
    refresh: Option<Refresh>,
}

impl State {
    fn is_rejected(&self, token: &Secret, now: Duration) -> bool {
        self.rejected.iter().any(|(rejected, until)| now < *until && rejected.reveal() == token.reveal())
    }
}

/// How a caller gets its token.
enum Next {
    Serve(Held),
    Wait(Refresh),
}

/// The tokens of one credential.
pub(super) struct Cache {
    exchange: Exchange,
    http: Arc<HttpStack>,
    state: Mutex<State>,
}

impl Cache {
    pub(super) fn new(exchange: Exchange, http: Arc<HttpStack>) -> Self {
        Self { exchange, http, state: Mutex::default() }
    }

    /// A token that is valid now and that nobody rejected.
    pub(super) async fn token(self: &Arc<Self>) -> Outcome {
        loop {
            let mut refresh = match self.next() {
                Next::Serve(held) => return Ok(held),
                Next::Wait(refresh) => refresh,
            };
            let outcome = refresh.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
            match outcome.ok().flatten().unwrap_or_else(interrupted) {
                // Another caller may have been refused with it meanwhile.
                Ok(held) if self.state().is_rejected(&held.token, self.http.clock().now()) => {}
                Ok(held) => return Ok(held),
                Err(error) => return self.still_valid().ok_or(error),
            }
        }
    }

    /// Does not serve this token again, unless its issuer gives it anew after a while.
    pub(super) fn reject(&self, token: &Secret) {
        let now = self.http.clock().now();
        let mut state = self.state();
        if !state.is_rejected(token, now) {
            state.rejected.truncate(REJECTED - 1);
            state.rejected.push_front((token.clone(), now.saturating_add(REJECTED_FOR)));
        }
        state.current.take_if(|held| held.token.reveal() == token.reveal());
    }

    fn next(self: &Arc<Self>) -> Next {
        let now = self.http.clock().now();
        let mut state = self.state();
        match state.current.clone().filter(|held| now < held.expires) {
            Some(held) if now < held.due || now < state.paused_until => Next::Serve(held),
            Some(held) if now < held.late => {
                self.refresh(&mut state);
                Next::Serve(held)
            }
            _ => Next::Wait(self.refresh(&mut state)),
        }
    }

    fn still_valid(&self) -> Option<Held> {
        let now = self.http.clock().now();
        self.state().current.clone().filter(|held| now < held.expires)
    }

    /// Joins the exchange in progress, or begins one.
    fn refresh(self: &Arc<Self>, state: &mut State) -> Refresh {
        // A sender that is gone without an outcome belonged to a runtime that was shut down.
        if let Some(refresh) = state.refresh.as_ref().filter(|refresh| refresh.has_changed().is_ok()) {
            return refresh.clone();
        }
        let (sender, refresh) = watch::channel(None);
        state.refresh = Some(refresh.clone());
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = cache.exchange_once().await;
            sender.send_replace(Some(cache.store(outcome)));
        });
        refresh
    }

    async fn exchange_once(&self) -> Outcome {
        // Lifetimes count from the request: the answer may have been long on its way.
        let asked = self.http.clock().now();
        let issued = self.exchange.run().await?;
        Ok(Held::new(issued.token, asked, issued.lifetime))
    }

    /// Keeps what an exchange brought.
    fn store(&self, outcome: Outcome) -> Outcome {
        let now = self.http.clock().now();
        let mut state = self.state();
        state.refresh = None;
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

/// The settings that a credential comes from.
pub trait CredentialSource: Send + Sync + std::fmt::Debug {
    /// The file that holds them.
    fn file(&self) -> &Path;

    /// Reads them again. It may block.
    fn read(&self) -> Result<CredentialKind, TokenError>;
}

/// What distinguishes one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// A credential that is made anew when its settings say something else.
#[derive(Debug)]
pub struct ReloadingCredential {
    source: Arc<dyn CredentialSource>,
    endpoints: TokenEndpoints,
    scope: String,
    http: Arc<HttpStack>,
    current: Mutex<Arc<Credential>>,
    /// The file's version when it was last read; `None` if it was not there.
    read: Mutex<Option<Version>>,
    /// ARM has not accepted a token: whatever the file's version, the settings are read again.
    rejected: AtomicBool,
}

impl ReloadingCredential {
    /// A credential of this kind until `source` says something else. Fails as [`Credential::new`] does.
    pub fn new(
        kind: CredentialKind,
        endpoints: TokenEndpoints,
        scope: String,
        http: Arc<HttpStack>,
        source: Arc<dyn CredentialSource>,
    ) -> Result<Self, TokenError> {
        let first = Credential::new(kind, endpoints.clone(), scope.clone(), Arc::clone(&http))?;
        let (current, read, rejected) = (Mutex::new(Arc::new(first)), Mutex::new(None), AtomicBool::new(false));
        Ok(Self { source, endpoints, scope, http, current, read, rejected })
    }

    fn current(&self) -> Arc<Credential> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the file is another one than was read last.
    async fn has_changed(&self) -> bool {
        let source = Arc::clone(&self.source);
        let version = tokio::task::spawn_blocking(move || version(source.file())).await.ok().flatten();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // A file that is away is being replaced: what is known stays in use.
        let changed = version.is_some() && *read != version;
        if changed {
            *read = version;
        }
        changed
    }

    /// Reads the settings again; returns whether they give another credential than before.
    async fn reload(&self) -> bool {
        let source = Arc::clone(&self.source);
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let made = match read {
            Ok(Ok(kind)) if kind == *self.current().kind() => return false,
            Ok(Ok(kind)) => Credential::new(kind, self.endpoints.clone(), self.scope.clone(), Arc::clone(&self.http)),
            Ok(Err(error)) => Err(error),
            // The runtime is shutting down.
            Err(_) => return false,
        };
        let file = self.source.file().display();
        match made {
            Ok(credential) => {
                tracing::info!(%file, credential = credential.kind().name(), "the credentials for Azure were read again");
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(credential);
                true
            }
            Err(error) => {
                tracing::warn!(%file, %error, "the credentials for Azure cannot be read again; the old ones stay in use");
                false
            }
        }
    }
}

#[async_trait]
impl Tokens for ReloadingCredential {
    async fn token(&self) -> Result<Secret, TokenError> {
        let rejected = self.rejected.swap(false, Ordering::AcqRel);
        if self.has_changed().await || rejected {
            self.reload().await;
        }
        match self.current().token().await {
            Err(error) if error.kind == TokenErrorKind::Refused => {
                if self.reload().await {
                    self.current().token().await
                } else {
                    Err(error)
                }
            }
            other => other,
        }
    }

    fn reject(&self, token: &Secret) {
        self.rejected.store(true, Ordering::Release);
        self.current().reject(token);
    }
}

fn version(file: &Path) -> Option<Version> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(file).ok()?;
    Some(Version { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
}
