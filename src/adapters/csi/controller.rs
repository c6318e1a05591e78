//! CSI's Controller service: volumes of the cluster.

use std::sync::Arc;

use tonic::Request;

use super::call::{self, Call, Reply};
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
    /// A service that leaves the work to `provisioning`. What outlives its caller becomes part of `work`.
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
        // The guard is dropped with this handler, so when the caller goes away.
        let (caller, _guard) = Caller::new(call::timeout(request.metadata()));
        let provisioning = Arc::clone(&self.provisioning);
        call.run_to_end(&self.calls, async move {
            let wanted = convert::volume_request(request.into_inner())?;
            Ok(convert::created(provisioning.create(wanted, caller).await?))
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
            let question = convert::validation(&request)?;
            let unsupported = self.provisioning.validate(question, timeout).await?;
            Ok(convert::validated(request, unsupported))
        })
        .await
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Reply<ControllerGetCapabilitiesResponse> {
        let answer = async { Ok(ControllerGetCapabilitiesResponse { capabilities: OFFERED.map(capability).into() }) };
        Call::cheap("ControllerGetCapabilities").in_place(answer).await
    }

    async fn controller_publish_volume(
        &self,
        _: Request<ControllerPublishVolumeRequest>,
    ) -> Reply<ControllerPublishVolumeResponse> {
        call::not_offered("ControllerPublishVolume").await
    }

    async fn controller_unpublish_volume(
        &self,
        _: Request<ControllerUnpublishVolumeRequest>,
    ) -> Reply<ControllerUnpublishVolumeResponse> {
        call::not_offered("ControllerUnpublishVolume").await
    }

    async fn list_volumes(&self, _: Request<ListVolumesRequest>) -> Reply<ListVolumesResponse> {
        call::not_offered("ListVolumes").await
    }

    async fn get_capacity(&self, _: Request<GetCapacityRequest>) -> Reply<GetCapacityResponse> {
        call::not_offered("GetCapacity").await
    }

    async fn create_snapshot(&self, _: Request<CreateSnapshotRequest>) -> Reply<CreateSnapshotResponse> {
        call::not_offered("CreateSnapshot").await
    }

    async fn delete_snapshot(&self, _: Request<DeleteSnapshotRequest>) -> Reply<DeleteSnapshotResponse> {
        call::not_offered("DeleteSnapshot").await
    }

    async fn list_snapshots(&self, _: Request<ListSnapshotsRequest>) -> Reply<ListSnapshotsResponse> {
        call::not_offered("ListSnapshots").await
    }

    async fn get_snapshot(&self, _: Request<GetSnapshotRequest>) -> Reply<GetSnapshotResponse> {
        call::not_offered("GetSnapshot").await
    }

    async fn controller_expand_volume(
        &self,
        _: Request<ControllerExpandVolumeRequest>,
    ) -> Reply<ControllerExpandVolumeResponse> {
        call::not_offered("ControllerExpandVolume").await
    }

    async fn controller_get_volume(
        &self,
        _: Request<ControllerGetVolumeRequest>,
    ) -> Reply<ControllerGetVolumeResponse> {
        call::not_offered("ControllerGetVolume").await
    }

    async fn controller_modify_volume(
        &self,
        _: Request<ControllerModifyVolumeRequest>,
    ) -> Reply<ControllerModifyVolumeResponse> {
        call::not_offered("ControllerModifyVolume").await
    }
}
