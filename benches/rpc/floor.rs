//! Handlers that reply with an empty message, at once or after one effect: what the transport costs, or the effect over it.

use azurelustre_csi::adapters::csi::proto::controller_server::Controller;
use azurelustre_csi::adapters::csi::proto::identity_server::Identity;
use azurelustre_csi::adapters::csi::proto::node_server::Node;
#[allow(clippy::wildcard_imports)] // every message of the three services
use azurelustre_csi::adapters::csi::proto::*;
use tonic::{Request, Response, Status};

/// What a handler does before it replies.
#[tonic::async_trait]
pub(crate) trait Effect: Send + Sync + 'static {
    /// Runs for one call; `method` is the handler's name.
    async fn run(&self, method: &'static str);
}

/// No effect.
pub(crate) struct NoEffect;

#[tonic::async_trait]
impl Effect for NoEffect {
    async fn run(&self, _: &'static str) {}
}

/// Replies to every call with an empty message, after its effect.
pub(crate) struct Floor<E = NoEffect>(pub(crate) E);

macro_rules! empty_service {
    ($service:ident: $($method:ident $request:ident $response:ident),+ $(,)?) => {
        #[tonic::async_trait]
        impl<E: Effect> $service for Floor<E> {
            $(async fn $method(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                self.0.run(stringify!($method)).await;
                Ok(Response::new($response::default()))
            })+
        }
    };
}

empty_service! { Identity:
    get_plugin_info GetPluginInfoRequest GetPluginInfoResponse,
    get_plugin_capabilities GetPluginCapabilitiesRequest GetPluginCapabilitiesResponse,
    probe ProbeRequest ProbeResponse,
}

empty_service! { Controller:
    create_volume CreateVolumeRequest CreateVolumeResponse,
    delete_volume DeleteVolumeRequest DeleteVolumeResponse,
    controller_publish_volume ControllerPublishVolumeRequest ControllerPublishVolumeResponse,
    controller_unpublish_volume ControllerUnpublishVolumeRequest ControllerUnpublishVolumeResponse,
    validate_volume_capabilities ValidateVolumeCapabilitiesRequest ValidateVolumeCapabilitiesResponse,
    list_volumes ListVolumesRequest ListVolumesResponse,
    get_capacity GetCapacityRequest GetCapacityResponse,
    controller_get_capabilities ControllerGetCapabilitiesRequest ControllerGetCapabilitiesResponse,
    create_snapshot CreateSnapshotRequest CreateSnapshotResponse,
    delete_snapshot DeleteSnapshotRequest DeleteSnapshotResponse,
    list_snapshots ListSnapshotsRequest ListSnapshotsResponse,
    get_snapshot GetSnapshotRequest GetSnapshotResponse,
    controller_expand_volume ControllerExpandVolumeRequest ControllerExpandVolumeResponse,
    controller_get_volume ControllerGetVolumeRequest ControllerGetVolumeResponse,
    controller_modify_volume ControllerModifyVolumeRequest ControllerModifyVolumeResponse,
}

empty_service! { Node:
    node_stage_volume NodeStageVolumeRequest NodeStageVolumeResponse,
    node_unstage_volume NodeUnstageVolumeRequest NodeUnstageVolumeResponse,
    node_publish_volume NodePublishVolumeRequest NodePublishVolumeResponse,
    node_unpublish_volume NodeUnpublishVolumeRequest NodeUnpublishVolumeResponse,
    node_get_volume_stats NodeGetVolumeStatsRequest NodeGetVolumeStatsResponse,
    node_expand_volume NodeExpandVolumeRequest NodeExpandVolumeResponse,
    node_get_capabilities NodeGetCapabilitiesRequest NodeGetCapabilitiesResponse,
    node_get_info NodeGetInfoRequest NodeGetInfoResponse,
}
