//! The driver on a simulator.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use azurelustre_csi::adapters::clock::{ScaledClock, SystemClock};
use azurelustre_csi::adapters::csi::{
    Controller, ControllerServer, Identity, IdentityInfo, IdentityServer, Node, NodeInfo, NodeServer, RunningCalls,
};
use azurelustre_csi::adapters::simulator::lustre::SimulatedLustre;
use azurelustre_csi::adapters::simulator::{Simulator, World};
use azurelustre_csi::app::usecase::provision::Provision;
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::app::usecase::readiness::LatchedReadiness;
use azurelustre_csi::ports::clock::Clock;
use tonic::service::Routes;

use super::serve::serve;

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
        let identity = Identity::new(info, Arc::new(LatchedReadiness::new(None)));
        let work = RunningCalls::default();
        let mut routes = Routes::new(IdentityServer::new(identity));
        routes = routes.add_service(ControllerServer::new(Controller::new(Arc::new(provision), work.clone())));
        routes.add_service(NodeServer::new(Node::new(NodeInfo { node_id: "bench".into() }, Arc::new(publish), work)))
    })
}
