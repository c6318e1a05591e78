//! The log of a call: one line with method, volume and code, and no secret. Each test searches for its own texts.

use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::csi::{Identity, IdentityInfo};
use azurelustre_csi::app::usecase::readiness::LatchedReadiness;
use azurelustre_csi::ports::operations::{Operation, OperationKind, Operations};

use azurelustre_csi::adapters::csi::proto::*;
use azurelustre_csi::ports::inbound::FailureKind;

use super::golden::{creation, deletion, map, publication, stats, validation};
use super::ports::Script;
use super::world::scripted;
use crate::log_buffer::LogBuffer;

fn written() -> String {
    LogBuffer::of_process().text()
}

/// The lines of our own about a volume.
fn lines_about(volume: &str) -> Vec<String> {
    written()
        .lines()
        .filter(|line| line.contains(volume) && line.contains("azurelustre_csi"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_failure_is_logged_once_with_method_volume_code_and_message() {
    LogBuffer::of_process();
    for (volume, kind, level, code) in [
        ("volume-unavailable", FailureKind::Unavailable, " WARN ", "code=Unavailable"),
        ("volume-internal", FailureKind::Internal, "ERROR ", "code=Internal"),
    ] {
        let (mut world, _ports) = scripted(Script::Fail(kind)).await;
        world
            .controller
            .create_volume(CreateVolumeRequest { name: volume.to_owned(), ..creation() })
            .await
            .unwrap_err();
        let lines = lines_about(volume);
        let [line] = lines.as_slice() else { panic!("{lines:#?}") };
        for part in [level, "method=\"CreateVolume\"", code, "duration_ms=", "create failed; hint: a cure"] {
            assert!(line.contains(part), "{part:?} is not in {line}");
        }
    }
}

#[tokio::test]
async fn a_change_is_logged_at_info_and_a_read_only_at_debug() {
    LogBuffer::of_process();
    let (mut world, _ports) = scripted(Script::Succeed).await;
    let id = |name: &str| name.to_owned();
    let acts = NodePublishVolumeRequest { volume_id: id("volume-published"), ..publication() };
    world.node.node_publish_volume(acts).await.unwrap();
    let read = NodeGetVolumeStatsRequest { volume_id: id("volume-read"), ..stats() };
    world.node.node_get_volume_stats(read).await.unwrap();
    for (volume, level) in [("volume-published", " INFO "), ("volume-read", "DEBUG ")] {
        let lines = lines_about(volume);
        assert!(matches!(lines.as_slice(), [line] if line.contains(level) && line.contains("code=Ok")), "{lines:#?}");
    }
}

/// One operation that hangs and one that does not.
#[derive(Debug)]
struct Hanging;

impl Operations for Hanging {
    fn in_progress(&self) -> Vec<Operation> {
        let operation = |subject: &str, overdue| Operation {
            kind: OperationKind::Unmount,
            subject: subject.to_owned(),
            volume_id: None,
            mgs: Some("10.0.0.4@tcp".to_owned()),
            age: Duration::from_secs(77),
            overdue,
        };
        vec![operation("/overdue-target", true), operation("/healthy-target", false)]
    }
}

#[tokio::test]
async fn probe_names_the_operations_that_are_past_their_limit() {
    LogBuffer::of_process();
    let ready = LatchedReadiness::new(None).with_operations(Some(Arc::new(Hanging)));
    let info = IdentityInfo { driver_name: "d".to_owned(), vendor_version: "0".to_owned(), controller: false };
    let identity = Identity::new(info, Arc::new(ready));
    let answer = identity_server::Identity::probe(&identity, tonic::Request::new(ProbeRequest {})).await.unwrap();
    assert_eq!(answer.into_inner().ready, Some(true));
    let lines = lines_about("/overdue-target");
    let [line] = lines.as_slice() else { panic!("{lines:#?}") };
    assert!(line.contains(" WARN ") && line.contains("unmount of /overdue-target on 10.0.0.4@tcp for 77s"), "{line}");
    assert!(lines_about("/healthy-target").is_empty());
}

#[tokio::test]
async fn a_volumes_name_cannot_forge_a_line() {
    LogBuffer::of_process();
    let (mut world, _ports) = scripted(Script::Succeed).await;
    let name = "volume-forging\n2026-01-01 ERROR forged\u{1b}[31m".to_owned();
    world.controller.create_volume(CreateVolumeRequest { name, ..creation() }).await.unwrap();
    let lines = lines_about("volume-forging");
    assert!(matches!(lines.as_slice(), [line] if line.contains("forged") && !line.contains('\u{1b}')), "{lines:#?}");
}

#[tokio::test]
async fn secrets_are_in_no_log_and_no_debug_output() {
    LogBuffer::of_process();
    let secret = "correct-horse-battery";
    let secrets = || map(&[("accountKey", secret)]);
    let mut shown = String::new();
    macro_rules! send {
        ($client:expr, $method:ident($request:expr)) => {{
            let request = $request;
            shown += &format!("{request:?}");
            let _ = $client.$method(request).await;
        }};
    }
    for script in [Script::Succeed, Script::Fail(FailureKind::Internal), Script::Panic { waits: true }] {
        let (mut world, _ports) = scripted(script).await;
        let name = "volume-with-secrets".to_owned();
        send!(world.controller, create_volume(CreateVolumeRequest { secrets: secrets(), name, ..creation() }));
        send!(world.controller, delete_volume(DeleteVolumeRequest { secrets: secrets(), ..deletion() }));
        send!(
            world.controller,
            validate_volume_capabilities(ValidateVolumeCapabilitiesRequest { secrets: secrets(), ..validation() })
        );
        send!(world.node, node_publish_volume(NodePublishVolumeRequest { secrets: secrets(), ..publication() }));
        send!(world.node, node_stage_volume(NodeStageVolumeRequest { secrets: secrets(), ..Default::default() }));
        send!(world.controller, list_snapshots(ListSnapshotsRequest { secrets: secrets(), ..Default::default() }));
    }
    assert!(shown.contains("secrets: [1 redacted]") && !shown.contains(secret) && !shown.contains("accountKey"));
    let written = written();
    assert!(written.contains("volume-with-secrets") && written.contains("TRACE"), "nothing was captured");
    assert!(!written.contains(secret) && !written.contains("accountKey"));
}
