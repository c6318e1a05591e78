//! PUT and DELETE run to their end even if their caller leaves, and are joined instead of racing each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::adapters::arm::http::{HttpClient, HttpError, Request, Response};
use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::filesystem::FilesystemSpec;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::{Cloud, CloudErrorKind};
use futures_lite::future::{or, zip};

use crate::fakes::arm::faults::adapter;
use crate::fakes::clock::ManualClock;
use crate::recorded::spec;
use crate::scripted::{error, response};
use crate::stack::ENDPOINT;

/// Answers each request after a while.
#[derive(Debug)]
struct Slow {
    clock: Arc<ManualClock>,
    takes: Duration,
    responses: Vec<Response>,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

#[async_trait]
impl HttpClient for Slow {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        self.clock.sleep(self.takes.min(request.time_limit)).await;
        self.ended.fetch_add(1, Ordering::Relaxed);
        if self.takes > request.time_limit {
            return Err(HttpError::TimedOut(request.time_limit));
        }
        Ok(self.responses[number.min(self.responses.len() - 1)].clone())
    }
}

fn slow(seconds: u64, responses: Vec<Response>) -> (Arc<Slow>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let takes = Duration::from_secs(seconds);
    let counts = (AtomicUsize::new(0), AtomicUsize::new(0));
    (Arc::new(Slow { clock: clock.clone(), takes, responses, begun: counts.0, ended: counts.1 }), clock)
}

impl Slow {
    fn counts(&self) -> (usize, usize) {
        (self.begun.load(Ordering::Relaxed), self.ended.load(Ordering::Relaxed))
    }
}

/// Stops waiting after a second, as a call does whose deadline passes.
async fn for_a_second<T>(clock: &ManualClock, future: impl Future<Output = T>) -> Option<T> {
    or(async { Some(future.await) }, async {
        clock.sleep(Duration::from_secs(1)).await;
        None
    })
    .await
}

#[test]
fn a_request_that_was_sent_runs_to_its_end_without_its_caller() {
    let (client, clock) = slow(5, vec![response(201, &[], "")]);
    let cloud = adapter(client.clone(), ENDPOINT, clock.clone());
    assert!(clock.run(for_a_second(&clock, cloud.begin_create(&spec()))).is_none());
    assert_eq!((client.counts(), clock.tasks()), ((1, 0), 1));
    clock.run(clock.sleep(Duration::from_secs(10)));
    assert_eq!((client.counts(), clock.tasks()), ((1, 1), 0));
}

#[test]
fn a_further_call_joins_the_request_in_flight() {
    let denied = error(403, "AuthorizationFailed", "no");
    let (client, clock) = slow(5, vec![denied]);
    let cloud = adapter(client.clone(), ENDPOINT, clock.clone());
    assert!(clock.run(for_a_second(&clock, cloud.begin_create(&spec()))).is_none());
    let failure = clock.run(cloud.begin_create(&spec())).unwrap_err();
    assert_eq!((failure.kind, client.counts()), (CloudErrorKind::Denied, (1, 1)));
    assert_eq!(clock.now(), Duration::from_secs(5));
    // Once it is answered, a further call sends one of its own.
    clock.run(cloud.begin_create(&spec())).unwrap_err();
    assert_eq!(client.counts(), (2, 2));
}

#[test]
fn calls_at_the_same_time_send_one_request() {
    let (client, clock) = slow(5, vec![response(202, &[], "")]);
    let cloud = adapter(client.clone(), ENDPOINT, clock.clone());
    let (one, other) = clock.run(zip(cloud.begin_delete(&spec().id), cloud.begin_delete(&spec().id)));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(client.counts(), (1, 1));
}

/// Another body, and a deletion while a creation has no response, are not sent beside it.
#[test]
fn a_different_request_for_the_same_file_system_is_not_sent() {
    let (client, clock) = slow(5, vec![response(201, &[], "")]);
    let cloud = adapter(client.clone(), ENDPOINT, clock.clone());
    let larger = FilesystemSpec { capacity: Tib(32), ..spec() };
    let id = spec().id;
    let others = async {
        clock.sleep(Duration::from_secs(1)).await;
        (cloud.begin_create(&larger).await.unwrap_err(), cloud.begin_delete(&id).await.unwrap_err())
    };
    let owned = spec();
    let (created, (second, deletion)) = clock.run(zip(cloud.begin_create(&owned), others));
    created.unwrap();
    for failure in [second, deletion] {
        assert_eq!(failure.kind, CloudErrorKind::Busy);
        assert!(failure.message.contains("PUT"), "{failure}");
    }
    assert_eq!(client.counts(), (1, 1));
}

/// A request has its own time limit, even if its caller leaves.
#[test]
fn a_request_ends_after_a_minute() {
    let (client, clock) = slow(3600, vec![response(201, &[], "")]);
    let cloud = adapter(client.clone(), ENDPOINT, clock.clone());
    let failure = clock.run(cloud.begin_create(&spec())).unwrap_err();
    assert_eq!((failure.kind, clock.now()), (CloudErrorKind::Unavailable, Duration::from_mins(1)));
    assert_eq!((client.counts(), clock.tasks()), ((1, 1), 0));
}
