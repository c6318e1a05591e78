//! The three services on a socket, and clients for them.

use std::sync::Arc;

use azurelustre_csi::adapters::csi::client::CsiClient;
use azurelustre_csi::adapters::csi::proto::controller_client::ControllerClient;
use azurelustre_csi::adapters::csi::proto::identity_client::IdentityClient;
use azurelustre_csi::adapters::csi::proto::node_client::NodeClient;
use azurelustre_csi::adapters::csi::{
    Controller, ControllerServer, Identity, IdentityInfo, IdentityServer, Node, NodeInfo, NodeServer, RunningCalls,
};
use azurelustre_csi::ports::inbound::{Provisioning, Publishing, ReadinessProbe};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Server};

use super::ports::{Script, Scripted};

/// A served front end; its server ends with the test's runtime.
pub struct World {
    pub identity: IdentityClient<Channel>,
    pub controller: ControllerClient<Channel>,
    pub node: NodeClient<Channel>,
    pub work: RunningCalls,
    _socket: TempDir,
}

/// Serves the front end over these ports. All clients share one connection.
pub async fn serve(
    ready: Arc<dyn ReadinessProbe>,
    provisioning: Arc<dyn Provisioning>,
    publishing: Arc<dyn Publishing>,
) -> World {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("csi.sock");
    let incoming = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
    let (driver_name, vendor_version) = ("azurelustre.csi.azure.com".to_owned(), "1.2.3".to_owned());
    let info = IdentityInfo { driver_name, vendor_version, controller: true };
    let work = RunningCalls::default();
    let server = Server::builder()
        .add_service(IdentityServer::new(Identity::new(info, ready)))
        .add_service(ControllerServer::new(Controller::new(provisioning, work.clone())))
        .add_service(NodeServer::new(Node::new(NodeInfo { node_id: "node-7".to_owned() }, publishing, work.clone())));
    tokio::spawn(server.serve_with_incoming(incoming));
    let client = CsiClient::unix(&socket).await.unwrap();
    World { identity: client.identity(), controller: client.controller(), node: client.node(), work, _socket: folder }
}

/// Serves the front end over scripted ports.
pub async fn scripted(script: Script) -> (World, Arc<Scripted>) {
    let ports = Arc::new(Scripted::new(script));
    let world = serve(Arc::clone(&ports) as _, Arc::clone(&ports) as _, Arc::clone(&ports) as _).await;
    (world, ports)
}
