//! CSI's Controller service (CSI specification, "Controller Service RPC"): create, delete and validate volumes.

use std::sync::Arc;

use tonic::Request;

use super::call::{self, Call, Reply, not_offered_methods};
use super::convert;
use super::proto::controller_server;
use super::proto::controller_service_capability::{self, Rpc, rpc};
use super::proto::{
    ControllerExpandVolumeRequest, ControllerExpandVolumeResponse, ControllerGetCapabilitiesRequest,
    ControllerGetCapabilitiesResponse, ControllerGetVolumeRequest, ControllerGetVolumeResponse,
    ControllerModifyVolumeRequest, ControllerModifyVolumeResponse, ControllerPublishVolumeRequest,
    ControllerPublishVolumeResponse, ControllerServiceCapability, ControllerUnpublishVolumeRequest,
    ControllerUnpublishVolumeResponse, CreateSnapshotRequest, CreateSnapshotResponse, CreateVolumeRequest,
    CreateVolumeResponse, DeleteSnapshotRequest, DeleteSnapshotResponse, DeleteVolumeRequest, DeleteVolumeResponse,
    GetCapacityRequest, GetCapacityResponse, GetSnapshotRequest, GetSnapshotResponse, ListSnapshotsRequest,
    ListSnapshotsResponse, ListVolumesRequest, ListVolumesResponse, ValidateVolumeCapabilitiesRequest,
    ValidateVolumeCapabilitiesResponse,
};
use super::running_calls::RunningCalls;
use crate::ports::inbound::{Caller, Provisioning};

const OFFERED: [rpc::Type; 2] = [rpc::Type::CreateDeleteVolume, rpc::Type::SingleNodeMultiWriter];

/// The Controller service.
#[derive(Debug)]
pub struct Controller {
    provisioning: Arc<dyn Provisioning>,
    calls: RunningCalls,
}

impl Controller {
    /// A service over `provisioning`. Calls that outlive their callers become some of the running `calls`.
    pub fn new(provisioning: Arc<dyn Provisioning>, calls: RunningCalls) -> Self {
        Self { provisioning, calls }
    }
}

fn capability(offered: rpc::Type) -> ControllerServiceCapability {
    ControllerServiceCapability {
        r#type: Some(controller_service_capability::Type::Rpc(Rpc { r#type: offered.into() })),
    }
}

#[tonic::async_trait]
impl controller_server::Controller for Controller {
    async fn create_volume(&self, request: Request<CreateVolumeRequest>) -> Reply<CreateVolumeResponse> {
        let call = Call::changing("CreateVolume", &request.get_ref().name);
        // The guard is dropped with this handler, so when the caller disconnects.
        let (caller, _guard) = Caller::new(call::timeout(request.metadata()));
        let provisioning = Arc::clone(&self.provisioning);
        call.run_to_end(&self.calls, async move {
            let request = convert::volume_request(request.into_inner())?;
            Ok(convert::created(provisioning.create(request, caller).await?))
        })
        .await
    }

    async fn delete_volume(&self, request: Request<DeleteVolumeRequest>) -> Reply<DeleteVolumeResponse> {
        let call = Call::changing("DeleteVolume", &request.get_ref().volume_id);
        let (caller, _guard) = Caller::new(call::timeout(request.metadata()));
        let provisioning = Arc::clone(&self.provisioning);
        call.run_to_end(&self.calls, async move {
            let volume_id = convert::deletion(request.into_inner())?;
            provisioning.delete(&volume_id, caller).await?;
            Ok(DeleteVolumeResponse {})
        })
        .await
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Reply<ValidateVolumeCapabilitiesResponse> {
        let call = Call::reading("ValidateVolumeCapabilities", &request.get_ref().volume_id);
        let timeout = call::timeout(request.metadata());
        call.in_place(async {
            let request = request.into_inner();
            let validate = convert::validation(&request)?;
            let unsupported = self.provisioning.validate(validate, timeout).await?;
            Ok(convert::validated(request, unsupported))
        })
        .await
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Reply<ControllerGetCapabilitiesResponse> {
        let answer = async { Ok(ControllerGetCapabilitiesResponse { capabilities: OFFERED.map(capability).into() }) };
        Call::without_volume("ControllerGetCapabilities").in_place(answer).await
    }

    not_offered_methods! {
        controller_publish_volume(ControllerPublishVolumeRequest) -> ControllerPublishVolumeResponse
            = "ControllerPublishVolume";
        controller_unpublish_volume(ControllerUnpublishVolumeRequest) -> ControllerUnpublishVolumeResponse
            = "ControllerUnpublishVolume";
        list_volumes(ListVolumesRequest) -> ListVolumesResponse = "ListVolumes";
        get_capacity(GetCapacityRequest) -> GetCapacityResponse = "GetCapacity";
        create_snapshot(CreateSnapshotRequest) -> CreateSnapshotResponse = "CreateSnapshot";
        delete_snapshot(DeleteSnapshotRequest) -> DeleteSnapshotResponse = "DeleteSnapshot";
        list_snapshots(ListSnapshotsRequest) -> ListSnapshotsResponse = "ListSnapshots";
        get_snapshot(GetSnapshotRequest) -> GetSnapshotResponse = "GetSnapshot";
        controller_expand_volume(ControllerExpandVolumeRequest) -> ControllerExpandVolumeResponse
            = "ControllerExpandVolume";
        controller_get_volume(ControllerGetVolumeRequest) -> ControllerGetVolumeResponse = "ControllerGetVolume";
        controller_modify_volume(ControllerModifyVolumeRequest) -> ControllerModifyVolumeResponse
            = "ControllerModifyVolume";
    }
}
