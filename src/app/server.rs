//! The gRPC server: serves until the process is asked to end, then ends in order.
//!
//! Kubernetes restarts the driver while volumes are being made and mounted. What was sent to the cloud or the kernel is
//! waited for, clients are given the time to leave by themselves, and nothing is waited for past kubelet's patience.

use std::future::Future;
use std::path::PathBuf;
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
use crate::domain::problem::Problem;

mod bind;
mod connections;

pub use bind::Bound;

/// How long calls in progress and connected clients are waited for: kubelet gives a container 30 seconds, some are kept for
/// the rest of the end.
pub const DRAIN: Duration = Duration::from_secs(25);

/// Calls at once on one connection. kubelet and the sidecars use one connection each; what is more waits at the client.
const STREAMS_PER_CONNECTION: u32 = 256;

/// Pause after a failed accept: usually the process is out of file descriptors, and asking again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another process answers at the socket.
    #[error("{} is in use by {holder}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
        /// The other process, as far as it is known.
        holder: String,
    },
    /// Something that is no socket is in the way.
    #[error("{} exists and is no socket", path.display())]
    NotASocket {
        /// What is in the way.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {subject}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        subject: String,
        /// The refusal.
        #[source]
        source: std::io::Error,
    },
    /// The transport failed.
    #[error("gRPC server failed")]
    Transport(#[from] tonic::transport::Error),
}

impl ServerError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InUse { .. } => {
                "end the other process, or give this one another --endpoint; on a node of the Go driver take over from it with \
                 deploy/install-driver.sh"
            }
            Self::NotASocket { .. } => "remove it, or give another --endpoint",
            Self::Io { .. } => "check --endpoint, its directory's owner and mode, and the process's user",
            Self::Transport(_) => "see the log; the process can be started again",
        }
    }
}

impl From<ServerError> for Problem {
    fn from(error: ServerError) -> Self {
        Self::from_error(&error).with_hint(error.hint())
    }
}

/// What the services go on with after their callers left, and how they hear of the end.
#[derive(Clone, Default)]
pub struct ServiceCalls {
    /// Calls that outlive their callers.
    pub tasks: TaskTracker,
    /// Cancelled when the end begins: calls that only wait are answered, and new ones refused.
    pub stopping: CancellationToken,
    /// Which calls are not finished, for the log.
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
/// end is when every client has disconnected and what goes on without its caller is finished, or after `drain`; what is not
/// finished by then is cut and named in the log. The socket file is gone when this returns.
pub async fn serve(
    bound: Bound,
    routes: Routes,
    background: impl Into<ServiceCalls>,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> Result<(), ServerError> {
    let Bound { listener, file, address } = bound;
    let background = background.into();
    tracing::info!(endpoint = address, "serving");
    let result = match listener {
        Listener::Unix(listener) => run(routes, background, UnixListenerStream::new(listener), stop, drain).await,
        Listener::Tcp(listener) => {
            run(routes, background, TcpIncoming::from(listener).with_nodelay(Some(true)), stop, drain).await
        }
    };
    drop(file);
    result
}

async fn run<I, C>(
    routes: Routes,
    background: ServiceCalls,
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
        () = stop => background.stopping.cancel(),
    }
    let finished = async {
        connections.none().await;
        background.tasks.close();
        background.tasks.wait().await;
    };
    tokio::select! {
        ended = &mut server => ended?,
        () = finished => {}
        () = tokio::time::sleep(drain) => {
            let calls = background.unfinished.map(|unfinished| unfinished()).unwrap_or_default();
            // Requests to the cloud whose calls were answered before count too.
            let tasks = background.tasks.len();
            if calls.is_empty() && tasks == 0 {
                tracing::debug!(connections = connections.count(), "some clients stayed connected; not waiting for them");
            } else {
                let (seconds, calls) = (drain.as_secs(), calls.join(", "));
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
