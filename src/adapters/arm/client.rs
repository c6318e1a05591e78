//! [`Client`]: `get`, `list`, `ask`, `put` and `delete` of ARM over one [`Transport`].
//!
//! Reads are tried a few times as long as that may help soon; a write is sent once, as a task of its own. Only a token that
//! ARM did not accept is replaced, and the request sent once more, since ARM has not acted then.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use url::Url;

use super::answer;
use super::failure::ArmFailure;
use super::list_polling::Key;
use super::metrics::RequestCounts;
use super::path;
use super::transport::Transport;
use super::wire::{Method, Response};
use super::writes::{Outcome, Spawn, Writes};
use crate::ports::clock::Clock;

/// API version of all requests.
pub const API_VERSION: &str = "2024-03-01";

/// How often a read is sent within one call.
const ATTEMPTS: u32 = 3;
/// Pause before the second attempt; doubled for the third.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A longer `Retry-After` is handed up instead of being waited for here.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Most pages of one list: beyond it, it goes in circles.
const MOST_PAGES: usize = 100;

/// Everything that sends requests to ARM.
pub struct Client {
    transport: Arc<Transport>,
    clock: Arc<dyn Clock>,
    writes: Writes,
    spawn: Spawn,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl Client {
    /// A client over this transport; `clock` times the pauses between attempts, `spawn` runs requests that change something.
    pub fn new(transport: Arc<Transport>, clock: Arc<dyn Clock>, spawn: Spawn) -> Self {
        Self { transport, clock, writes: Writes::default(), spawn }
    }

    /// Requests so far, those for tokens included.
    pub fn counts(&self) -> &RequestCounts {
        self.transport.counts()
    }

    /// The URL with these path segments below ARM's address.
    pub(super) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Result<Url, ArmFailure> {
        path::url(self.transport.endpoint(), segments, API_VERSION)
    }

    /// Reads a resource.
    pub(super) async fn get(&self, url: &Url) -> Result<Body, ArmFailure> {
        self.read(Method::GET, url, None).await
    }

    /// Asks a question that needs a body and changes nothing.
    pub(super) async fn ask(&self, url: &Url, body: &Value) -> Result<Body, ArmFailure> {
        self.read(Method::POST, url, Some(body)).await
    }

    /// All pages of a list, entry by entry; entries that `read` does not understand are left out.
    pub(super) async fn list<T>(
        &self,
        first: Url,
        mut read: impl FnMut(Value) -> Option<T>,
    ) -> Result<Vec<T>, ArmFailure> {
        let (mut entries, mut url) = (Vec::new(), first);
        for _ in 0..MOST_PAGES {
            let mut page = self.get(&url).await?;
            let Some(Value::Array(value)) = page.json.get_mut("value").map(Value::take) else {
                return Err(page.unreadable("the page of a list has no entries (`value`)"));
            };
            entries.extend(value.into_iter().filter_map(&mut read));
            match page.json.get("nextLink").and_then(Value::as_str).filter(|link| !link.is_empty()) {
                Some(link) => url = next_page(&url, link)?,
                None => return Ok(entries),
            }
        }
        let message = format!("a list of more than {MOST_PAGES} pages");
        Err(ArmFailure::Unreadable { message, is_arms: true })
    }

    /// Creates or updates the resource with this key, or meets the same request that has no response yet. `note` sees the
    /// outcome of what this call sent, also if the caller is gone by then.
    pub(super) async fn put(&self, key: Key, url: &Url, body: &Value, note: impl Note) -> Outcome {
        self.write(key, Method::PUT, url, Some(body), note).await
    }

    /// Deletes the resource with this key, as [`Self::put`] creates one.
    pub(super) async fn delete(&self, key: Key, url: &Url, note: impl Note) -> Outcome {
        self.write(key, Method::DELETE, url, None, note).await
    }

    async fn write(&self, key: Key, method: Method, url: &Url, body: Option<&Value>, note: impl Note) -> Outcome {
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut renewed = false;
        loop {
            let outcome = if let Some(outcome) = self.writes.meet(&key, &method, &bytes).await {
                outcome
            } else {
                let admitted = self.transport.admit(method.clone(), url, body).await?;
                self.writes.send(key.clone(), method.clone(), admitted, &self.spawn, note.clone()).await
            };
            match outcome {
                Err(failure) if failure.is_token_refused() && !renewed => renewed = true,
                outcome => return outcome,
            }
        }
    }

    async fn read(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Body, ArmFailure> {
        let (mut attempt, mut renewed) = (1, false);
        loop {
            let failure = match self.read_once(method.clone(), url, body).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if failure.is_token_refused() && !renewed {
                renewed = true;
                continue;
            }
            let Some(pause) = pause(&failure, attempt) else { return Err(failure) };
            tracing::debug!(%failure, attempt, pause_seconds = pause.as_secs_f64(), "a read failed; trying again");
            self.clock.sleep(pause).await;
            attempt += 1;
        }
    }

    async fn read_once(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Body, ArmFailure> {
        Body::read(&self.transport.admit(method, url, body).await?.exchange().await?)
    }
}

/// Notes how a write ended.
pub(super) trait Note: Fn(&Outcome) + Clone + Send + 'static {}

impl<F: Fn(&Outcome) + Clone + Send + 'static> Note for F {}

/// Between half of `pause` and one and a half times it. The standard library's hasher is seeded by the system for every map,
/// which is random enough here.
fn jittered(pause: Duration) -> Duration {
    let number = RandomState::new().build_hasher().finish() % 1000;
    pause / 2 + pause.saturating_mul(u32::try_from(number).unwrap_or(0)) / 1000
}

/// The pause before a read is tried again; `None` if that is not for this call to do.
fn pause(failure: &ArmFailure, attempt: u32) -> Option<Duration> {
    use crate::ports::cloud::CloudErrorKind::{Throttled, Unavailable, Unreadable};
    if attempt >= ATTEMPTS {
        return None;
    }
    match (failure.kind(), failure) {
        // Tokens have attempts of their own, and a link elsewhere stays where it is.
        (_, ArmFailure::Token(_) | ArmFailure::ForeignHost(..)) => return None,
        (Throttled | Unavailable | Unreadable, _) => {}
        _ => return None,
    }
    let asked = failure.retry_after();
    if asked.is_some_and(|asked| asked > LONGEST_PAUSE) {
        return None;
    }
    let doubled = jittered(FIRST_PAUSE.saturating_mul(1 << (attempt - 1)));
    Some(asked.map_or(doubled, |asked| asked.max(doubled)))
}

/// The next page of a list; links may be relative, and may leave out the API version.
fn next_page(page: &Url, link: &str) -> Result<Url, ArmFailure> {
    let unreadable =
        |_| ArmFailure::Unreadable { message: "the link to the next page is not a URL".to_owned(), is_arms: true };
    let mut next = page.join(link).map_err(unreadable)?;
    if !next.query_pairs().any(|(key, _)| key.eq_ignore_ascii_case("api-version")) {
        next.query_pairs_mut().append_pair("api-version", API_VERSION);
    }
    Ok(next)
}

/// The body of a success.
#[derive(Debug)]
pub(super) struct Body {
    /// As JSON.
    pub(super) json: Value,
    is_arms: bool,
}

impl Body {
    /// The body of a response; fails if it is not JSON.
    pub(super) fn read(response: &Response) -> Result<Self, ArmFailure> {
        let is_arms = answer::is_arms(response);
        match serde_json::from_slice(&response.body) {
            Ok(json) => Ok(Self { json, is_arms }),
            Err(_) => Err(ArmFailure::Unreadable { message: answer::beginning(&response.body), is_arms }),
        }
    }

    /// It is JSON, but not what was requested.
    pub(super) fn unreadable(&self, message: impl Into<String>) -> ArmFailure {
        ArmFailure::Unreadable { message: message.into(), is_arms: self.is_arms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_near_the_pause() {
        let pauses: Vec<Duration> = (0..200).map(|_| jittered(Duration::from_secs(2))).collect();
        assert!(pauses.iter().all(|pause| (1000..3000).contains(&pause.as_millis())), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
