//! Rate limits: 429 and `Retry-After`, the token buckets, and the number of requests in flight. After a 429 no caller waits,
//! no request of the class is sent for a while, and one request probes before all others are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::adapters::arm::http::{HttpClient, HttpError, Method, Request, Response};
use azurelustre_csi::adapters::arm::limiter::{Class, Limiter};
use azurelustre_csi::domain::filesystem::{FilesystemSpec, Observed};
use azurelustre_csi::domain::names::Location;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::{Cloud, CloudErrorKind};
use futures_util::future::join_all;

use crate::fakes::arm::faults::adapter;
use crate::fakes::clock::ManualClock;
use crate::recorded::spec;
use crate::scripted::{Script, error, response, scripted};
use crate::stack::ENDPOINT;
use crate::world::{NAME, id};

fn throttled(seconds: &str) -> Response {
    let body = br#"{"error":{"code":"TooManyRequests","message":"Slow down."}}"#;
    response(429, &[("x-ms-request-id", "1"), ("retry-after", seconds)], body.as_slice())
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

/// One response holds back all writes, each of which says so at once; reads and deletions go on.
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

/// A client whose responses take a while, so that requests can be sent at the same time.
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
    let script = Script::new(vec![throttled("60"), throttled("60"), response(201, &[], "")]);
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
fn a_read_waits_for_a_short_pause() {
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
fn a_request_that_waits_for_the_limiter_is_not_sent_after_a_429() {
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

/// A caller that stops waiting returns its token, so that the queue does not grow.
#[test]
fn a_token_of_the_limiter_that_is_not_used_is_returned() {
    let (limiter, clock) = (Limiter::default(), ManualClock::default());
    for _ in 0..160 {
        clock.run(limiter.admit(Class::Writes, &clock));
    }
    assert_eq!(clock.now(), Duration::ZERO);
    for _ in 0..1000 {
        // Left at once, as a caller does whose time is up.
        let turn = std::pin::pin!(limiter.admit(Class::Writes, &clock));
        assert!(futures_lite::future::block_on(futures_lite::future::poll_once(turn)).is_none());
    }
    clock.run(limiter.admit(Class::Writes, &clock));
    assert!(clock.now() < Duration::from_millis(200), "{:?}", clock.now());
}

/// A short `Retry-After` is waited for within the call, a long one is handed up at once.
#[test]
fn a_read_waits_for_a_short_retry_after_and_not_for_a_long_one() {
    for (asked, requests, waited) in [("4", 3, 8), ("60", 1, 0)] {
        let (cloud, clock, script) = scripted(vec![response(503, &[("retry-after", asked)], "")]);
        let failure = clock.run(cloud.observe(&id(NAME))).unwrap_err();
        assert_eq!(failure.kind, CloudErrorKind::Unavailable);
        assert_eq!(failure.retry_after.map(|pause| pause.as_secs().to_string()).as_deref(), Some(asked));
        assert_eq!(script.requests.lock().unwrap().len(), requests, "{asked}");
        assert_eq!(clock.now().as_secs(), waited, "{asked}");
    }
}

/// More than ARM's bucket holds is not sent at once.
#[test]
fn reads_beyond_the_burst_queue() {
    let (cloud, clock, _) = scripted(vec![error(404, "ResourceNotFound", "x")]);
    for _ in 0..300 {
        clock.run(cloud.observe(&id(NAME))).unwrap();
    }
    assert!((4..=6).contains(&clock.now().as_secs()), "{:?}", clock.now());
}

/// How many requests were in progress at the same time.
#[derive(Debug, Default)]
struct Crowded {
    now: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl HttpClient for Crowded {
    async fn send(&self, _: Request) -> Result<Response, HttpError> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        for _ in 0..3 {
            futures_lite::future::yield_now().await;
        }
        self.now.fetch_sub(1, Ordering::Relaxed);
        Ok(error(404, "ResourceNotFound", "x"))
    }
}

#[test]
fn at_most_32_requests_are_in_flight() {
    let (client, clock) = (Arc::new(Crowded::default()), Arc::new(ManualClock::default()));
    let cloud = adapter(client.clone(), ENDPOINT, clock.clone());
    let asked = id(NAME);
    clock.run(join_all((0..100).map(|_| cloud.observe(&asked))));
    assert_eq!(client.most.load(Ordering::Relaxed), 32);
}
