//! One HTTP exchange, as bytes: the seam below everything that is known about ARM.
//!
//! Why it exists: what can go wrong on the way (a reset before or after the server has read the request, silence, half a
//! body) decides whether a file system may exist. Tests put a wire of their own here and play each of these on time that
//! they turn; in production it is [`HttpWire`](super::http::HttpWire).

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use crate::ports::Cause;

/// The methods that the adapter uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or updates.
    Put,
    /// Changes.
    Patch,
    /// Asks a question that needs a body.
    Post,
    /// Deletes.
    Delete,
}

impl Method {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request, complete. Its `Debug` shows neither headers nor query, which hold the token and signatures.
#[derive(Clone)]
pub struct WireRequest {
    /// Method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body; may be empty.
    pub body: Bytes,
    /// The whole exchange has to be over within this time.
    pub time_limit: Duration,
    /// Longest body that is accepted, in bytes.
    pub size_limit: usize,
}

impl fmt::Debug for WireRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url.path())
    }
}

/// An answer, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case; of repeated ones the last.
    pub headers: BTreeMap<String, String>,
    /// Body, whole.
    pub body: Bytes,
}

/// Why there is no answer. None of these says whether the server acted on the request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WireError {
    /// No connection, or it broke.
    #[error("no answer: {}", in_words(&**.0))]
    Broken(#[source] Cause),
    /// The time limit passed.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The body is longer than the limit.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

impl WireError {
    /// No connection, or it broke, for this reason.
    pub fn broken(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Broken(Cause::from(cause.into()))
    }
}

/// The whole chain, innermost last: "client error (Connect): dns error: …".
fn in_words(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let mut words: Vec<String> = chain.map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

/// A way to send a request.
#[async_trait]
pub trait Wire: Send + Sync + fmt::Debug {
    /// Sends one request and reads the whole answer. Never follows redirects, never repeats.
    async fn exchange(&self, request: WireRequest) -> Result<WireAnswer, WireError>;
}
