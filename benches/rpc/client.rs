//! A client on one connection, and the pair of calls that both benchmarks make.

use std::path::{Path, PathBuf};

use azurelustre_csi::adapters::csi::client::CsiClient;
use azurelustre_csi::adapters::csi::proto::volume_capability::access_mode::Mode;
use azurelustre_csi::adapters::csi::proto::volume_capability::{AccessMode, AccessType, MountVolume};
use azurelustre_csi::adapters::csi::proto::{NodePublishVolumeRequest, NodeUnpublishVolumeRequest, VolumeCapability};

/// A connection to one of the servers.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) csi: CsiClient,
    targets: PathBuf,
}

impl Client {
    /// Connects; targets are below the directory.
    pub(crate) async fn connect(socket: PathBuf, targets: &Path) -> Self {
        let csi = CsiClient::unix(&socket).await.expect("a server answers");
        Self { csi, targets: targets.to_owned() }
    }

    pub(crate) async fn publish(&self, number: u64) {
        let publish = NodePublishVolumeRequest {
            volume_id: volume_id(number),
            target_path: self.target(number),
            volume_capability: Some(capability()),
            volume_context: [("mgs-ip-address".to_owned(), "10.0.0.4".to_owned())].into(),
            ..NodePublishVolumeRequest::default()
        };
        drop(self.csi.node().node_publish_volume(publish).await.expect("NodePublishVolume"));
    }

    pub(crate) async fn unpublish(&self, number: u64) {
        let unpublish = NodeUnpublishVolumeRequest { volume_id: volume_id(number), target_path: self.target(number) };
        drop(self.csi.node().node_unpublish_volume(unpublish).await.expect("NodeUnpublishVolume"));
    }

    fn target(&self, number: u64) -> String {
        self.targets.join(number.to_string()).display().to_string()
    }
}

fn volume_id(number: u64) -> String {
    format!("bench-{number}")
}

/// Of a volume that many nodes mount.
pub(crate) fn capability() -> VolumeCapability {
    VolumeCapability {
        access_mode: Some(AccessMode { mode: Mode::MultiNodeMultiWriter.into() }),
        access_type: Some(AccessType::Mount(MountVolume::default())),
    }
}
