//! The CSI calls that Kubernetes makes, over the demo's own socket, as external-provisioner and kubelet make them: with
//! their requests, their deadlines and their retries.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tonic::{Code, Request, Status};

use super::manifests::Manifests;
use crate::adapters::csi::client::CsiClient;
use crate::adapters::csi::proto::volume_capability::access_mode::Mode;
use crate::adapters::csi::proto::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use crate::adapters::csi::proto::{
    CapacityRange, CreateVolumeRequest, DeleteVolumeRequest, GetPluginInfoRequest, NodeGetVolumeStatsRequest,
    NodePublishVolumeRequest, NodeUnpublishVolumeRequest, ProbeRequest, Volume, VolumeCapability, VolumeUsage,
};
use crate::app::command_error::CommandError;

/// Deadline of one call in real time, as the provisioner's `--timeout`.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A connection to the driver.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    driver: CsiClient,
}

impl Calls {
    /// Connects to the driver's socket.
    pub(super) async fn connect(socket: &Path) -> Result<Self, CommandError> {
        let driver = CsiClient::unix(socket).await;
        Ok(Self { driver: driver.map_err(|why| CommandError::failed(format!("the driver's socket: {why}")))? })
    }

    /// Name and version of the driver, once it says that it is ready.
    pub(super) async fn identify(&self) -> Result<(String, String), CommandError> {
        let mut identity = self.driver.identity();
        let probe = identity.probe(timed(ProbeRequest {})).await.map_err(|status| call_failed("Probe", &status))?;
        if probe.into_inner().ready == Some(false) {
            return Err(CommandError::failed("Probe: the driver is not ready"));
        }
        let info = identity.get_plugin_info(timed(GetPluginInfoRequest {})).await;
        let info = info.map_err(|status| call_failed("GetPluginInfo", &status))?.into_inner();
        Ok((info.name, info.vendor_version))
    }

    /// Creates the claim's volume; like external-provisioner, repeats the call while it is reported to be in progress.
    pub(super) async fn create(&self, name: &str, manifests: &Manifests) -> Result<Volume, CommandError> {
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
            match self.driver.controller().create_volume(timed(request.clone())).await {
                Err(status) if in_progress(&status) => {}
                Err(status) => return Err(call_failed("CreateVolume", &status)),
                Ok(response) => {
                    let volume = response.into_inner().volume;
                    return volume.ok_or_else(|| CommandError::failed("CreateVolume: the answer holds no volume"));
                }
            }
        }
    }

    /// Deletes a volume, repeating as above.
    pub(super) async fn delete(&self, volume_id: &str) -> Result<(), CommandError> {
        let request = DeleteVolumeRequest { volume_id: volume_id.to_owned(), ..DeleteVolumeRequest::default() };
        loop {
            match self.driver.controller().delete_volume(timed(request.clone())).await {
                Err(status) if in_progress(&status) => {}
                Err(status) => return Err(call_failed("DeleteVolume", &status)),
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
    ) -> Result<(), CommandError> {
        let mode = manifests.access_modes.first().map_or("ReadWriteMany", String::as_str);
        let request = NodePublishVolumeRequest {
            volume_id: volume.volume_id.clone(),
            target_path: target.display().to_string(),
            volume_capability: Some(capability(mode, manifests)),
            volume_context: context(volume, pod, manifests),
            readonly: manifests.read_only,
            ..NodePublishVolumeRequest::default()
        };
        let result = self.driver.node().node_publish_volume(timed(request)).await;
        result.map(drop).map_err(|status| call_failed("NodePublishVolume", &status))
    }

    /// Unpublishes a target.
    pub(super) async fn unpublish(&self, volume_id: &str, target: &Path) -> Result<(), CommandError> {
        let request =
            NodeUnpublishVolumeRequest { volume_id: volume_id.to_owned(), target_path: target.display().to_string() };
        let result = self.driver.node().node_unpublish_volume(timed(request)).await;
        result.map(drop).map_err(|status| call_failed("NodeUnpublishVolume", &status))
    }

    /// Space and inodes of a published volume.
    pub(super) async fn usage(&self, volume_id: &str, target: &Path) -> Result<Vec<VolumeUsage>, CommandError> {
        let request = NodeGetVolumeStatsRequest {
            volume_id: volume_id.to_owned(),
            volume_path: target.display().to_string(),
            ..NodeGetVolumeStatsRequest::default()
        };
        let result = self.driver.node().node_get_volume_stats(timed(request)).await;
        result.map(|response| response.into_inner().usage).map_err(|status| call_failed("NodeGetVolumeStats", &status))
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
fn in_progress(status: &Status) -> bool {
    matches!(status.code(), Code::Aborted | Code::DeadlineExceeded)
}

fn call_failed(call: &str, status: &Status) -> CommandError {
    CommandError::failed(format!("{call}: {:?}: {}", status.code(), status.message()))
}
