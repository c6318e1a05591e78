//! Handlers that do nothing, or one thing only: what the transport itself costs, or that thing over it.

use azurelustre_csi::adapters::csi::proto::controller_server::Controller;
use azurelustre_csi::adapters::csi::proto::identity_server::Identity;
use azurelustre_csi::adapters::csi::proto::node_server::Node;
#[allow(clippy::wildcard_imports)] // every message of the three services
use azurelustre_csi::adapters::csi::proto::*;
use tonic::{Request, Response, Status};

/// What is done before a call is answered.
#[tonic::async_trait]
pub(crate) trait Act: Send + Sync + 'static {
    /// Does it for one call; `method` is the handler's name.
    async fn act(&self, method: &'static str);
}

/// Nothing is done.
pub(crate) struct Nothing;

#[tonic::async_trait]
impl Act for Nothing {
    async fn act(&self, _: &'static str) {}
}

/// Answers every call with an empty message, after its act.
pub(crate) struct Floor<A = Nothing>(pub(crate) A);

macro_rules! empty_service {
    ($service:ident: $($method:ident $request:ident $response:ident),+ $(,)?) => {
        #[tonic::async_trait]
        impl<A: Act> $service for Floor<A> {
            $(async fn $method(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                self.0.act(stringify!($method)).await;
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
