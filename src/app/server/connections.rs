//! [`Connections`]: the number of connected clients.
//!
//! csi-provisioner exits at once when its connection is lost, without releasing its lease, so the shutdown waits until all
//! clients have disconnected.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tonic::transport::server::Connected;

/// Counts connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections(watch::Sender<usize>);

impl Connections {
    /// Waits until no client is connected.
    pub(super) async fn none(&self) {
        // Cannot fail: the sender lives as long as `self`.
        drop(self.0.subscribe().wait_for(|count| *count == 0).await);
    }

    /// How many are connected.
    pub(super) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Counts a connection until it is closed.
    pub(super) fn counted<C>(&self, connection: C) -> Counted<C> {
        self.0.send_modify(|count| *count += 1);
        Counted { connection, _guard: CountGuard(self.0.clone()) }
    }
}

#[derive(Debug)]
struct CountGuard(watch::Sender<usize>);

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub(super) struct Counted<C> {
    connection: C,
    _guard: CountGuard,
}

impl<C: Connected> Connected for Counted<C> {
    type ConnectInfo = C::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.connection.connect_info()
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Counted<C> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Counted<C> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}
