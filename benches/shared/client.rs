//! The client of a benchmark: a connection over the socket, and the pair of calls of a node.

use std::path::{Path, PathBuf};

use azurelustre_csi::adapters::csi::proto::node_client::NodeClient;
use azurelustre_csi::adapters::csi::proto::volume_capability::access_mode::Mode;
use azurelustre_csi::adapters::csi::proto::volume_capability::{AccessMode, AccessType, MountVolume};
use azurelustre_csi::adapters::csi::proto::{NodePublishVolumeRequest, NodeUnpublishVolumeRequest, VolumeCapability};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// Connects to a server.
pub(crate) async fn connect(socket: PathBuf) -> Channel {
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://csi.sock").connect_with_connector(connector).await;
    channel.expect("a server answers")
}

/// A volume for many writers.
pub(crate) fn capability() -> VolumeCapability {
    VolumeCapability {
        access_mode: Some(AccessMode { mode: Mode::MultiNodeMultiWriter.into() }),
        access_type: Some(AccessType::Mount(MountVolume::default())),
    }
}

/// Publishes the volume of this number at a directory below `targets` that is absent.
pub(crate) async fn publish(channel: &Channel, targets: &Path, number: u64) {
    let request = NodePublishVolumeRequest {
        volume_id: volume_id(number),
        target_path: target_path(targets, number),
        volume_capability: Some(capability()),
        volume_context: [("mgs-ip-address".to_owned(), "10.0.0.4".to_owned())].into(),
        ..NodePublishVolumeRequest::default()
    };
    drop(NodeClient::new(channel.clone()).node_publish_volume(request).await.expect("NodePublishVolume"));
}

/// Unpublishes it.
pub(crate) async fn unpublish(channel: &Channel, targets: &Path, number: u64) {
    let request =
        NodeUnpublishVolumeRequest { volume_id: volume_id(number), target_path: target_path(targets, number) };
    drop(NodeClient::new(channel.clone()).node_unpublish_volume(request).await.expect("NodeUnpublishVolume"));
}

fn volume_id(number: u64) -> String {
    format!("bench-{number}")
}

fn target_path(targets: &Path, number: u64) -> String {
    targets.join(number.to_string()).display().to_string()
}
