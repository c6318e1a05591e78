//! Servers to compare, each on a thread and a runtime of its own, as the driver runs.

use std::path::{Path, PathBuf};

use azurelustre_csi::adapters::csi::{ControllerServer, IdentityServer, NodeServer};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;

use super::floor::{Floor, NoEffect};

/// Serves empty handlers; returns their socket.
pub(crate) fn floor(folder: &Path) -> PathBuf {
    serve(folder.join("floor.sock"), || {
        let mut routes = Routes::new(IdentityServer::new(Floor(NoEffect)));
        routes = routes.add_service(ControllerServer::new(Floor(NoEffect)));
        routes.add_service(NodeServer::new(Floor(NoEffect)))
    })
}

/// Serves at a socket, and returns it.
pub(crate) fn serve(socket: PathBuf, routes: impl FnOnce() -> Routes + Send + 'static) -> PathBuf {
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    listener.set_nonblocking(true).expect("a non-blocking socket");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let incoming = UnixListenerStream::new(UnixListener::from_std(listener).expect("a listener"));
            Server::builder().add_routes(routes()).serve_with_incoming(incoming).await.expect("a server");
        });
    });
    socket
}
