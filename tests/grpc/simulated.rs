//! The golden table of the whole driver: the real use-cases on the simulator, called as Kubernetes calls them.
//!
//! Why beside the scripted one: there the front end is held to its ports; here a request's way through all of it is held
//! to what the caller sees.

use std::sync::Arc;

use azurelustre_csi::adapters::clock::{ScaledClock, SystemClock};
use azurelustre_csi::adapters::csi::proto::volume_capability::{AccessMode, AccessType, BlockVolume};
use azurelustre_csi::adapters::csi::proto::*;
use azurelustre_csi::adapters::simulator::lustre::{Mode, SimulatedLustre};
use azurelustre_csi::adapters::simulator::{Simulator, World as SimulatedWorld};
use azurelustre_csi::app::usecase::provision::Provision;
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::app::usecase::readiness::LatchedReadiness;
use azurelustre_csi::ports::clock::Clock;
use tempfile::TempDir;

use super::golden::{Calling, Row, capability, check, map, row};
use super::world::{World, serve};

const TIB: i64 = 1 << 40;

struct Driver {
    world: World,
    folder: TempDir,
}

impl Driver {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, fast): (Arc<dyn Clock>, Arc<dyn Clock>) =
            (Arc::new(SystemClock::new()), Arc::new(ScaledClock::new(1e5)));
        let simulator = Simulator::new(SimulatedWorld::default(), Arc::clone(&fast), folder.path());
        let lustre = SimulatedLustre::with_mode(simulator.servers(), Mode::Link);
        let (cloud, orchestrator, defaults) = (simulator.cloud(), simulator.orchestrator(), simulator.defaults());
        let provision = Provision::new(cloud, orchestrator, Arc::clone(&clock), fast, defaults);
        let publish = Publish::new(Arc::new(lustre), clock);
        let world = serve(Arc::new(LatchedReadiness::new(None)), Arc::new(provision), Arc::new(publish)).await;
        Self { world, folder }
    }

    fn target(&self, pod: &str) -> String {
        let pods = self.folder.path().join("pods");
        std::fs::create_dir_all(&pods).unwrap();
        pods.join(pod).display().to_string()
    }
}

fn creation(name: &str, more: &[(&str, &str)]) -> CreateVolumeRequest {
    let parameters = [
        ("sku-name", "AMLFS-Durable-Premium-500"),
        ("zone", "1"),
        ("maintenance-day-of-week", "Monday"),
        ("maintenance-time-of-day-utc", "03:00"),
    ];
    let mut all = map(&parameters);
    all.extend(map(more));
    CreateVolumeRequest {
        name: name.to_owned(),
        volume_capabilities: vec![capability(5)],
        parameters: all,
        ..Default::default()
    }
}

fn sized(name: &str, required_bytes: i64, limit_bytes: i64) -> CreateVolumeRequest {
    CreateVolumeRequest { capacity_range: Some(CapacityRange { required_bytes, limit_bytes }), ..creation(name, &[]) }
}

fn deletion(volume_id: &str) -> DeleteVolumeRequest {
    DeleteVolumeRequest { volume_id: volume_id.to_owned(), ..Default::default() }
}

fn publication(target: &str, mode: i32, context: &[(&str, &str)]) -> NodePublishVolumeRequest {
    NodePublishVolumeRequest {
        volume_id: "handle".to_owned(),
        target_path: target.to_owned(),
        volume_capability: Some(capability(mode)),
        volume_context: map(context),
        ..Default::default()
    }
}

fn stats(volume_path: &str) -> NodeGetVolumeStatsRequest {
    let volume_id = "handle".to_owned();
    NodeGetVolumeStatsRequest { volume_id, volume_path: volume_path.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn creations() {
    let driver = Driver::new().await;
    let controller = &driver.world.controller;
    check(vec![
        row!(controller, create_volume(creation("pvc-1", &[])) => Ok, "pvc-1#lustrefs#10.225.0."),
        row!(controller, create_volume(creation("pvc-1", &[])) => Ok, "##t#MC_hpc_aks_eastus"),
        row!(controller, create_volume(creation("a#b", &[])) => Ok, "ab-8187fc8f7f007036#lustrefs#"),
        row!(controller, create_volume(sized("pvc-1", 8 * TIB, 0)) => AlreadyExists, "size is 4 TiB, not at least 8 TiB"),
        row!(controller, create_volume(creation("pvc-1", &[("zone", "2")])) => AlreadyExists, "zone is 1, not 2"),
        row!(controller, create_volume(creation("", &[])) => InvalidArgument, "name: missing"),
        row!(controller, create_volume(creation(&"x".repeat(129), &[])) => InvalidArgument, "CSI allows 128"),
        row!(controller, create_volume(creation("v", &[("sku-nam", "x")])) => InvalidArgument, "did you mean sku-name?"),
        // Final after two observations five seconds apart; until then the same text says that something may exist.
        row!(controller, create_volume(creation("w", &[("sku-name", "X")])) => Unavailable, "AMLFS-Durable-Premium-125, AMLFS-"),
        row!(controller, create_volume(creation("w", &[("sku-name", "X")])) => InvalidArgument, "AMLFS-Durable-Premium-125, AMLFS-"),
        row!(controller, create_volume(creation("x", &[("zone", "7")])) => Unavailable, "use one of 1, 2, 3"),
        row!(controller, create_volume(creation("x", &[("zone", "7")])) => InvalidArgument, "use one of 1, 2, 3"),
        row!(controller, create_volume(creation("v", &[("sub-dir", "../x")])) => InvalidArgument, "may not contain `..`"),
        row!(controller, create_volume(creation("v", &[("sub-dir", "a#b")])) => InvalidArgument, "may not contain `#`"),
        row!(controller, create_volume(creation("v", &[("mgs-ip-address", "")])) => InvalidArgument, "mgs-ip-address"),
        row!(controller, create_volume(CreateVolumeRequest { parameters: map(&[]), ..creation("v", &[]) }) => InvalidArgument, "parameters: missing"),
        row!(controller, create_volume(sized("v", -1, 0)) => OutOfRange, "cannot be negative"),
        row!(controller, create_volume(sized("y", 129 * TIB, 0)) => Unavailable, "above the maximum of 128 TiB"),
        row!(controller, create_volume(sized("y", 129 * TIB, 0)) => OutOfRange, "above the maximum of 128 TiB"),
        row!(controller, create_volume(sized("z", 5 * TIB, 6 * TIB)) => Unavailable, "above the limit of 6 TiB"),
        row!(controller, create_volume(sized("z", 5 * TIB, 6 * TIB)) => OutOfRange, "above the limit of 6 TiB"),
        row!(controller, create_volume(sized("v", 2 * TIB, TIB)) => OutOfRange, "below the 2 TiB required"),
    ])
    .await;
}

#[tokio::test]
async fn static_volumes_deletions_and_validations() {
    let driver = Driver::new().await;
    let controller = &driver.world.controller;
    let existing = CreateVolumeRequest { parameters: map(&[("mgs-ip-address", "10.0.0.4")]), ..creation("pv", &[]) };
    let validation = |volume_id: &str| ValidateVolumeCapabilitiesRequest {
        volume_id: volume_id.to_owned(),
        volume_capabilities: vec![capability(1)],
        ..Default::default()
    };
    let block = VolumeCapability {
        access_mode: Some(AccessMode { mode: 1 }),
        access_type: Some(AccessType::Block(BlockVolume {})),
    };
    let as_device =
        ValidateVolumeCapabilitiesRequest { volume_capabilities: vec![block], ..validation("v#lustrefs#1.1.1.1") };
    check(vec![
        row!(controller, create_volume(existing) => Ok, "pv#lustrefs#10.0.0.4##f#"),
        row!(controller, delete_volume(deletion("pv#lustrefs#10.0.0.4##f#")) => Ok, ""),
        row!(controller, delete_volume(deletion("anything at all")) => Ok, ""),
        row!(controller, delete_volume(deletion("gone#lustrefs#10.0.0.4##t#rg")) => Ok, ""),
        row!(controller, delete_volume(deletion("v#lustrefs#10.0.0.4##t")) => InvalidArgument, "no resource group"),
        row!(controller, delete_volume(deletion("v#lustrefs#10.0.0.4##t#rg#x")) => InvalidArgument, "7 fields"),
        row!(controller, delete_volume(deletion("")) => InvalidArgument, "volume id: missing"),
        row!(controller, validate_volume_capabilities(validation("v#lustrefs#1.1.1.1")) => Ok, "confirmed: Some"),
        row!(controller, validate_volume_capabilities(as_device) => Ok, "confirmed: None"),
        row!(controller, validate_volume_capabilities(ValidateVolumeCapabilitiesRequest { parameters: map(&[("sub-dir", "a/b"), ("fs-name", "lustrefs")]), ..validation("v#lustrefs#1.1.1.1#a/b") }) => Ok, "confirmed: Some"),
        row!(controller, validate_volume_capabilities(ValidateVolumeCapabilitiesRequest { parameters: map(&[("sub-dir", "other")]), ..validation("v#lustrefs#1.1.1.1#a/b") }) => Ok, "confirmed: None, message: \"sub-dir is `a/b`, not `other`\""),
        row!(controller, validate_volume_capabilities(validation("unknown")) => NotFound, "does not exist"),
        row!(controller, validate_volume_capabilities(validation("gone#lustrefs#1.1.1.1##t#rg")) => NotFound, "does not exist"),
    ])
    .await;
}

#[tokio::test]
async fn mounts() {
    let driver = Driver::new().await;
    let (node, first, second) = (&driver.world.node, driver.target("a"), driver.target("b"));
    let mgs = [("mgs-ip-address", "10.0.0.4")];
    let other = [("mgs-ip-address", "10.0.0.5")];
    let unpublication = NodeUnpublishVolumeRequest { volume_id: "handle".to_owned(), target_path: first.clone() };
    check(vec![
        row!(node, node_publish_volume(publication(&first, 6, &mgs)) => Ok, ""),
        row!(node, node_publish_volume(publication(&first, 6, &mgs)) => Ok, ""),
        row!(node, node_publish_volume(publication(&second, 6, &mgs)) => FailedPrecondition, "one writer"),
        row!(node, node_publish_volume(publication(&first, 5, &other)) => AlreadyExists, "10.0.0.4@tcp:/lustrefs"),
        row!(node, node_publish_volume(publication(&second, 5, &[])) => InvalidArgument, "mgs-ip-address: missing"),
        row!(node, node_publish_volume(publication("relative", 5, &mgs)) => InvalidArgument, "not an absolute path"),
        row!(node, node_publish_volume(publication("/a/../b", 5, &mgs)) => InvalidArgument, "`..`"),
        row!(node, node_publish_volume(publication(&second, 0, &mgs)) => InvalidArgument, "access mode"),
        row!(node, node_get_volume_stats(stats(&first)) => Ok, "unit: Inodes"),
        row!(node, node_get_volume_stats(stats(&second)) => NotFound, "is not mounted"),
        row!(node, node_unpublish_volume(unpublication.clone()) => Ok, ""),
        row!(node, node_unpublish_volume(unpublication) => Ok, ""),
        row!(node, node_get_volume_stats(stats(&first)) => NotFound, "is not mounted"),
    ])
    .await;
}
