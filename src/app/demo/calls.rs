//! The CSI calls that Kubernetes makes, over the demo's own socket, as external-provisioner and kubelet make them: with
//! their requests, their deadlines and their retries.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};

use super::DemoError;
use super::manifests::Manifests;
use crate::adapters::csi::proto::controller_client::ControllerClient;
use crate::adapters::csi::proto::identity_client::IdentityClient;
use crate::adapters::csi::proto::node_client::NodeClient;
use crate::adapters::csi::proto::volume_capability::access_mode::Mode;
use crate::adapters::csi::proto::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use crate::adapters::csi::proto::{
    CapacityRange, CreateVolumeRequest, DeleteVolumeRequest, GetPluginInfoRequest, NodeGetVolumeStatsRequest,
    NodePublishVolumeRequest, NodeUnpublishVolumeRequest, ProbeRequest, Volume, VolumeCapability, VolumeUsage,
};

/// Deadline of one call in real time, as the provisioner's `--timeout`.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A connection to the driver.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    channel: Channel,
}

impl Calls {
    /// Connects to the driver's socket.
    pub(super) async fn connect(socket: PathBuf) -> Result<Self, DemoError> {
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://csi.sock").connect_with_connector(connector).await;
        Ok(Self { channel: channel.map_err(|error| DemoError::new(format!("the driver's socket: {error}")))? })
    }

    /// Name and version of the driver, once it says that it is ready.
    pub(super) async fn identify(&self) -> Result<(String, String), DemoError> {
        let mut identity = IdentityClient::new(self.channel.clone());
        let probe = identity.probe(timed(ProbeRequest {})).await.map_err(|status| failed("Probe", &status))?;
        if probe.into_inner().ready == Some(false) {
            return Err(DemoError::new("Probe: the driver is not ready"));
        }
        let info = identity.get_plugin_info(timed(GetPluginInfoRequest {})).await;
        let info = info.map_err(|status| failed("GetPluginInfo", &status))?.into_inner();
        Ok((info.name, info.vendor_version))
    }

    /// Creates the claim's volume; like external-provisioner, repeats the call while it is reported to be in progress.
    pub(super) async fn create(&self, name: &str, manifests: &Manifests) -> Result<Volume, DemoError> {
        let mut parameters = manifests.parameters.clone();
        for (key, value) in
            [("pvc/name", &manifests.claim), ("pvc/namespace", &manifests.namespace), ("pv/name", &name.to_owned())]
        {
            parameters.insert(format!("csi.storage.k8s.io/{key}"), value.clone());
        }
        let request = CreateVolumeRequest {
            name: name.to_owned(),
            capacity_range: Some(CapacityRange { required_bytes: manifests.bytes, limit_bytes: 0 }),
            volume_capabilities: manifests.access_modes.iter().map(|mode| capability(mode, manifests)).collect(),
            parameters: parameters.into_iter().collect(),
            ..CreateVolumeRequest::default()
        };
        loop {
            match ControllerClient::new(self.channel.clone()).create_volume(timed(request.clone())).await {
                Err(status) if under_way(&status) => {}
                Err(status) => return Err(failed("CreateVolume", &status)),
                Ok(response) => {
                    let volume = response.into_inner().volume;
                    return volume.ok_or_else(|| DemoError::new("CreateVolume: the answer holds no volume"));
                }
            }
        }
    }

    /// Deletes a volume, repeating as above.
    pub(super) async fn delete(&self, volume_id: &str) -> Result<(), DemoError> {
        let request = DeleteVolumeRequest { volume_id: volume_id.to_owned(), ..DeleteVolumeRequest::default() };
        loop {
            match ControllerClient::new(self.channel.clone()).delete_volume(timed(request.clone())).await {
                Err(status) if under_way(&status) => {}
                Err(status) => return Err(failed("DeleteVolume", &status)),
                Ok(_) => return Ok(()),
            }
        }
    }

    /// Publishes the volume for a pod, with what `podInfoOnMount` adds.
    pub(super) async fn publish(
        &self,
        volume: &Volume,
        target: &Path,
        pod: &str,
        manifests: &Manifests,
    ) -> Result<(), DemoError> {
        let mode = manifests.access_modes.first().map_or("ReadWriteMany", String::as_str);
        let request = NodePublishVolumeRequest {
            volume_id: volume.volume_id.clone(),
            target_path: target.display().to_string(),
            volume_capability: Some(capability(mode, manifests)),
            volume_context: context(volume, pod, manifests),
            readonly: manifests.read_only,
            ..NodePublishVolumeRequest::default()
        };
        let result = NodeClient::new(self.channel.clone()).node_publish_volume(timed(request)).await;
        result.map(drop).map_err(|status| failed("NodePublishVolume", &status))
    }

    /// Unpublishes a target.
    pub(super) async fn unpublish(&self, volume_id: &str, target: &Path) -> Result<(), DemoError> {
        let request =
            NodeUnpublishVolumeRequest { volume_id: volume_id.to_owned(), target_path: target.display().to_string() };
        let result = NodeClient::new(self.channel.clone()).node_unpublish_volume(timed(request)).await;
        result.map(drop).map_err(|status| failed("NodeUnpublishVolume", &status))
    }

    /// Space and inodes of a published volume.
    pub(super) async fn usage(&self, volume_id: &str, target: &Path) -> Result<Vec<VolumeUsage>, DemoError> {
        let request = NodeGetVolumeStatsRequest {
            volume_id: volume_id.to_owned(),
            volume_path: target.display().to_string(),
            ..NodeGetVolumeStatsRequest::default()
        };
        let result = NodeClient::new(self.channel.clone()).node_get_volume_stats(timed(request)).await;
        result.map(|response| response.into_inner().usage).map_err(|status| failed("NodeGetVolumeStats", &status))
    }
}

/// The volume context of a publish: that of the volume, and what kubelet adds for a driver with `podInfoOnMount`.
pub(super) fn context(volume: &Volume, pod: &str, manifests: &Manifests) -> HashMap<String, String> {
    let pod_info = [
        ("pod.name", pod),
        ("pod.namespace", &manifests.namespace),
        ("pod.uid", pod),
        ("serviceAccount.name", &manifests.service_account),
        ("ephemeral", "false"),
    ];
    let added = pod_info.map(|(key, value)| (format!("csi.storage.k8s.io/{key}"), value.to_owned()));
    volume.volume_context.clone().into_iter().chain(added).collect()
}

fn capability(access_mode: &str, manifests: &Manifests) -> VolumeCapability {
    let mode = match access_mode {
        "ReadWriteOnce" => Mode::SingleNodeMultiWriter,
        "ReadOnlyMany" => Mode::MultiNodeReaderOnly,
        "ReadWriteMany" => Mode::MultiNodeMultiWriter,
        "ReadWriteOncePod" => Mode::SingleNodeSingleWriter,
        _ => Mode::Unknown,
    };
    let access_type = if manifests.block {
        AccessType::Block(BlockVolume {})
    } else {
        AccessType::Mount(MountVolume {
            fs_type: manifests.fs_type.clone(),
            mount_flags: manifests.mount_flags.clone(),
            ..MountVolume::default()
        })
    };
    VolumeCapability { access_mode: Some(AccessMode { mode: mode.into() }), access_type: Some(access_type) }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(TIMEOUT);
    request
}

/// The codes after which Kubernetes repeats a call because it may still be in progress.
fn under_way(status: &Status) -> bool {
    matches!(status.code(), Code::Aborted | Code::DeadlineExceeded)
}

fn failed(call: &str, status: &Status) -> DemoError {
    DemoError::new(format!("{call}: {:?}: {}", status.code(), status.message()))
}
