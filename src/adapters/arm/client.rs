//! The generated clients and our own pipeline, over one transport.
//!
//! Why both: the generated ones do reads well; what changes something, and what their API version does not know, goes
//! through the same pipeline by hand, so that status, headers and body of every answer stay visible. New API versions and
//! resource types need nothing but a call of [`Client::send`].

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::headers::{AUTHORIZATION, CONTENT_TYPE};
use azure_core::{BytesStream, ClientOptions, Context, HttpClient, Pipeline, Request, Response, RetryOptions};
use azure_core::{Pageable, TransportOptions};
use azure_mgmt_network::package_2024_03 as network;
use azure_mgmt_storagecache::package_2024_03 as storage;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::failure::{ArmFailure, beginning};
use super::random;
use super::transport::{Tokens, Transport};
use super::wire::Method;
use crate::ports::clock::Clock;

/// API version of file systems. The generated clients are of the same one.
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
    /// For single resources.
    pub storage: storage::Client,
    /// For lists of SKUs.
    pub skus: storage::Client,
    /// For lists of subnets' use.
    pub networks: network::Client,
    transport: Arc<Transport>,
    pipeline: Pipeline,
    tokens: Arc<dyn Tokens>,
    scope: String,
    endpoint: Url,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Clients for `endpoint` that ask for tokens of `scope`.
    pub fn new(
        transport: &Arc<Transport>,
        endpoint: Url,
        tokens: Arc<dyn Tokens>,
        scope: String,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let plain = || options(Arc::clone(transport) as Arc<dyn HttpClient>);
        let storage = |options| {
            let tokens = Arc::clone(&tokens) as Arc<dyn azure_core::auth::TokenCredential>;
            storage::Client::new(endpoint.clone(), tokens, vec![scope.clone()], options)
        };
        let credential = Arc::clone(&tokens) as Arc<dyn azure_core::auth::TokenCredential>;
        let usages = options(Tidy::<network::models::VirtualNetworkUsage>::over(transport));
        Self {
            storage: storage(plain()),
            skus: storage(options(Tidy::<storage::models::ResourceSku>::over(transport))),
            networks: network::Client::new(endpoint.clone(), credential, vec![scope.clone()], usages),
            transport: Arc::clone(transport),
            pipeline: Pipeline::new(None, None, plain(), Vec::new(), Vec::new()),
            tokens,
            scope,
            endpoint,
            clock,
        }
    }

    /// Where ARM is.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// The entries of a list of file systems, as `read` understands them; others are left out. The generated client turns
    /// the pages, and sees empty ones: its model would fail for one odd file system.
    pub async fn list<T: Send + 'static>(
        &self,
        read: fn(&Value) -> Option<T>,
        list: impl FnOnce(&storage::Client) -> Pageable<storage::models::AmlFilesystemsListResult, azure_core::Error>,
    ) -> Result<Vec<T>, ArmFailure> {
        let taken = Arc::new(Taken { transport: Arc::clone(&self.transport), read, entries: Mutex::default() });
        let credential = Arc::clone(&self.tokens) as Arc<dyn azure_core::auth::TokenCredential>;
        let http = options(Arc::clone(&taken) as Arc<dyn HttpClient>);
        let client = storage::Client::new(self.endpoint.clone(), credential, vec![self.scope.clone()], http);
        pages(list(&client)).await?;
        Ok(std::mem::take(&mut *taken.entries.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Sends a request by hand. It is sent once; only a token that ARM did not accept is replaced and tried once more,
    /// since ARM has not acted then.
    pub async fn send(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Response, ArmFailure> {
        match self.send_once(method, url, body).await {
            Err(ArmFailure::Answer(answer)) if answer.is_token_refused() => self.send_once(method, url, body).await,
            other => other,
        }
    }

    async fn send_once(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Response, ArmFailure> {
        let mut request = Request::new(url.clone(), core_method(method));
        let token = self.tokens.get_token(&[&self.scope]).await?;
        request.insert_header(AUTHORIZATION, format!("Bearer {}", token.token.secret()));
        if let Some(body) = body {
            request.insert_header(CONTENT_TYPE, "application/json");
            request.set_json(body)?;
        }
        Ok(self.pipeline.send(&Context::default(), &mut request).await?)
    }

    /// Reads with a few attempts, as long as trying again soon may help; and once more with a new token.
    pub async fn read<T, R>(&self, mut once: impl FnMut() -> R) -> Result<T, ArmFailure>
    where
        R: Future<Output = Result<T, ArmFailure>>,
    {
        let (mut attempt, mut renewed) = (1, false);
        loop {
            let failure = match once().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if matches!(&failure, ArmFailure::Answer(answer) if answer.is_token_refused()) && !renewed {
                renewed = true;
                continue;
            }
            let Some(pause) = pause(&failure, attempt) else { return Err(failure) };
            tracing::debug!(%failure, attempt, pause_seconds = pause.as_secs_f64(), "a read failed; trying again");
            self.clock.sleep(pause).await;
            attempt += 1;
        }
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

/// Every page of a list.
pub async fn pages<P>(mut list: Pageable<P, azure_core::Error>) -> Result<Vec<P>, ArmFailure> {
    let mut pages = Vec::new();
    while let Some(page) = list.next().await {
        pages.push(page?);
        if pages.len() > MOST_PAGES {
            return Err(ArmFailure::Unreadable(format!("a list of more than {MOST_PAGES} pages")));
        }
    }
    Ok(pages)
}

/// The body of an answer as JSON.
pub async fn json(response: Response) -> Result<Value, ArmFailure> {
    let bytes = response.into_body().collect().await?;
    serde_json::from_slice(&bytes).map_err(|_| ArmFailure::Unreadable(beginning(&bytes)))
}

fn options(http: Arc<dyn HttpClient>) -> ClientOptions {
    ClientOptions::default().transport(TransportOptions::new(http)).retry(RetryOptions::none())
}

fn core_method(method: Method) -> azure_core::Method {
    match method {
        Method::Get => azure_core::Method::Get,
        Method::Put => azure_core::Method::Put,
        Method::Patch => azure_core::Method::Patch,
        Method::Post => azure_core::Method::Post,
        Method::Delete => azure_core::Method::Delete,
    }
}

/// Takes out of a page what the generated model `M` could not read, so that one odd entry does not hide the others.
struct Tidy<M> {
    transport: Arc<Transport>,
    model: PhantomData<fn() -> M>,
}

impl<M> Tidy<M>
where
    M: DeserializeOwned + 'static,
{
    fn over(transport: &Arc<Transport>) -> Arc<dyn HttpClient> {
        Arc::new(Self { transport: Arc::clone(transport), model: PhantomData })
    }
}

impl<M> std::fmt::Debug for Tidy<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tidy").field(&self.transport).finish()
    }
}

#[async_trait]
impl<M: DeserializeOwned + 'static> HttpClient for Tidy<M> {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        let (status, headers, body) = self.transport.execute_request(request).await?.deconstruct();
        let body = tidy::<M>(&body.collect().await?)
            .map_err(|failure| azure_core::Error::new(azure_core::error::ErrorKind::Other, failure))?;
        Ok(Response::new(status, headers, Box::pin(BytesStream::new(body))))
    }
}

/// Takes the entries out of each page.
struct Taken<T> {
    transport: Arc<Transport>,
    read: fn(&Value) -> Option<T>,
    entries: Mutex<Vec<T>>,
}

impl<T> std::fmt::Debug for Taken<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Taken").field(&self.transport).finish()
    }
}

#[async_trait]
impl<T: Send + 'static> HttpClient for Taken<T> {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        let (status, headers, body) = self.transport.execute_request(request).await?.deconstruct();
        let body = body.collect().await?;
        let mut page: Value = serde_json::from_slice(&body).map_err(|_| unreadable(&body))?;
        let Some(entries) = page.get_mut("value").and_then(Value::as_array_mut) else { return Err(unreadable(&body)) };
        let read = entries.drain(..).filter_map(|entry| (self.read)(&entry));
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).extend(read);
        Ok(Response::new(status, headers, Box::pin(BytesStream::new(serde_json::to_vec(&page)?))))
    }
}

fn unreadable(body: &[u8]) -> azure_core::Error {
    azure_core::Error::new(azure_core::error::ErrorKind::Other, ArmFailure::Unreadable(beginning(body)))
}

fn tidy<M: DeserializeOwned>(body: &[u8]) -> Result<Bytes, ArmFailure> {
    let mut page: Value = serde_json::from_slice(body).map_err(|_| ArmFailure::Unreadable(beginning(body)))?;
    let Some(entries) = page.get_mut("value").and_then(Value::as_array_mut) else {
        return Err(ArmFailure::Unreadable(beginning(body)));
    };
    entries.retain(|entry| {
        let read = M::deserialize(entry);
        if let Err(error) = &read {
            let name = entry.get("name").and_then(Value::as_str).unwrap_or("without a name");
            tracing::warn!(name, %error, "an entry of a list makes no sense and is left out");
        }
        read.is_ok()
    });
    if page.get("nextLink").is_some_and(|link| !link.is_string()) {
        page["nextLink"] = Value::Null;
    }
    serde_json::to_vec(&page).map(Bytes::from).map_err(|error| ArmFailure::Unreadable(error.to_string()))
}
