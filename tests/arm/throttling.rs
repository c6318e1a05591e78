//! 429: nobody waits in the adapter, nothing of the class is sent for a while, and one request probes before all others go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::adapters::arm::http::{HttpClient, HttpError, Method, Request, Response};
use azurelustre_csi::domain::filesystem::{FilesystemSpec, Observed};
use azurelustre_csi::domain::names::Location;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::{Cloud, CloudErrorKind};
use futures_util::future::join_all;

use crate::answers::{Script, answer, error, scripted};
use crate::fakes::arm::faults::adapter;
use crate::fakes::clock::ManualClock;
use crate::replay::spec;
use crate::stack::ENDPOINT;
use crate::world::{NAME, id};

fn throttled(seconds: &str) -> Response {
    let body = br#"{"error":{"code":"TooManyRequests","message":"Slow down."}}"#;
    answer(429, &[("x-ms-request-id", "1"), ("retry-after", seconds)], body.as_slice())
}

fn absent() -> Response {
    error(404, "ResourceNotFound", "x")
}

fn other() -> FilesystemSpec {
    FilesystemSpec { id: id("another"), ..spec() }
}

fn sent(script: &Script, method: &Method) -> usize {
    script.requests.lock().unwrap().iter().filter(|request| request.method == *method).count()
}

/// One answer holds back all writes, each of which says so at once; reads and deletions go on.
#[test]
fn a_throttled_write_holds_back_writes_and_nothing_else() {
    let (cloud, clock, script) = scripted(vec![throttled("1729"), absent()]);
    let failure = clock.run(cloud.begin_create(&spec())).unwrap_err();
    assert_eq!((failure.kind, failure.retry_after), (CloudErrorKind::Throttled, Some(Duration::from_mins(5))));
    assert!(failure.message.contains("ARM throttles writes") && failure.message.contains("Slow down."), "{failure}");
    clock.advance(Duration::from_secs(17));
    let failure = clock.run(cloud.begin_create(&other())).unwrap_err();
    assert_eq!((failure.kind, failure.retry_after), (CloudErrorKind::Throttled, Some(Duration::from_secs(283))));
    assert!(failure.message.contains("ARM throttles writes") && failure.message.contains("283 s"), "{failure}");
    assert_eq!(sent(&script, &Method::PUT), 1);
    assert_eq!(clock.run(cloud.observe(&id(NAME))).unwrap(), Observed::Absent);
    clock.run(cloud.begin_delete(&id(NAME))).unwrap();
    assert_eq!(clock.now(), Duration::from_secs(17), "nobody waited");
}

/// A wire whose answers take a while, so that requests can be sent at the same time.
#[derive(Debug)]
struct Distant(Arc<Script>);

#[async_trait]
impl HttpClient for Distant {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        for _ in 0..5 {
            futures_lite::future::yield_now().await;
        }
        self.0.send(request).await
    }
}

/// The end of a pause is one request, not a thousand.
#[test]
fn one_request_probes_before_a_pause_ends() {
    let script = Script::new(vec![throttled("60"), throttled("60"), answer(201, &[], "")]);
    let clock = Arc::new(ManualClock::default());
    let cloud = adapter(Arc::new(Distant(script.clone())), ENDPOINT, clock.clone());
    clock.run(cloud.begin_create(&spec())).unwrap_err();
    clock.advance(Duration::from_mins(1));
    let specs: Vec<FilesystemSpec> =
        (0..10).map(|number| FilesystemSpec { id: id(&format!("fs-{number}")), ..spec() }).collect();
    let all = || clock.run(join_all(specs.iter().map(|spec| cloud.begin_create(spec))));
    assert!(all().iter().all(Result::is_err));
    assert_eq!(sent(&script, &Method::PUT), 2, "one probe");
    clock.advance(Duration::from_mins(1));
    assert_eq!(all().iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(sent(&script, &Method::PUT), 3, "one probe again");
    assert!(all().iter().all(Result::is_ok), "and then everybody");
}

/// A short pause of reads is waited for within the call, a long one is not.
#[test]
fn a_short_pause_of_reads_is_waited_for() {
    let (cloud, clock, _) = scripted(vec![throttled("3"), absent()]);
    assert_eq!(clock.run(cloud.observe(&id(NAME))).unwrap(), Observed::Absent);
    assert!((3..=4).contains(&clock.now().as_secs()), "{:?}", clock.now());

    let (cloud, clock, script) = scripted(vec![throttled("30"), absent()]);
    let failure = clock.run(cloud.skus(&Location::parse("eastus").unwrap())).unwrap_err();
    assert_eq!((failure.kind, clock.now()), (CloudErrorKind::Throttled, Duration::ZERO));
    assert!(failure.message.contains("ARM throttles reads") && failure.hint.is_some(), "{failure:?}");
    let failure = clock.run(cloud.observe(&id(NAME))).unwrap_err();
    assert_eq!(
        (failure.kind, clock.now(), sent(&script, &Method::GET)),
        (CloudErrorKind::Throttled, Duration::ZERO, 1)
    );
    clock.advance(Duration::from_secs(30));
    assert_eq!(clock.run(cloud.observe(&id(NAME))).unwrap(), Observed::Absent);
}

/// Requests that wait for their turn when ARM begins to throttle are not sent either.
#[test]
fn who_waits_for_a_turn_is_held_back_too() {
    let clock = Arc::new(ManualClock::default());
    let script = Script::new(vec![throttled("3600")]);
    let cloud = adapter(script.clone(), ENDPOINT, clock.clone());
    let specs: Vec<FilesystemSpec> =
        (0..200).map(|number| FilesystemSpec { id: id(&format!("fs-{number}")), ..spec() }).collect();
    let outcomes = clock.run(join_all(specs.iter().map(|spec| cloud.begin_create(spec))));
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap_err().kind == CloudErrorKind::Throttled));
    assert!(sent(&script, &Method::PUT) <= 160, "{}", sent(&script, &Method::PUT));
    assert!(clock.now() < Duration::from_secs(10), "{:?}", clock.now());
}
