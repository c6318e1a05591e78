//! The gRPC server: serve until told to stop, then end in order.
//!
//! Why it exists: kubelet restarts the driver while volumes are being made and mounted. A call that is under way is worth
//! waiting for; a connection that is merely open is not; and nothing may be waited for past kubelet's patience.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpIncoming};

use self::bind::Listener;
use self::calls::Calls;
use super::problem::Problem;

mod bind;
mod calls;

pub use bind::Bound;

/// How long calls under way are waited for: kubelet gives a container 30 seconds, some are kept for the rest of the end.
pub const DRAIN: Duration = Duration::from_secs(25);

/// Calls at once on one connection. kubelet and the sidecars use one connection each; what is more waits at the client.
const STREAMS_PER_CONNECTION: u32 = 256;

/// Pause after a failed accept: usually the process is out of file descriptors, and asking again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long answers may take to leave, and connections to close, once no call is under way.
const LINGER: Duration = Duration::from_millis(500);

/// Why the server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another process answers at the socket.
    #[error("{} is in use by {holder}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
        /// The other process, as far as it can be told.
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

/// Serves until `stop` ends; `tasks` is what the services go on with after their callers left. Then nothing new is accepted, idle connections are closed, and calls under way get `drain` to
/// finish; those that do not are cut, which their callers see as UNAVAILABLE and repeat. The socket file is gone when this
/// returns.
pub async fn serve(
    bound: Bound,
    routes: Routes,
    tasks: TaskTracker,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> Result<(), ServerError> {
    let Bound { listener, file, address } = bound;
    tracing::info!(endpoint = address, "serving");
    let result = match listener {
        Listener::Unix(listener) => run(routes, tasks, UnixListenerStream::new(listener), stop, drain).await,
        Listener::Tcp(listener) => {
            run(routes, tasks, TcpIncoming::from(listener).with_nodelay(Some(true)), stop, drain).await
        }
    };
    drop(file);
    result
}

async fn run<I, C>(
    routes: Routes,
    tasks: TaskTracker,
    incoming: I,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> Result<(), ServerError>
where
    I: Stream<Item = std::io::Result<C>>,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let (stop_accepting, told_to_stop) = oneshot::channel::<()>();
    let told_to_stop = async { drop(told_to_stop.await) };
    let calls = Calls::default();
    let mut builder = Server::builder().max_concurrent_streams(STREAMS_PER_CONNECTION).layer(calls.clone());
    let incoming = incoming.then(pause_after_error);
    let mut server = pin!(builder.add_routes(routes).serve_with_incoming_shutdown(incoming, told_to_stop));
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = stop => drop(stop_accepting.send(())),
    }
    let answered = async {
        tokio::select! {
            ended = server => ended.map_err(ServerError::from),
            () = calls.none_for(LINGER) => {
                tracing::debug!("some connections stayed open; not waiting for them");
                Ok(())
            }
        }
    };
    let finished = async {
        answered.await?;
        // What goes on without its caller has begun something, and is waited for like a call.
        tasks.close();
        tasks.wait().await;
        Ok::<(), ServerError>(())
    };
    tokio::select! {
        ended = finished => ended?,
        () = tokio::time::sleep(drain) => tracing::warn!(seconds = drain.as_secs(), "calls still under way were cut"),
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
