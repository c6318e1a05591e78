//! Which request gets which code and what the answer says, for every RPC.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

use azurelustre_csi::adapters::csi::proto::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use azurelustre_csi::adapters::csi::proto::volume_content_source::VolumeSource;
use azurelustre_csi::adapters::csi::proto::*;
use azurelustre_csi::ports::inbound::FailureKind;
use tonic::{Code, Status};

use super::ports::{Script, VOLUME_ID};
use super::world::{World, scripted};

/// A call to be made; its answer is text.
pub type Calling = Pin<Box<dyn Future<Output = Result<String, Status>> + Send>>;

/// A request, the code that it gets, and what the answer or the message says among other things.
pub struct Row {
    pub what: String,
    pub call: Calling,
    pub code: Code,
    pub gist: &'static str,
}

/// `row!(client.method(request) => Code, "gist")`.
macro_rules! row {
    ($client:expr, $method:ident($request:expr) => $code:ident, $gist:expr) => {{
        let (mut client, request) = ($client.clone(), $request);
        let what = format!("{} {request:?}", stringify!($method));
        let call: Calling =
            Box::pin(async move { client.$method(request).await.map(|answer| format!("{:?}", answer.into_inner())) });
        Row { what, call, code: tonic::Code::$code, gist: $gist }
    }};
}

#[allow(unused_imports)] // only with the simulator
pub(crate) use row;

/// Makes every call of a table and compares.
pub async fn check(table: Vec<Row>) {
    for Row { what, call, code, gist } in table {
        let (got, text) = match call.await {
            Ok(answer) => (Code::Ok, answer),
            Err(status) => (status.code(), status.message().to_owned()),
        };
        assert_eq!(got, code, "{what}: {text}");
        assert!(text.contains(gist), "{what}: {text:?} does not contain {gist:?}");
    }
}

pub fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub fn capability(mode: i32) -> VolumeCapability {
    let mount = MountVolume { mount_flags: vec!["noatime".to_owned()], ..Default::default() };
    VolumeCapability { access_mode: Some(AccessMode { mode }), access_type: Some(AccessType::Mount(mount)) }
}

pub fn creation() -> CreateVolumeRequest {
    CreateVolumeRequest {
        name: "pvc-1".to_owned(),
        capacity_range: Some(CapacityRange { required_bytes: 1, limit_bytes: 2 }),
        volume_capabilities: vec![capability(5)],
        parameters: map(&[("mgs-ip-address", "10.0.0.4")]),
        ..Default::default()
    }
}

pub fn deletion() -> DeleteVolumeRequest {
    DeleteVolumeRequest { volume_id: VOLUME_ID.to_owned(), ..Default::default() }
}

pub fn validation() -> ValidateVolumeCapabilitiesRequest {
    ValidateVolumeCapabilitiesRequest {
        volume_id: VOLUME_ID.to_owned(),
        volume_context: map(&[("fs-name", "from-context")]),
        volume_capabilities: vec![capability(7)],
        parameters: map(&[("sub-dir", "from-parameters")]),
        ..Default::default()
    }
}

pub fn publication() -> NodePublishVolumeRequest {
    NodePublishVolumeRequest {
        volume_id: VOLUME_ID.to_owned(),
        target_path: "/pods/1/mount".to_owned(),
        volume_capability: Some(capability(6)),
        readonly: true,
        volume_context: map(&[("mgs-ip-address", "10.0.0.4")]),
        ..Default::default()
    }
}

pub fn unpublication() -> NodeUnpublishVolumeRequest {
    NodeUnpublishVolumeRequest { volume_id: VOLUME_ID.to_owned(), target_path: "/pods/1/mount".to_owned() }
}

pub fn stats() -> NodeGetVolumeStatsRequest {
    NodeGetVolumeStatsRequest {
        volume_id: VOLUME_ID.to_owned(),
        volume_path: "/pods/1/mount".to_owned(),
        ..Default::default()
    }
}

/// All RPCs that have a port behind them.
#[rustfmt::skip]
pub fn ported(World { controller, node, .. }: &World) -> [Calling; 6] {
    [
        row!(controller, create_volume(creation()) => Ok, "").call,
        row!(controller, delete_volume(deletion()) => Ok, "").call,
        row!(controller, validate_volume_capabilities(validation()) => Ok, "").call,
        row!(node, node_publish_volume(publication()) => Ok, "").call,
        row!(node, node_unpublish_volume(unpublication()) => Ok, "").call,
        row!(node, node_get_volume_stats(stats()) => Ok, "").call,
    ]
}

#[tokio::test]
#[rustfmt::skip]
async fn what_is_asked_well_is_answered() {
    let (World { identity, controller, node, .. }, _ports) = &scripted(Script::Succeed).await;
    let topology = TopologyRequirement { requisite: vec![Topology { segments: map(&[("zone", "1")]) }], ..Default::default() };
    check(vec![
        row!(identity, get_plugin_info(GetPluginInfoRequest {}) => Ok, "name: \"azurelustre.csi.azure.com\", vendor_version: \"1.2.3\""),
        row!(identity, get_plugin_capabilities(GetPluginCapabilitiesRequest {}) => Ok, "{ capabilities: [PluginCapability { r#type: Some(Service(Service { r#type: ControllerService })) }] }"),
        row!(identity, probe(ProbeRequest {}) => Ok, "ready: Some(true)"),
        row!(controller, controller_get_capabilities(ControllerGetCapabilitiesRequest {}) => Ok, "[ControllerServiceCapability { r#type: Some(Rpc(Rpc { r#type: CreateDeleteVolume })) }, ControllerServiceCapability { r#type: Some(Rpc(Rpc { r#type: SingleNodeMultiWriter })) }]"),
        row!(controller, create_volume(creation()) => Ok, "capacity_bytes: 4398046511104, volume_id: \"vol#lustrefs#10.0.0.4##f#\", volume_context: {\"mgs-ip-address\": \"10.0.0.4\"}, content_source: None, accessible_topology: []"),
        row!(controller, create_volume(CreateVolumeRequest { accessibility_requirements: Some(topology), ..creation() }) => Ok, "accessible_topology: []"),
        row!(controller, delete_volume(deletion()) => Ok, "DeleteVolumeResponse"),
        row!(controller, validate_volume_capabilities(validation()) => Ok, "volume_context: {\"fs-name\": \"from-context\"}, volume_capabilities: [VolumeCapability { access_mode: Some(AccessMode { mode: SingleNodeMultiWriter })"),
        row!(controller, validate_volume_capabilities(validation()) => Ok, "parameters: {\"sub-dir\": \"from-parameters\"}, mutable_parameters: {} }), message: \"\""),
        row!(node, node_publish_volume(publication()) => Ok, "NodePublishVolumeResponse"),
        row!(node, node_unpublish_volume(unpublication()) => Ok, "NodeUnpublishVolumeResponse"),
        row!(node, node_get_volume_stats(stats()) => Ok, "VolumeUsage { available: 7, total: 9223372036854775807, used: 5, unit: Bytes }, VolumeUsage { available: 19, total: 30, used: 10, unit: Inodes }]"),
        row!(node, node_get_capabilities(NodeGetCapabilitiesRequest {}) => Ok, "[NodeServiceCapability { r#type: Some(Rpc(Rpc { r#type: GetVolumeStats })) }, NodeServiceCapability { r#type: Some(Rpc(Rpc { r#type: SingleNodeMultiWriter })) }]"),
        row!(node, node_get_info(NodeGetInfoRequest {}) => Ok, "node_id: \"node-7\", max_volumes_per_node: 0, accessible_topology: None"),
    ]).await;
}

#[tokio::test]
#[rustfmt::skip]
async fn what_the_front_end_refuses_reaches_no_port() {
    let (World { controller, node, .. }, ports) = &scripted(Script::Succeed).await;
    let secrets = || map(&[("key", "hunter2")]);
    let source = VolumeContentSource { r#type: Some(volume_content_source::Type::Volume(VolumeSource::default())) };
    check(vec![
        row!(controller, create_volume(CreateVolumeRequest { secrets: secrets(), ..creation() }) => InvalidArgument, "secrets: not supported"),
        row!(controller, create_volume(CreateVolumeRequest { volume_content_source: Some(source), ..creation() }) => InvalidArgument, "volume content source: not supported"),
        row!(controller, create_volume(CreateVolumeRequest { mutable_parameters: map(&[("tags", "a=b")]), ..creation() }) => InvalidArgument, "mutable parameters: not supported"),
        row!(controller, delete_volume(DeleteVolumeRequest { secrets: secrets(), ..deletion() }) => InvalidArgument, "secrets: not supported"),
        row!(controller, delete_volume(DeleteVolumeRequest::default()) => InvalidArgument, "volume id: missing"),
        row!(controller, delete_volume(DeleteVolumeRequest { secrets: secrets(), ..Default::default() }) => InvalidArgument, "; volume id: missing"),
        row!(controller, validate_volume_capabilities(ValidateVolumeCapabilitiesRequest::default()) => InvalidArgument, "volume id: missing; volume capabilities: missing"),
        row!(node, node_unpublish_volume(NodeUnpublishVolumeRequest::default()) => InvalidArgument, "volume id: missing; target path: missing"),
        row!(node, node_get_volume_stats(NodeGetVolumeStatsRequest::default()) => InvalidArgument, "volume id: missing; volume path: missing"),
    ]).await;
    assert_eq!(ports.seen(), []);
}

#[tokio::test]
#[rustfmt::skip]
async fn what_is_not_offered_says_so() {
    let (World { controller, node, .. }, ports) = &scripted(Script::Succeed).await;
    check(vec![
        row!(controller, controller_publish_volume(ControllerPublishVolumeRequest::default()) => Unimplemented, "RPC ControllerPublishVolume is not offered by azurelustre-csi"),
        row!(controller, controller_unpublish_volume(ControllerUnpublishVolumeRequest::default()) => Unimplemented, "RPC ControllerUnpublishVolume is"),
        row!(controller, list_volumes(ListVolumesRequest::default()) => Unimplemented, "RPC ListVolumes is"),
        row!(controller, get_capacity(GetCapacityRequest::default()) => Unimplemented, "RPC GetCapacity is"),
        row!(controller, create_snapshot(CreateSnapshotRequest::default()) => Unimplemented, "RPC CreateSnapshot is"),
        row!(controller, delete_snapshot(DeleteSnapshotRequest::default()) => Unimplemented, "RPC DeleteSnapshot is"),
        row!(controller, list_snapshots(ListSnapshotsRequest::default()) => Unimplemented, "RPC ListSnapshots is"),
        row!(controller, get_snapshot(GetSnapshotRequest::default()) => Unimplemented, "RPC GetSnapshot is"),
        row!(controller, controller_expand_volume(ControllerExpandVolumeRequest::default()) => Unimplemented, "RPC ControllerExpandVolume is"),
        row!(controller, controller_get_volume(ControllerGetVolumeRequest::default()) => Unimplemented, "RPC ControllerGetVolume is"),
        row!(controller, controller_modify_volume(ControllerModifyVolumeRequest::default()) => Unimplemented, "RPC ControllerModifyVolume is"),
        row!(node, node_stage_volume(NodeStageVolumeRequest::default()) => Unimplemented, "RPC NodeStageVolume is"),
        row!(node, node_unstage_volume(NodeUnstageVolumeRequest::default()) => Unimplemented, "RPC NodeUnstageVolume is"),
        row!(node, node_expand_volume(NodeExpandVolumeRequest::default()) => Unimplemented, "RPC NodeExpandVolume is"),
    ]).await;
    assert_eq!(ports.seen(), []);
}

#[tokio::test]
async fn no_is_an_answer_where_csi_asks_a_question() {
    let (World { identity, controller, .. }, _ports) = &scripted(Script::Decline).await;
    let block = VolumeCapability { access_type: Some(AccessType::Block(BlockVolume {})), ..capability(1) };
    let asked = ValidateVolumeCapabilitiesRequest { volume_capabilities: vec![block], ..validation() };
    check(vec![
        row!(identity, probe(ProbeRequest {}) => Ok, "ready: Some(false)"),
        row!(controller, validate_volume_capabilities(asked) => Ok, "{ confirmed: None, message: \"no block devices here\" }"),
    ])
    .await;
}

#[tokio::test]
async fn every_kind_of_failure_has_the_same_code_in_every_rpc() {
    let (world, ports) = scripted(Script::Succeed).await;
    for kind in FailureKind::ALL {
        ports.follow(Script::Fail(kind));
        let mut codes = Vec::new();
        for call in ported(&world) {
            let status = call.await.unwrap_err();
            assert!(status.message().ends_with(" failed; hint: a cure"), "{status}");
            codes.push(status.code());
        }
        let may_still_run =
            matches!(codes[0], Code::Aborted | Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled);
        assert!(codes.iter().all(|code| *code == codes[0]), "{kind:?} became {codes:?}");
        assert_eq!(may_still_run, !kind.is_final(), "{kind:?} became {codes:?}");
    }
}
