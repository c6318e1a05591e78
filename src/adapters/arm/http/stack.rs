//! [`HttpStack`]: every request of the adapter, to ARM, to token endpoints and to an Azure Stack: request id, user agent,
//! metrics, and one log line without secrets.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, HeaderName, HeaderValue, USER_AGENT};
use url::Url;
use uuid::{Builder, Uuid};

use super::metrics::RequestCounts;
use super::{HttpClient, HttpError, Method, Request, Response};
use crate::ports::clock::Clock;

const USER_AGENT_VALUE: HeaderValue = HeaderValue::from_static(concat!("azurelustre-csi/", env!("CARGO_PKG_VERSION")));

/// Headers for the id of a request: the first is ARM's, the second Entra's.
const CLIENT_REQUEST_ID: [&str; 2] = ["x-ms-client-request-id", "client-request-id"];

/// Sends the adapter's requests and counts them.
#[derive(Debug)]
pub struct HttpStack {
    client: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    counts: RequestCounts,
}

impl HttpStack {
    /// A stack over this client; `clock` is the adapter's clock.
    pub fn new(client: Arc<dyn HttpClient>, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock, counts: RequestCounts::default() }
    }

    /// The adapter's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The time by the adapter's clock.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Metrics of all requests, those for tokens included.
    pub fn counts(&self) -> &RequestCounts {
        &self.counts
    }

    /// Sends a request once and reads the response, whatever its status, within the request's own limits.
    pub(in super::super) async fn send(&self, mut request: Request) -> Result<Response, HttpError> {
        let id = random_uuid().to_string();
        for name in CLIENT_REQUEST_ID {
            // A UUID is a valid header value.
            request.headers.extend(HeaderValue::from_str(&id).ok().map(|id| (HeaderName::from_static(name), id)));
        }
        request.headers.insert(USER_AGENT, USER_AGENT_VALUE);
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let (method, url) = (request.method.clone(), request.url.clone());
        let begun = self.now();
        let in_flight = self.counts.begin(&method, url.path());
        let response = self.client.send(request).await;
        let duration = self.now().saturating_sub(begun);
        in_flight.end(response.as_ref().ok().map(|response| response.status), duration);
        log(&method, &url, &id, &response, duration);
        response
    }
}

/// One line per request. The query is left out: the URL of an asynchronous operation carries a signature there.
fn log(
    method: &Method,
    url: &Url,
    client_request_id: &str,
    response: &Result<Response, HttpError>,
    duration: Duration,
) {
    let (host, path) = (url.host_str().unwrap_or_default(), url.path());
    let duration_seconds = duration.as_secs_f64();
    match response {
        Ok(response) => {
            let header = |name: &str| response.header(name).unwrap_or_default();
            let (request_id, correlation_id) = (header("x-ms-request-id"), header("x-ms-correlation-request-id"));
            let status = response.status.as_u16();
            tracing::debug!(
                %method, host, path, status, client_request_id, %request_id, %correlation_id, duration_seconds, "HTTP response"
            );
        }
        Err(error) => {
            tracing::debug!(%method, host, path, client_request_id, %error, duration_seconds, "no HTTP response");
        }
    }
}

/// A UUID of version 4, unique but not unpredictable: for request ids and ids of assertions. Its bits are those of the
/// standard library's hasher, which the system seeds by a call; `Uuid::new_v4` panics in a static binary whose root has no
/// `/dev/urandom`, as that of an image alone.
pub(in super::super) fn random_uuid() -> Uuid {
    let number = || u128::from(RandomState::new().build_hasher().finish());
    Builder::from_random_bytes(((number() << 64) | number()).to_be_bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_of_version_4_and_differ() {
        let uuids: std::collections::HashSet<Uuid> = (0..1000).map(|_| random_uuid()).collect();
        assert_eq!(uuids.len(), 1000);
        let kinds = uuids.iter().map(|uuid| (uuid.get_version_num(), uuid.get_variant()));
        assert!(kinds.into_iter().all(|kind| kind == (4, uuid::Variant::RFC4122)));
    }
}
