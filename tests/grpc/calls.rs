//! What is asked arrives; panics stay in; what has begun runs to its end.

use std::path::PathBuf;
use std::time::Duration;

use azurelustre_csi::adapters::csi::proto::{NodePublishVolumeRequest, ProbeRequest};
use azurelustre_csi::domain::access::{AccessMode, AccessType, Capability};
use azurelustre_csi::domain::capacity::RequestedCapacity;
use azurelustre_csi::domain::mount::PublishRequest;
use azurelustre_csi::domain::provisioning::VolumeRequest;
use azurelustre_csi::ports::inbound::ValidateRequest;
use tonic::{Code, Request};

use super::golden::{capability, creation, deletion, ported, publication, stats, unpublication, validation};
use super::ports::{End, Script, Seen, VOLUME_ID};
use super::world::scripted;

fn used(mode: Option<AccessMode>) -> Capability {
    Capability { access: Some(AccessType::Mount { flags: vec!["noatime".to_owned()] }), mode }
}

fn pair(key: &str, value: &str) -> std::collections::BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

fn within<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

#[tokio::test]
async fn requests_arrive_in_the_domains_words() {
    let (world, ports) = scripted(Script::Succeed).await;
    for call in ported(&world) {
        call.await.unwrap();
    }
    let (volume, target) = (VOLUME_ID.to_owned(), PathBuf::from("/pods/1/mount"));
    let created = VolumeRequest {
        name: "pvc-1".to_owned(),
        capacity: RequestedCapacity { required_bytes: 1, limit_bytes: 2 },
        capabilities: vec![used(Some(AccessMode::MultiNodeMultiWriter))],
        parameters: pair("mgs-ip-address", "10.0.0.4"),
    };
    let published = PublishRequest {
        volume_id: volume.clone(),
        target: target.clone(),
        capability: used(Some(AccessMode::SingleNodeSingleWriter)),
        read_only: true,
        context: pair("mgs-ip-address", "10.0.0.4"),
    };
    let validated = ValidateRequest {
        volume_id: volume.clone(),
        context: pair("fs-name", "from-context"),
        capabilities: vec![used(Some(AccessMode::SingleNodeMultiWriter))],
        parameters: pair("sub-dir", "from-parameters"),
    };
    let expected = [
        Seen::Create(created, None),
        Seen::Delete(volume.clone(), None),
        Seen::Validate(validated, None),
        Seen::Publish(published, None),
        Seen::Unpublish(volume.clone(), target.clone(), None),
        Seen::Usage(volume, target, None),
    ];
    assert_eq!(ports.seen(), expected);
}

#[tokio::test]
async fn an_unknown_access_mode_arrives_as_none() {
    let (mut world, ports) = scripted(Script::Succeed).await;
    for mode in [0, 8, -1] {
        let request = NodePublishVolumeRequest { volume_capability: Some(capability(mode)), ..publication() };
        world.node.node_publish_volume(request).await.unwrap();
        let seen = ports.seen();
        let [Seen::Publish(request, _)] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(request.capability, used(None));
    }
}

#[tokio::test]
async fn the_callers_deadline_is_handed_on() {
    let timeout = Duration::from_secs(90);
    let (mut world, ports) = scripted(Script::Succeed).await;
    world.controller.create_volume(within(creation(), timeout)).await.unwrap();
    world.controller.delete_volume(within(deletion(), timeout)).await.unwrap();
    world.controller.validate_volume_capabilities(within(validation(), timeout)).await.unwrap();
    world.node.node_publish_volume(within(publication(), timeout)).await.unwrap();
    world.node.node_unpublish_volume(within(unpublication(), timeout)).await.unwrap();
    world.node.node_get_volume_stats(within(stats(), timeout)).await.unwrap();
    let seen = ports.seen();
    assert_eq!(seen.len(), 6);
    for call in seen {
        let (Seen::Create(.., given)
        | Seen::Delete(.., given)
        | Seen::Validate(.., given)
        | Seen::Publish(.., given)
        | Seen::Unpublish(.., given)
        | Seen::Usage(.., given)) = call;
        assert_eq!(given, Some(timeout));
    }
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_none() {
    let (mut world, ports) = scripted(Script::Succeed).await;
    let mut request = Request::new(deletion());
    request.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    world.controller.delete_volume(request).await.unwrap();
    assert_eq!(ports.seen(), [Seen::Delete(VOLUME_ID.to_owned(), None)]);
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_next_call_works() {
    let (mut world, ports) = scripted(Script::Succeed).await;
    let methods = [
        "CreateVolume",
        "DeleteVolume",
        "ValidateVolumeCapabilities",
        "NodePublishVolume",
        "NodeUnpublishVolume",
        "NodeGetVolumeStats",
    ];
    for waits in [false, true] {
        ports.follow(Script::Panic { waits });
        for (call, method) in ported(&world).into_iter().zip(methods) {
            let status = call.await.unwrap_err();
            // What it changed may still go on: a final code would let a deleted claim be forgotten with its file system.
            let reads = matches!(method, "ValidateVolumeCapabilities" | "NodeGetVolumeStats");
            let code = if reads { Code::Internal } else { Code::Unavailable };
            assert_eq!((status.code(), status.message()), (code, &*format!("{method} panicked; see the driver's log")));
        }
        assert_eq!(world.identity.probe(ProbeRequest {}).await.unwrap_err().code(), Code::Internal);
        ports.follow(Script::Succeed);
        for call in ported(&world) {
            call.await.unwrap();
        }
        world.identity.probe(ProbeRequest {}).await.unwrap();
    }
}

#[tokio::test]
async fn what_changes_something_outlives_its_caller_and_what_only_reads_does_not() {
    let (world, ports) = scripted(Script::Hang).await;
    let methods = ["create", "delete", "validate", "publish", "unpublish", "usage"];
    for (call, method) in ported(&world).into_iter().zip(methods) {
        let caller = tokio::spawn(call);
        ports.begun().await;
        caller.abort();
        if matches!(method, "validate" | "usage") {
            assert_eq!(ports.ended().await, End::Dropped(method));
            continue;
        }
        // The connection is in order: once a later call that only reads is seen to be dropped, so was this one.
        let later = tokio::spawn(ported(&world).into_iter().next_back().unwrap());
        ports.begun().await;
        later.abort();
        assert_eq!(ports.ended().await, End::Dropped("usage"));
        ports.let_go();
        assert_eq!(ports.ended().await, End::Finished(method));
    }
}

#[tokio::test]
async fn a_deadline_that_passes_ends_the_call_and_not_the_act() {
    let (mut world, ports) = scripted(Script::Hang).await;
    let status = world.controller.create_volume(within(creation(), Duration::from_millis(20))).await.unwrap_err();
    assert!(matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded), "{status}");
    // Client and server each have a timer; once a later call is seen to be dropped, the server's has passed for this one.
    world.node.node_get_volume_stats(within(stats(), Duration::from_millis(20))).await.unwrap_err();
    assert_eq!(ports.ended().await, End::Dropped("usage"));
    ports.let_go();
    assert_eq!(ports.ended().await, End::Finished("create"));
}

/// The use-case learns that its caller has left, though its work continues.
#[tokio::test]
async fn a_use_case_hears_that_its_caller_is_gone() {
    let (world, ports) = scripted(Script::Hang).await;
    for (number, method) in ["create", "delete"].into_iter().enumerate() {
        let call = ported(&world).into_iter().nth(number).unwrap();
        let caller = tokio::spawn(call);
        ports.begun().await;
        let seen = ports.caller();
        assert!(seen.waits(), "{method}");
        caller.abort();
        // Dropped handlers are seen in order: once a later call that only reads is dropped, so was this one's handler.
        let later = tokio::spawn(ported(&world).into_iter().next_back().unwrap());
        ports.begun().await;
        later.abort();
        assert_eq!(ports.ended().await, End::Dropped("usage"));
        assert!(!seen.waits(), "{method}");
        ports.let_go();
        assert_eq!(ports.ended().await, End::Finished(method));
    }
}

#[tokio::test]
async fn while_the_process_ends_new_calls_are_refused_and_probe_answers() {
    let (mut world, ports) = scripted(Script::Hang).await;
    let running = tokio::spawn(ported(&world).into_iter().next().unwrap());
    ports.begun().await;
    assert_eq!(world.work.unfinished(), ["CreateVolume pvc-1"]);
    world.work.stopping().cancel();
    ports.follow(Script::Succeed);
    for call in ported(&world).into_iter().enumerate().filter(|(number, _)| [0, 1, 3, 4].contains(number)) {
        let status = call.1.await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains("is ending"), "{status}");
    }
    assert_eq!(world.identity.probe(ProbeRequest {}).await.unwrap().into_inner().ready, Some(true));
    ports.let_go();
    running.await.unwrap().unwrap();
    assert_eq!(world.work.unfinished(), Vec::<String>::new());
}
