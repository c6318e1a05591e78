//! Servers of a benchmark, each on a thread and a runtime of its own with two workers, as the driver runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::csi::{ControllerServer, IdentityServer, Node, NodeInfo, NodeServer};
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::ports::mounter::Mounter;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Server;

use super::floor::Floor;

/// Serves empty handlers; returns their socket.
pub(crate) fn floor(folder: &Path) -> PathBuf {
    serve(folder.join("floor.sock"), || {
        let mut routes = Routes::new(IdentityServer::new(Floor));
        routes = routes.add_service(ControllerServer::new(Floor));
        routes.add_service(NodeServer::new(Floor))
    })
}

/// The driver's node service over a mounter.
pub(crate) fn node(mounter: Arc<dyn Mounter>, tasks: TaskTracker) -> NodeServer<Node> {
    let publish = Publish::new(mounter, Arc::new(SystemClock::new()));
    NodeServer::new(Node::new(NodeInfo { node_id: "bench".into() }, Arc::new(publish), tasks))
}

/// Serves these routes at a socket.
pub(crate) fn serve(socket: PathBuf, routes: impl FnOnce() -> Routes + Send + 'static) -> PathBuf {
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    listener.set_nonblocking(true).expect("a non-blocking socket");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let incoming = UnixListenerStream::new(UnixListener::from_std(listener).expect("a listener"));
            Server::builder().add_routes(routes()).serve_with_incoming(incoming).await.expect("a server");
        });
    });
    socket
}
