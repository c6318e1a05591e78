//! [`Client`]: `get`, `list`, `post`, `put` and `delete` of ARM over one `Pipeline`.
//!
//! Reads are repeated a few times where that may help soon; a write is sent once, as a task of its own. If ARM does not
//! accept the token, it has not acted: then the request is sent once more with a new token.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use url::Url;

use super::error::{ArmError, response};
use super::http::metrics::RequestCounts;
use super::http::{Method, Response};
use super::pipeline::Pipeline;
use super::urls::{API_VERSION, FilesystemKey, Urls};
use super::writes::{Spawn, WriteResult, Writes};
use crate::ports::cloud::CloudErrorKind::{Throttled, Unavailable, Unreadable};

/// How often a read is sent within one call.
const ATTEMPTS: u32 = 3;
/// Pause before the second attempt; doubled for the third.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A longer `Retry-After` is reported to the caller at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Pages of one list at most, so that links in a circle end.
const MAX_PAGES: usize = 100;

/// Sends requests to ARM.
pub struct Client {
    pipeline: Arc<Pipeline>,
    pub(super) urls: Urls,
    writes: Writes,
    spawn: Spawn,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("pipeline", &self.pipeline).finish_non_exhaustive()
    }
}

impl Client {
    /// A client over this pipeline; `spawn` runs PUT and DELETE.
    pub(super) fn new(pipeline: Pipeline, urls: Urls, spawn: Spawn) -> Self {
        Self { pipeline: Arc::new(pipeline), urls, writes: Writes::default(), spawn }
    }

    /// Metrics of all requests, those for tokens included.
    pub fn counts(&self) -> &RequestCounts {
        self.pipeline.http.counts()
    }

    /// Reads a resource.
    pub(super) async fn get(&self, url: &Url) -> Result<Body, ArmError> {
        self.read(Method::GET, url, None).await
    }

    /// Calls an operation that takes a body and changes nothing.
    pub(super) async fn post(&self, url: &Url, body: &Value) -> Result<Body, ArmError> {
        self.read(Method::POST, url, Some(body)).await
    }

    /// All pages of a list, entry by entry; entries for which `parse` returns `None` are left out.
    /// <https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md#collections>
    pub(super) async fn list<T>(
        &self,
        mut url: Url,
        mut parse: impl FnMut(Value) -> Option<T>,
    ) -> Result<Vec<T>, ArmError> {
        let mut entries = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut page = self.get(&url).await?;
            let Some(Value::Array(value)) = page.json.get_mut("value").map(Value::take) else {
                return Err(page.unreadable("the page of a list has no entries (`value`)"));
            };
            entries.extend(value.into_iter().filter_map(&mut parse));
            match page.json.get("nextLink").and_then(Value::as_str).filter(|link| !link.is_empty()) {
                Some(link) => url = next_page(&url, link)?,
                None => return Ok(entries),
            }
        }
        Err(ArmError::Unreadable { message: format!("a list of more than {MAX_PAGES} pages"), from_arm: true })
    }

    /// Creates or updates a file system, or joins the same request in flight. `on_result` gets the result of what this call
    /// sent, even if the caller has left by then.
    pub(super) async fn put(
        &self,
        key: FilesystemKey,
        url: &Url,
        body: &Value,
        on_result: impl OnResult,
    ) -> WriteResult {
        self.write(key, Method::PUT, url, Some(body), on_result).await
    }

    /// Deletes a file system, as [`Self::put`] creates one.
    pub(super) async fn delete(&self, key: FilesystemKey, url: &Url, on_result: impl OnResult) -> WriteResult {
        self.write(key, Method::DELETE, url, None, on_result).await
    }

    async fn write(
        &self,
        key: FilesystemKey,
        method: Method,
        url: &Url,
        body: Option<&Value>,
        on_result: impl OnResult,
    ) -> WriteResult {
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut token_renewed = false;
        loop {
            let result = if let Some(result) = self.writes.join(&key, &method, &bytes).await {
                result
            } else {
                let admitted = self.pipeline.admit(method.clone(), url, body).await?;
                self.writes.send(key.clone(), admitted, &self.spawn, on_result.clone()).await
            };
            match result {
                Err(error) if error.is_token_refused() && !token_renewed => token_renewed = true,
                result => return result,
            }
        }
    }

    async fn read(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Body, ArmError> {
        let (mut attempt, mut token_renewed) = (1, false);
        loop {
            let error = match self.read_once(method.clone(), url, body).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            if error.is_token_refused() && !token_renewed {
                token_renewed = true;
                continue;
            }
            let Some(pause) = pause(&error, attempt) else { return Err(error) };
            tracing::debug!(%error, attempt, pause_seconds = pause.as_secs_f64(), "a read failed; trying again");
            self.pipeline.http.clock().sleep(pause).await;
            attempt += 1;
        }
    }

    async fn read_once(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Body, ArmError> {
        Body::parse(&self.pipeline.admit(method, url, body).await?.send().await?)
    }
}

/// Gets the result of a write.
pub(super) trait OnResult: Fn(&WriteResult) + Clone + Send + 'static {}

impl<F: Fn(&WriteResult) + Clone + Send + 'static> OnResult for F {}

/// Between half of `pause` and one and a half times it. The system seeds the standard library's hasher for every map, which
/// is random enough here.
fn jittered(pause: Duration) -> Duration {
    let number = RandomState::new().build_hasher().finish() % 1000;
    pause / 2 + pause.saturating_mul(u32::try_from(number).unwrap_or(0)) / 1000
}

/// The pause before a read is repeated; `None` if it is not.
fn pause(error: &ArmError, attempt: u32) -> Option<Duration> {
    let retry_after = error.retry_after();
    // Credentials repeat their own requests, and a link to another origin stays one.
    let is_transient = !matches!(error, ArmError::Token(_) | ArmError::OtherOrigin(..))
        && matches!(error.kind(), Throttled | Unavailable | Unreadable);
    if attempt >= ATTEMPTS || !is_transient || retry_after.is_some_and(|pause| pause > LONGEST_PAUSE) {
        return None;
    }
    let doubled = jittered(FIRST_PAUSE.saturating_mul(1 << (attempt - 1)));
    Some(retry_after.map_or(doubled, |pause| pause.max(doubled)))
}

/// The URL of the next page; links may be relative, and may leave out the API version.
fn next_page(page: &Url, link: &str) -> Result<Url, ArmError> {
    let unreadable =
        |_| ArmError::Unreadable { message: "the link to the next page is not a URL".to_owned(), from_arm: true };
    let mut next = page.join(link).map_err(unreadable)?;
    if !next.query_pairs().any(|(key, _)| key.eq_ignore_ascii_case("api-version")) {
        next.query_pairs_mut().append_pair("api-version", API_VERSION);
    }
    Ok(next)
}

/// The body of a success.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) json: Value,
    from_arm: bool,
}

impl Body {
    /// Parses a response's body; fails if it is not JSON.
    pub(super) fn parse(response: &Response) -> Result<Self, ArmError> {
        let from_arm = response::is_from_arm(response);
        match serde_json::from_slice(&response.body) {
            Ok(json) => Ok(Self { json, from_arm }),
            Err(_) => Err(ArmError::Unreadable { message: response::beginning(&response.body), from_arm }),
        }
    }

    /// The error that it is JSON, but not what was requested.
    pub(super) fn unreadable(&self, message: impl Into<String>) -> ArmError {
        ArmError::Unreadable { message: message.into(), from_arm: self.from_arm }
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
