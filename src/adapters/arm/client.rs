//! [`Client`]: reads, lists and writes of ARM over one [`Transport`].
//!
//! Reads are tried a few times as long as that may help soon; a write is sent once. Only a token that ARM did not accept is
//! replaced, and the request sent once more, since ARM has not acted then.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::answer;
use super::failure::ArmFailure;
use super::path;
use super::random;
use super::transport::{Admitted, Transport};
use super::wire::{Method, WireAnswer};
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
#[derive(Debug)]
pub struct Client {
    transport: Arc<Transport>,
    clock: Arc<dyn Clock>,
}

impl Client {
    /// A client over this transport; `clock` times the pauses between attempts.
    pub fn new(transport: Arc<Transport>, clock: Arc<dyn Clock>) -> Self {
        Self { transport, clock }
    }

    /// The URL with these path segments below ARM's address.
    pub(super) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Result<Url, ArmFailure> {
        path::url(self.transport.endpoint(), segments, API_VERSION)
    }

    /// Reads a resource.
    pub(super) async fn get(&self, url: &Url) -> Result<Body, ArmFailure> {
        self.read(Method::Get, url, None).await
    }

    /// Asks a question that needs a body and changes nothing.
    pub(super) async fn ask(&self, url: &Url, body: &Value) -> Result<Body, ArmFailure> {
        self.read(Method::Post, url, Some(body)).await
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

    /// A request that changes something, ready to be sent.
    pub(super) async fn admit(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Admitted, ArmFailure> {
        self.transport.admit(method, url, body).await
    }

    async fn read(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Body, ArmFailure> {
        let (mut attempt, mut renewed) = (1, false);
        loop {
            let failure = match self.read_once(method, url, body).await {
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
    let doubled = random::jittered(FIRST_PAUSE.saturating_mul(1 << (attempt - 1)));
    Some(asked.map_or(doubled, |asked| asked.max(doubled)))
}

/// The next page of a list; links may be relative, and may leave out the API version.
fn next_page(page: &Url, link: &str) -> Result<Url, ArmFailure> {
    let unreadable =
        |_| ArmFailure::Unreadable { message: "the link to the next page is no URL".to_owned(), is_arms: true };
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
    /// The body of an answer; fails if it is not JSON.
    pub(super) fn read(answer: &WireAnswer) -> Result<Self, ArmFailure> {
        let is_arms = answer::is_arms(answer);
        match serde_json::from_slice(&answer.body) {
            Ok(json) => Ok(Self { json, is_arms }),
            Err(_) => Err(ArmFailure::Unreadable { message: answer::beginning(&answer.body), is_arms }),
        }
    }

    /// It is JSON, but not what was asked for.
    pub(super) fn unreadable(&self, message: impl Into<String>) -> ArmFailure {
        ArmFailure::Unreadable { message: message.into(), is_arms: self.is_arms }
    }
}
