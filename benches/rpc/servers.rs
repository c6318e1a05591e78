//! The two servers that are compared, each on a thread and a runtime of its own with two workers, as the driver runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use azurelustre_csi::adapters::clock::{ScaledClock, SystemClock};
use azurelustre_csi::adapters::csi::{
    Controller, ControllerServer, Identity, IdentityInfo, IdentityServer, Node, NodeInfo, NodeServer,
};
use azurelustre_csi::adapters::simulator::lustre::SimulatedLustre;
use azurelustre_csi::adapters::simulator::{Simulator, World};
use azurelustre_csi::app::usecase::provision::Provision;
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::app::usecase::readiness::ReadyOnce;
use azurelustre_csi::ports::clock::Clock;
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

/// Serves the driver on a simulator whose file systems are ready at once; returns its socket.
pub(crate) fn driver(folder: &Path) -> PathBuf {
    let files = folder.join("files");
    serve(folder.join("driver.sock"), move || {
        let world = World { create_seconds: 0, free_addresses: i64::from(u16::MAX), ..World::default() };
        let (clock, fast): (Arc<dyn Clock>, Arc<dyn Clock>) =
            (Arc::new(SystemClock::new()), Arc::new(ScaledClock::new(1e6)));
        let simulator = Simulator::new(world, Arc::clone(&fast), &files);
        let (cloud, orchestrator, defaults) = (simulator.cloud(), simulator.orchestrator(), simulator.defaults());
        let provision = Provision::new(cloud, orchestrator, Arc::clone(&clock), fast, defaults);
        let publish = Publish::new(Arc::new(SimulatedLustre::new(simulator.servers())), clock);
        let info = IdentityInfo { driver_name: "bench".into(), vendor_version: "0".into(), controller: true };
        let identity = Identity::new(info, Arc::new(ReadyOnce::new(None)));
        let tasks = TaskTracker::new();
        let mut routes = Routes::new(IdentityServer::new(identity));
        routes = routes.add_service(ControllerServer::new(Controller::new(Arc::new(provision), tasks.clone())));
        routes.add_service(NodeServer::new(Node::new(NodeInfo { node_id: "bench".into() }, Arc::new(publish), tasks)))
    })
}

fn serve(socket: PathBuf, routes: impl FnOnce() -> Routes + Send + 'static) -> PathBuf {
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
