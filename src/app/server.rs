//! The gRPC server and its graceful shutdown.
//!
//! Kubernetes restarts the driver while volumes are being created and mounted. The server waits for what was sent to the cloud
//! or the kernel, and for clients to disconnect, but never longer than kubelet's grace period.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpIncoming};

use self::bind::Listener;
use self::connections::Connections;
mod bind;
mod connections;
mod error;

pub use bind::Bound;
pub use error::ServerError;

/// How long calls in progress and connected clients are waited for: of kubelet's 30 seconds
/// (`terminationGracePeriodSeconds`), some remain for the rest of the shutdown.
pub const DRAIN: Duration = Duration::from_secs(25);

/// Calls at once on one connection. kubelet and the sidecars use one connection each; further calls wait at the client.
const STREAMS_PER_CONNECTION: u32 = 256;

/// Pause after a failed accept: usually the process is out of file descriptors, and another accept at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The services' calls that may outlive their callers, and the token that announces the shutdown.
#[derive(Clone, Default)]
pub struct ServiceCalls {
    /// Calls that outlive their callers.
    pub tasks: TaskTracker,
    /// Cancelled when the shutdown begins: calls that only wait are answered, and new ones refused.
    pub stopping: CancellationToken,
    /// The calls that are not finished, for the log.
    pub unfinished: Option<Arc<dyn Fn() -> Vec<String> + Send + Sync>>,
}

impl std::fmt::Debug for ServiceCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceCalls").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}

impl From<TaskTracker> for ServiceCalls {
    fn from(tasks: TaskTracker) -> Self {
        Self { tasks, ..Self::default() }
    }
}

/// Serves until `stop` ends. Then calls that only wait are answered by the services, and new ones refused, while the socket
/// stays and connections stay open: csi-provisioner would exit at once if it lost its own, without releasing its lease. The
/// shutdown ends when every client has disconnected and calls without a caller are finished, or after `drain`; what is not
/// finished by then is cancelled and named in the log. The socket file is removed when this returns.
pub async fn serve(
    bound: Bound,
    routes: Routes,
    calls: impl Into<ServiceCalls>,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> Result<(), ServerError> {
    let Bound { listener, file, address } = bound;
    let calls = calls.into();
    tracing::info!(endpoint = address, "serving");
    let result = match listener {
        Listener::Unix(listener) => run(routes, calls, UnixListenerStream::new(listener), stop, drain).await,
        Listener::Tcp(listener) => {
            run(routes, calls, TcpIncoming::from(listener).with_nodelay(Some(true)), stop, drain).await
        }
    };
    drop(file);
    result
}

async fn run<I, C>(
    routes: Routes,
    calls: ServiceCalls,
    incoming: I,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> Result<(), ServerError>
where
    I: Stream<Item = std::io::Result<C>>,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let connections = Connections::default();
    let counted = connections.clone();
    let incoming = incoming.then(pause_after_error).map(|accepted| accepted.map(|io| counted.counted(io)));
    let mut builder = Server::builder().max_concurrent_streams(STREAMS_PER_CONNECTION);
    let mut server = pin!(builder.add_routes(routes).serve_with_incoming(incoming));
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = stop => calls.stopping.cancel(),
    }
    let finished = async {
        connections.none().await;
        calls.tasks.close();
        calls.tasks.wait().await;
    };
    tokio::select! {
        ended = &mut server => ended?,
        () = finished => {}
        () = tokio::time::sleep(drain) => {
            let unfinished = calls.unfinished.map(|unfinished| unfinished()).unwrap_or_default();
            // Requests to the cloud whose calls were answered before count too.
            let tasks = calls.tasks.len();
            if unfinished.is_empty() && tasks == 0 {
                tracing::debug!(connections = connections.count(), "some clients stayed connected; not waiting for them");
            } else {
                let (seconds, calls) = (drain.as_secs(), unfinished.join(", "));
                tracing::warn!(seconds, tasks, calls, "Calls still in progress were cut");
            }
        }
    }
    Ok(())
}

async fn pause_after_error<C>(accepted: std::io::Result<C>) -> std::io::Result<C> {
    if let Err(error) = &accepted {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
    accepted
}
