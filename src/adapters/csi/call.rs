//! [`Call`]: what all RPCs share: span, deadline, panic handling, and one log line.
//!
//! Tonic drops a handler when its caller disconnects or its `grpc-timeout` passes, and a panic would cost the caller's
//! connection. A change that has begun must run to its end, since half of it would stay behind; so calls that change
//! something run in a task of their own, and only the wait for them can be dropped.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tonic::metadata::MetadataMap;
use tonic::{Code, Response, Status};
use tracing::field::{Empty, debug};
use tracing::{Instrument, Span, debug, debug_span, error, error_span, info, warn};

use super::running_calls::RunningCalls;
use super::status;

/// The result of an RPC.
pub(super) type Reply<T> = Result<Response<T>, Status>;

/// One RPC, from its arrival to its response.
pub(super) struct Call {
    method: &'static str,
    /// The volume; empty where the call is about none, or changes nothing.
    volume: String,
    span: Span,
    arrived: Instant,
    changes: bool,
}

impl Call {
    /// A call about no volume: logged at level debug only, so that it costs next to nothing.
    pub(super) fn without_volume(method: &'static str) -> Self {
        let span = debug_span!("rpc", method, code = Empty, duration_ms = Empty);
        Self { method, volume: String::new(), span, arrived: Instant::now(), changes: false }
    }

    /// A call that only reads a volume.
    pub(super) fn reading(method: &'static str, volume: &str) -> Self {
        // Of the highest level, so that each event inside names its call, whatever the log level.
        let span = error_span!("rpc", method, volume, code = Empty, duration_ms = Empty);
        Self { method, volume: String::new(), span, arrived: Instant::now(), changes: false }
    }

    /// A call that changes something about a volume; a success is worth a line in the log.
    pub(super) fn changing(method: &'static str, volume: &str) -> Self {
        Self { changes: true, volume: volume.to_owned(), ..Self::reading(method, volume) }
    }

    /// Runs `work` in the handler; it is dropped when the caller disconnects.
    pub(super) async fn in_place<T>(self, work: impl Future<Output = Result<T, Status>>) -> Reply<T> {
        let outcome = AssertUnwindSafe(work.instrument(self.span.clone())).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(status::panicked(self.method, self.changes)));
        self.log(outcome.as_ref().err());
        outcome.map(Response::new)
    }

    /// Runs `call` to its end, also when the caller disconnects. A call that never waits needs no task; any other becomes one
    /// of the running calls, which the process waits for before it ends. Nothing begins once the process is stopping.
    pub(super) async fn run_to_end<T, F>(mut self, running: &RunningCalls, call: F) -> Reply<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Status>> + Send + 'static,
    {
        let method = self.method;
        if running.stopping().is_cancelled() {
            return self.in_place(async { Err(status::stopping(method)) }).await;
        }
        let volume = std::mem::take(&mut self.volume);
        let mut whole = Box::pin(self.in_place(call));
        if let Some(reply) = whole.as_mut().now_or_never() {
            return reply;
        }
        // Between the first poll and the task nothing is awaited, so nothing can be dropped.
        let unfinished = running.register(method, volume);
        let task = async move {
            let _unfinished = unfinished;
            whole.await
        };
        running.tasks().spawn(task).await.unwrap_or_else(|_| Err(status::stopping(method)))
    }

    /// The one log line of a call.
    fn log(self, failure: Option<&Status>) {
        let took = self.arrived.elapsed().as_secs_f64() * 1000.0;
        let code = failure.map_or(Code::Ok, Status::code);
        let span = match failure {
            Some(_) if self.span.is_disabled() => {
                error_span!("rpc", method = self.method, code = Empty, duration_ms = Empty)
            }
            _ => self.span,
        };
        span.record("code", debug(code)).record("duration_ms", took);
        span.in_scope(|| match failure {
            Some(failure) if code == Code::Internal => error!("{}", failure.message()),
            Some(failure) => warn!("{}", failure.message()),
            None if self.changes => info!("done"),
            None => debug!("done"),
        });
    }
}

/// Refuses an RPC that is not offered.
pub(super) async fn not_offered<T>(method: &'static str) -> Reply<T> {
    Call::without_volume(method).in_place(async { Err(status::not_offered(method)) }).await
}

/// Methods of a service trait that are not offered, as `async_trait` writes them.
macro_rules! not_offered_methods {
    ($($method:ident($request:ty) -> $response:ty = $name:literal;)*) => {
        $(fn $method<'life0, 'async_trait>(
            &'life0 self,
            _: ::tonic::Request<$request>,
        ) -> ::std::pin::Pin<Box<dyn Future<Output = $crate::adapters::csi::call::Reply<$response>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
        {
            Box::pin($crate::adapters::csi::call::not_offered($name))
        })*
    };
}
pub(super) use not_offered_methods;

/// How long the caller will wait, if it says so in a way that can be read.
pub(super) fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    metadata.get("grpc-timeout")?.to_str().ok().and_then(parse_timeout)
}

/// Reads a `grpc-timeout`: at most 8 digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        for (text, expected) in [
            ("2H", Duration::from_hours(2)),
            ("15M", Duration::from_mins(15)),
            ("0S", Duration::ZERO),
            ("99999999H", Duration::from_hours(99_999_999)),
            ("250m", Duration::from_millis(250)),
            ("5000000u", Duration::from_secs(5)),
            ("1n", Duration::from_nanos(1)),
        ] {
            assert_eq!(parse_timeout(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_unreadable_timeout_is_none() {
        for text in ["", "S", "10", "123456789S", "-1S", "+1S", "1.5S", "1s", "1 S", "1é", "é", "0x1S", " 1S", "1SS"]
        {
            assert_eq!(parse_timeout(text), None, "{text:?}");
        }
        assert_eq!(timeout(&MetadataMap::new()), None);
    }
}
