//! How many calls are under way.
//!
//! Why it exists: the transport waits at its end for connections, and one whose client is silent or suspended would hold
//! the process until its time is over. Only calls are worth waiting for, so they are counted.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tower::{Layer, Service};

/// Counts the calls of every service that it is laid round.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(watch::Sender<usize>);

impl Calls {
    /// Waits until none was under way for a whole `pause`, which is time for the last answers to leave.
    pub(super) async fn none_for(&self, pause: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // Neither wait can fail: the sender lives as long as `self`.
            drop(count.wait_for(|calls| *calls == 0).await);
            if tokio::time::timeout(pause, count.wait_for(|calls| *calls > 0)).await.is_err() {
                return;
            }
        }
    }

    fn begin(&self) -> Call {
        self.0.send_modify(|calls| *calls += 1);
        Call(self.0.clone())
    }
}

/// A call under way. Dropping it ends it, however it ended: answered, given up by its client, or in a panic.
#[derive(Debug)]
struct Call(watch::Sender<usize>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}

impl<S> Layer<S> for Calls {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, calls: self.clone() }
    }
}

/// A service whose calls are counted.
#[derive(Debug, Clone)]
pub(super) struct Counted<S> {
    inner: S,
    calls: Calls,
}

impl<S, R> Service<R> for Counted<S>
where
    S: Service<R, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let call = self.calls.begin();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(call);
            answer
        })
    }
}
