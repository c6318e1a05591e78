//! CSI's Node service (CSI specification, "Node Service RPC"): publish, unpublish, volume statistics.
//!
//! There is no staging: all mounts of one Lustre share device number and root, which kubelet's checks of a staged volume
//! take for one mount.

use std::sync::Arc;

use tonic::Request;

use super::call::{self, Call, Reply, not_offered_methods};
use super::convert;
use super::proto::node_server;
use super::proto::node_service_capability::{self, Rpc, rpc};
use super::proto::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse,
    NodeGetInfoRequest, NodeGetInfoResponse, NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse,
    NodePublishVolumeRequest, NodePublishVolumeResponse, NodeServiceCapability, NodeStageVolumeRequest,
    NodeStageVolumeResponse, NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse, NodeUnstageVolumeRequest,
    NodeUnstageVolumeResponse,
};
use super::running_calls::RunningCalls;
use crate::ports::inbound::{Failure, FailureKind, Publishing};

const OFFERED: [rpc::Type; 2] = [rpc::Type::GetVolumeStats, rpc::Type::SingleNodeMultiWriter];

/// The response of `NodeGetInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// Name of the node, as Kubernetes knows it; empty in a process that serves no node, which then refuses the call.
    pub node_id: String,
}

/// The Node service.
#[derive(Debug)]
pub struct Node {
    info: NodeInfo,
    publishing: Arc<dyn Publishing>,
    calls: RunningCalls,
}

impl Node {
    /// A service over `publishing`. Calls that outlive their callers become some of the running `calls`.
    pub fn new(info: NodeInfo, publishing: Arc<dyn Publishing>, calls: RunningCalls) -> Self {
        Self { info, publishing, calls }
    }
}

fn capability(offered: rpc::Type) -> NodeServiceCapability {
    NodeServiceCapability { r#type: Some(node_service_capability::Type::Rpc(Rpc { r#type: offered.into() })) }
}

#[tonic::async_trait]
impl node_server::Node for Node {
    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Reply<NodePublishVolumeResponse> {
        let call = Call::changing("NodePublishVolume", &request.get_ref().volume_id);
        let (publishing, timeout) = (Arc::clone(&self.publishing), call::timeout(request.metadata()));
        call.run_to_end(&self.calls, async move {
            publishing.publish(convert::publish_request(request.into_inner()), timeout).await?;
            Ok(NodePublishVolumeResponse {})
        })
        .await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Reply<NodeUnpublishVolumeResponse> {
        let call = Call::changing("NodeUnpublishVolume", &request.get_ref().volume_id);
        let (publishing, timeout) = (Arc::clone(&self.publishing), call::timeout(request.metadata()));
        call.run_to_end(&self.calls, async move {
            let NodeUnpublishVolumeRequest { volume_id, target_path } = request.into_inner();
            let (volume, target) = convert::volume_at(volume_id, "target path", target_path)?;
            publishing.unpublish(&volume, &target, timeout).await?;
            Ok(NodeUnpublishVolumeResponse {})
        })
        .await
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<NodeGetVolumeStatsRequest>,
    ) -> Reply<NodeGetVolumeStatsResponse> {
        let call = Call::reading("NodeGetVolumeStats", &request.get_ref().volume_id);
        let timeout = call::timeout(request.metadata());
        call.in_place(async {
            let NodeGetVolumeStatsRequest { volume_id, volume_path, .. } = request.into_inner();
            let (volume, path) = convert::volume_at(volume_id, "volume path", volume_path)?;
            Ok(convert::stats(self.publishing.usage(&volume, &path, timeout).await?))
        })
        .await
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Reply<NodeGetCapabilitiesResponse> {
        let answer = async { Ok(NodeGetCapabilitiesResponse { capabilities: OFFERED.map(capability).into() }) };
        Call::without_volume("NodeGetCapabilities").in_place(answer).await
    }

    async fn node_get_info(&self, _: Request<NodeGetInfoRequest>) -> Reply<NodeGetInfoResponse> {
        let answer = async {
            let node_id = self.info.node_id.clone();
            if node_id.is_empty() {
                let refused = Failure::new(FailureKind::Precondition, "this process has no node id");
                return Err(refused.with_hint("start the driver on nodes with --nodeid").into());
            }
            Ok(NodeGetInfoResponse { node_id, ..Default::default() })
        };
        Call::without_volume("NodeGetInfo").in_place(answer).await
    }

    not_offered_methods! {
        node_stage_volume(NodeStageVolumeRequest) -> NodeStageVolumeResponse = "NodeStageVolume";
        node_unstage_volume(NodeUnstageVolumeRequest) -> NodeUnstageVolumeResponse = "NodeUnstageVolume";
        node_expand_volume(NodeExpandVolumeRequest) -> NodeExpandVolumeResponse = "NodeExpandVolume";
    }
}
