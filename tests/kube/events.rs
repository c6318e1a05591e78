//! Events on claims: bodies, series, and what happens when a write fails.

use std::time::Duration;

use azurelustre_csi::ports::orchestrator::{ClaimEvent, EventKind, Orchestrator, OrchestratorErrorKind};
use serde_json::{Value, json};

use crate::fakes::kube::{DRIVER, status};
use crate::world::{Cluster, UID, event};

#[tokio::test]
async fn an_event_is_created_as_kubectl_describe_wants_it() {
    let cluster = Cluster::start().await;
    let warning = ClaimEvent { kind: EventKind::Warning, ..event("FilesystemCreationFailed", "it failed; do this") };
    cluster.orchestrator.report(&warning).await.unwrap();
    let seen = cluster.stub.state().seen[0].clone();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/v1/namespaces/team/events"));
    assert_eq!(seen.content_type, "application/json");
    let mut body = seen.body;
    let name = body["metadata"]["name"].take();
    assert!(name.as_str().unwrap().strip_prefix("claim.").unwrap().bytes().all(|byte| byte.is_ascii_hexdigit()));
    let (first, last) = (body["firstTimestamp"].take(), body["lastTimestamp"].take());
    assert_eq!(first, last);
    assert!(first.as_str().unwrap().ends_with('Z'), "{first}");
    assert_eq!(
        body,
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": null, "namespace": "team"},
            "involvedObject": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "team", "name": "claim", "uid": UID,
            },
            "type": "Warning", "reason": "FilesystemCreationFailed", "message": "it failed; do this", "count": 1,
            "firstTimestamp": null, "lastTimestamp": null,
            "source": {"component": DRIVER}, "reportingComponent": DRIVER, "reportingInstance": "pod-1",
        })
    );
}

#[tokio::test]
async fn a_repeated_event_is_a_patch_of_count_time_and_text() {
    let cluster = Cluster::start().await;
    cluster.report("FilesystemCreating", "1m00s so far").await.unwrap();
    cluster.report("FilesystemCreating", "2m00s so far").await.unwrap();
    let name = cluster.stub.events()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let mut seen = cluster.stub.state().seen[1].clone();
    assert_eq!((seen.method.as_str(), seen.path), ("PATCH", format!("/api/v1/namespaces/team/events/{name}")));
    assert_eq!(seen.content_type, "application/merge-patch+json");
    assert!(seen.body["lastTimestamp"].take().is_string());
    assert_eq!(seen.body, json!({"count": 2, "message": "2m00s so far", "lastTimestamp": null}));
}

#[tokio::test]
async fn an_event_that_expired_begins_anew() {
    let cluster = Cluster::start().await;
    cluster.report("A", "1").await.unwrap();
    cluster.stub.state().events.clear();
    cluster.report("A", "2").await.unwrap();
    let events = cluster.stub.events();
    assert_eq!((events.len(), &events[0]["count"], &events[0]["message"]), (1, &json!(1), &json!("2")));
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_makes_no_second_event() {
    let cluster = Cluster::start().await;
    cluster.report("A", "1").await.unwrap();
    // The stub keeps the event and loses its answer.
    let kept = cluster.stub.state().events.clone();
    let cluster = Cluster::start().await;
    cluster.fail(|number, _| (number == 0).then(|| status(504, "Timeout", "lost")));
    assert_eq!(cluster.report("A", "1").await.unwrap_err().kind, OrchestratorErrorKind::Unavailable);
    let lost = cluster.stub.state().seen[0].body.clone();
    let name = lost["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.stub.state().events.insert(("team".to_owned(), name), lost);
    cluster.report("A", "1").await.unwrap();
    assert_eq!(cluster.stub.events().len(), kept.len());
    // From here on it is updated.
    cluster.report("A", "2").await.unwrap();
    assert_eq!(cluster.stub.events()[0]["count"], json!(2));
}

#[tokio::test]
async fn an_old_event_bears_the_time_at_which_it_happened() {
    let cluster = Cluster::start().await;
    cluster.report("A", "now").await.unwrap();
    let hour = Duration::from_hours(1);
    cluster.orchestrator.report(&ClaimEvent { age: hour, ..event("B", "an hour ago") }).await.unwrap();
    let events = cluster.stub.events();
    let minutes = |event: &Value| {
        let time: k8s_openapi::jiff::Timestamp = event["lastTimestamp"].as_str().unwrap().parse().unwrap();
        time.as_second() / 60
    };
    assert!((59..=60).contains(&(minutes(&events[0]) - minutes(&events[1]))), "{events:?}");
}

#[tokio::test]
async fn a_volume_that_was_not_named_by_a_uid_gives_an_event_without_one() {
    let cluster = Cluster::start().await;
    let event = ClaimEvent { volume_name: "my-volume".to_owned(), ..event("A", "1") };
    cluster.orchestrator.report(&event).await.unwrap();
    assert_eq!(cluster.stub.events()[0]["involvedObject"].get("uid"), None);
}

#[tokio::test]
async fn failures_by_their_meaning() {
    use OrchestratorErrorKind::{Denied, Refused, Unavailable};
    let mut terminating =
        status(403, "Forbidden", "unable to create new content in namespace team because it is being terminated");
    terminating.1["details"] =
        json!({"causes": [{"reason": "NamespaceTerminating", "message": "x", "field": "metadata.namespace"}]});
    let cases = [
        (status(403, "Forbidden", "events is forbidden"), Denied, "create and patch events"),
        (terminating, Refused, "being terminated"),
        (status(404, "NotFound", "namespaces \"team\" not found"), Refused, "not found"),
        (status(422, "Invalid", "Event is invalid"), Refused, "is invalid"),
        (status(500, "InternalError", "etcd"), Unavailable, "etcd"),
    ];
    for (answer, kind, part) in cases {
        let cluster = Cluster::start().await;
        cluster.fail(move |_, _| Some(answer.clone()));
        let error = cluster.report("A", "1").await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().starts_with("write event A on claim team/claim: "), "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(cluster.stub.requests().len(), 1, "no request is repeated here");
    }
}

#[tokio::test]
async fn what_is_no_namespace_reaches_no_path() {
    let cluster = Cluster::start().await;
    let event = ClaimEvent { namespace: "../../apis".to_owned(), ..event("A", "1") };
    assert_eq!(cluster.orchestrator.report(&event).await.unwrap_err().kind, OrchestratorErrorKind::Refused);
    assert_eq!(cluster.stub.requests(), Vec::<String>::new());
}
