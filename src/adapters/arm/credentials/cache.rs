//! [`TokenCache`]: tokens kept until shortly before they expire, one exchange at a time; and [`ReloadingCredential`], which
//! follows the settings that a credential comes from.
//!
//! ```text
//!   issued ───────── fresh ───────── refresh_at ─────────── wait_at ─────────── expires
//!   token()       at once                │ at once             │ waits for the refresh, then the new token,
//!   refresh       none                   │ in the background   │ or the old one if it fails
//!                                        └ a third of the lifetime before expiry, at most 5 minutes; wait_at: its last tenth
//! ```
//!
//! The exchange is a task of its own, so that it continues for the other callers when one leaves. The lock is never held
//! across an await.
//!
//! Secrets expire and are replaced, and identities change, while the driver runs. So the settings are read again when their
//! file has changed, when the issuer refuses the credential, and when ARM does not accept the token. If they cannot be used,
//! the credential in use stays.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Credential, CredentialKind, Exchange, Secret, TokenEndpoints, TokenError, TokenErrorKind, TokenProvider};
use crate::adapters::arm::http::stack::HttpStack;

/// How long before expiry a token is refreshed, unless a third of its lifetime is less.
const REFRESH_AHEAD: Duration = Duration::from_mins(5);

/// After a failed refresh, how long a token that is still valid is served without another attempt.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// How long a rejected token is not accepted from its issuer again. The instance metadata service keeps its tokens for up to a
/// day, so one wrong 401 on the way to ARM must not count as long.
const REJECTED_FOR: Duration = Duration::from_mins(1);

/// How many rejected tokens are remembered. Only the issuer's own cache could issue one again.
const MAX_REJECTED: usize = 16;

/// A token and its times, by the adapter's clock.
#[derive(Clone)]
struct CachedToken {
    token: Secret,
    refresh_at: Duration,
    wait_at: Duration,
    expires: Duration,
}

impl CachedToken {
    fn new(token: Secret, requested_at: Duration, lifetime: Duration) -> Self {
        let expires = requested_at.saturating_add(lifetime);
        let ahead = REFRESH_AHEAD.min(lifetime / 3);
        let (refresh_at, wait_at) = (expires.saturating_sub(ahead), expires.saturating_sub(ahead / 10));
        Self { token, refresh_at, wait_at, expires }
    }
}

type ExchangeResult = Result<CachedToken, TokenError>;
type Refresh = watch::Receiver<Option<ExchangeResult>>;

#[derive(Default)]
struct State {
    current: Option<CachedToken>,
    /// With the time until which each stays rejected.
    rejected: VecDeque<(Secret, Duration)>,
    /// Before this time a token that is still valid is not refreshed.
    paused_until: Duration,
    refresh: Option<Refresh>,
}

impl State {
    fn is_rejected(&self, token: &Secret, now: Duration) -> bool {
        self.rejected.iter().any(|(rejected, until)| now < *until && rejected == token)
    }
}

/// The tokens of one credential.
pub(super) struct TokenCache {
    pub(super) exchange: Exchange,
    state: Mutex<State>,
}

impl TokenCache {
    pub(super) fn new(exchange: Exchange) -> Self {
        Self { exchange, state: Mutex::default() }
    }

    /// A token that is valid now and not rejected.
    pub(super) async fn token(self: &Arc<Self>) -> Result<Secret, TokenError> {
        loop {
            let mut refresh = match self.cached() {
                Ok(token) => return Ok(token),
                Err(refresh) => refresh,
            };
            let result = refresh.wait_for(Option::is_some).await.map(|result| result.clone());
            match result.ok().flatten().unwrap_or_else(interrupted) {
                // Another caller's request may have been refused with it meanwhile.
                Ok(cached) if self.state().is_rejected(&cached.token, self.now()) => {}
                Ok(cached) => return Ok(cached.token),
                Err(error) => return self.still_valid().map(|cached| cached.token).ok_or(error),
            }
        }
    }

    /// Does not provide this token again, unless its issuer issues it again after a while.
    pub(super) fn reject(&self, token: &Secret) {
        let now = self.now();
        let mut state = self.state();
        if !state.is_rejected(token, now) {
            state.rejected.truncate(MAX_REJECTED - 1);
            state.rejected.push_front((token.clone(), now.saturating_add(REJECTED_FOR)));
        }
        state.current.take_if(|cached| cached.token == *token);
    }

    /// The token, or the refresh to wait for.
    fn cached(self: &Arc<Self>) -> Result<Secret, Refresh> {
        let now = self.now();
        let mut state = self.state();
        match state.current.clone().filter(|cached| now < cached.expires) {
            Some(cached) if now < cached.refresh_at || now < state.paused_until => Ok(cached.token),
            Some(cached) if now < cached.wait_at => {
                self.refresh(&mut state);
                Ok(cached.token)
            }
            _ => Err(self.refresh(&mut state)),
        }
    }

    fn still_valid(&self) -> Option<CachedToken> {
        let now = self.now();
        self.state().current.clone().filter(|cached| now < cached.expires)
    }

    /// Joins the exchange in progress, or begins one.
    fn refresh(self: &Arc<Self>, state: &mut State) -> Refresh {
        // A sender that is dropped without a result belonged to a runtime that was shut down.
        if let Some(refresh) = state.refresh.as_ref().filter(|refresh| refresh.has_changed().is_ok()) {
            return refresh.clone();
        }
        let (sender, refresh) = watch::channel(None);
        state.refresh = Some(refresh.clone());
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            // Lifetimes count from the request: the response may have taken long.
            let requested_at = cache.now();
            let result = cache.exchange.run().await;
            let result = result.map(|issued| CachedToken::new(issued.token, requested_at, issued.lifetime));
            sender.send_replace(Some(cache.store(result)));
        });
        refresh
    }

    /// Stores the result of an exchange.
    fn store(&self, result: ExchangeResult) -> ExchangeResult {
        let now = self.now();
        let mut state = self.state();
        state.refresh = None;
        let rejected = result.as_ref().is_ok_and(|cached| state.is_rejected(&cached.token, now));
        let result = if rejected { Err(issued_again()) } else { result };
        match &result {
            Ok(cached) => {
                tracing::debug!(seconds = cached.expires.saturating_sub(now).as_secs(), "got a token");
                state.paused_until = Duration::ZERO;
                state.current = Some(cached.clone());
            }
            Err(error) => {
                let valid = state.current.as_ref().map(|cached| cached.expires.saturating_sub(now).as_secs());
                tracing::debug!(%error, still_valid_seconds = valid.unwrap_or_default(), "got no token");
                state.paused_until = now.saturating_add(RETRY_PAUSE);
            }
        }
        result
    }

    fn now(&self) -> Duration {
        self.exchange.http.now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn interrupted() -> ExchangeResult {
    Err(TokenError::unavailable("the exchange for a token was interrupted"))
}

fn issued_again() -> TokenError {
    TokenError::refused("the issuer issued again a token that was rejected")
        .with_hint("check that cloud, audience and identity fit together; the token is tried again in a minute")
}

/// The settings that a credential comes from.
pub trait CredentialSource: Send + Sync + std::fmt::Debug {
    /// The file that holds them.
    fn file(&self) -> &Path;

    /// Reads them again. It may block.
    fn read(&self) -> Result<CredentialKind, TokenError>;
}

/// Modification time, length and inode of a file: another content has another version.
type Version = (Option<SystemTime>, u64, u64);

/// A credential that is replaced when its settings change.
#[derive(Debug)]
pub struct ReloadingCredential {
    source: Arc<dyn CredentialSource>,
    endpoints: TokenEndpoints,
    scope: String,
    http: Arc<HttpStack>,
    current: Mutex<Arc<Credential>>,
    /// The file's version when it was last read; `None` if it was not there.
    read: Mutex<Option<Version>>,
    /// ARM has not accepted a token: the settings are read again even if the file's version is the same.
    rejected: AtomicBool,
}

impl ReloadingCredential {
    /// A credential of this kind until `source` changes. Fails as [`Credential::new`] does.
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

    /// Whether the file has another version than the one read last.
    async fn has_changed(&self) -> bool {
        let source = Arc::clone(&self.source);
        let version = tokio::task::spawn_blocking(move || version(source.file())).await.ok().flatten();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // A file that is absent is being replaced: the credential stays in use.
        let changed = version.is_some() && *read != version;
        if changed {
            *read = version;
        }
        changed
    }

    /// Reads the settings again; returns whether they are another credential than before.
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
impl TokenProvider for ReloadingCredential {
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
    Some((metadata.modified().ok(), metadata.len(), metadata.ino()))
}
