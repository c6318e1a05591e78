//! Guards of the adapter that only this file would miss.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::adapters::arm::credentials::{Secret, TokenError, TokenErrorKind};
use azurelustre_csi::adapters::arm::http::{HttpClient, HttpError, Request, Response};
use azurelustre_csi::adapters::arm::token::TokenProvider;
use azurelustre_csi::domain::names::{NetworkName, SubnetId};
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::{Cloud, CloudErrorKind, SubnetCapacityRequest};
use azurelustre_csi::ports::inbound::{Caller, Provisioning};
use futures_util::future::join_all;
use serde_json::json;

use crate::answers::{Script, answer, error, json_answer, scripted};
use crate::fakes::arm::Kind;
use crate::fakes::arm::faults::{FaultKind, HttpFault, adapter, adapter_with};
use crate::fakes::clock::ManualClock;
use crate::replay::spec;
use crate::stack::{ENDPOINT, Process, Stack};
use crate::world::{NAME, id, request};

/// A short `Retry-After` is waited for within the call, a long one is handed up at once.
#[test]
fn a_read_waits_as_long_as_it_is_asked_to_or_not_at_all() {
    for (asked, requests, waited) in [("4", 3, 8), ("60", 1, 0)] {
        let (cloud, clock, script) = scripted(vec![answer(503, &[("retry-after", asked)], "")]);
        let failure = clock.run(cloud.observe(&id(NAME))).unwrap_err();
        assert_eq!(failure.kind, CloudErrorKind::Unavailable);
        assert_eq!(failure.retry_after.map(|pause| pause.as_secs().to_string()).as_deref(), Some(asked));
        assert_eq!(script.requests.lock().unwrap().len(), requests, "{asked}");
        assert_eq!(clock.now().as_secs(), waited, "{asked}");
    }
}

/// Pages of proxies, whatever they say.
#[test]
fn a_page_is_no_quota_and_a_late_page_is_no_answer() {
    for (page, kind) in [
        (answer(409, &[], "<html>exceeding quota limits</html>"), CloudErrorKind::Unreadable),
        (answer(408, &[], "<html>"), CloudErrorKind::Unavailable),
    ] {
        let (cloud, clock, _) = scripted(vec![page]);
        assert_eq!(clock.run(cloud.begin_create(&spec())).unwrap_err().kind, kind);
    }
}

/// No token, for this reason.
#[derive(Debug)]
struct NoToken(TokenErrorKind, AtomicUsize);

#[async_trait]
impl TokenProvider for NoToken {
    async fn token(&self) -> Result<Secret, TokenError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Err(TokenError::new(self.0, "no"))
    }

    fn reject(&self, _: &Secret) {}
}

/// Tokens have attempts of their own; without one nothing is sent, and a creation is refused only if the credential is bad.
#[test]
fn without_a_token_nothing_is_sent() {
    for (reason, kind) in [
        (TokenErrorKind::Refused, CloudErrorKind::Unauthenticated),
        (TokenErrorKind::Unavailable, CloudErrorKind::Unavailable),
        (TokenErrorKind::Unreadable, CloudErrorKind::Unavailable),
    ] {
        let (tokens, clock) = (Arc::new(NoToken(reason, AtomicUsize::new(0))), Arc::new(ManualClock::default()));
        let script = Script::new(vec![answer(200, &[], "")]);
        let cloud = adapter_with(tokens.clone(), script.clone(), ENDPOINT, clock.clone());
        assert_eq!(clock.run(cloud.observe(&id(NAME))).unwrap_err().kind, kind, "{reason:?}");
        assert_eq!(clock.run(cloud.begin_create(&spec())).unwrap_err().kind, kind, "{reason:?}");
        assert_eq!((tokens.1.load(Ordering::Relaxed), script.requests.lock().unwrap().len()), (2, 0), "{reason:?}");
    }
}

/// Eight creations in progress in a process whose lists meet this fault.
fn crowd(fault_kind: FaultKind) -> (Stack, Process) {
    let stack = Stack::new();
    stack.azure.simulator.cloud().edit_world(|world| world.quota = 100);
    let process =
        stack.process(Box::new(move |_, kind| (kind == Kind::List).then_some(HttpFault { fault_kind, after: false })));
    let names: Vec<String> = (1..=8).map(|number| format!("pvc-{number}")).collect();
    let all = names
        .iter()
        .map(|name| process.driver.provision.create(request(name), Caller::staying(Some(Duration::from_mins(1)))));
    assert!(stack.azure.clock.run(join_all(all)).iter().all(Result::is_err));
    assert!(stack.kinds().contains(&Kind::List));
    (stack, process)
}

/// When ARM asks for fewer requests, a list that it refused is not replaced by a request for each file system.
#[test]
fn a_throttled_list_is_not_replaced_by_many_looks() {
    let (stack, process) = crowd(FaultKind::Throttled(30));
    let before = stack.kinds().len();
    let failure = stack.azure.clock.run(process.adapter.observe(&id(NAME))).unwrap_err();
    assert_eq!(failure.kind, CloudErrorKind::Throttled);
    assert_eq!(stack.kinds()[before..], []);
    stack.azure.pass(Duration::from_secs(30));
    let failure = stack.azure.clock.run(process.adapter.observe(&id(NAME))).unwrap_err();
    assert_eq!((failure.kind, &stack.kinds()[before..]), (CloudErrorKind::Throttled, &[Kind::List][..]));
}

/// A list that may not be read is requested once in a while, not at every poll.
#[test]
fn a_forbidden_list_is_left_alone() {
    let (stack, process) = crowd(FaultKind::Status(403));
    assert!(stack.azure.clock.run(process.adapter.observe(&id(NAME))).is_ok());
    assert_eq!(stack.kinds().iter().filter(|kind| **kind == Kind::List).count(), 1);
}

/// What ARM refused takes no addresses.
#[test]
fn a_refused_creation_takes_no_addresses() {
    let subnet = spec().subnet;
    let networks = format!("/subscriptions/s/resourceGroups/{}/providers/Microsoft.Network", subnet.resource_group);
    let id = format!("{networks}/virtualNetworks/{}/subnets/{}", subnet.vnet, subnet.subnet);
    let size = json_answer(200, &json!({ "filesystemSubnetSize": 8 }));
    let uses = json_answer(200, &json!({ "value": [{ "id": id, "limit": 251.0, "currentValue": 5.0 }] }));
    let (cloud, clock, _) = scripted(vec![size, uses, error(403, "AuthorizationFailed", "x")]);
    let request = SubnetCapacityRequest { subnet, sku_name: spec().sku_name, capacity: spec().capacity };
    clock.run(cloud.subnet_capacity(&request)).unwrap();
    clock.run(cloud.begin_create(&spec())).unwrap_err();
    assert_eq!(clock.run(cloud.subnet_capacity(&request)).unwrap().available, 246);
}

/// What is taken in one subnet is free in its neighbours; and figures are not kept.
#[test]
fn addresses_are_counted_by_subnet_and_looked_at_again() {
    let (full, empty) = (spec().subnet, NetworkName::parse("neighbour").unwrap());
    let networks = format!("/subscriptions/s/resourceGroups/{}/providers/Microsoft.Network", full.resource_group);
    let usage = |subnet: &NetworkName, used: f64| {
        let id = format!("{networks}/virtualNetworks/{}/subnets/{subnet}", full.vnet);
        json!({ "id": id, "limit": 251.0, "currentValue": used })
    };
    let uses = |used: f64| json_answer(200, &json!({ "value": [usage(&full.subnet, used), usage(&empty, 5.0)] }));
    let size = json_answer(200, &json!({ "filesystemSubnetSize": 8 }));
    let (cloud, clock, _) = scripted(vec![size, uses(5.0), answer(201, &[], ""), uses(100.0)]);
    let room = |subnet: &NetworkName| {
        let subnet = SubnetId { subnet: subnet.clone(), ..full.clone() };
        let request = SubnetCapacityRequest { subnet, sku_name: spec().sku_name, capacity: spec().capacity };
        clock.run(cloud.subnet_capacity(&request)).unwrap().available
    };
    assert_eq!(room(&full.subnet), 246);
    clock.run(cloud.begin_create(&spec())).unwrap();
    assert_eq!((room(&full.subnet), room(&empty)), (238, 246));
    clock.advance(Duration::from_secs(3));
    assert_eq!(room(&full.subnet), 151, "the network's own figures, which show it");
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
fn few_requests_are_under_way_at_once() {
    let (wire, clock) = (Arc::new(Crowded::default()), Arc::new(ManualClock::default()));
    let cloud = adapter(wire.clone(), ENDPOINT, clock.clone());
    let asked = id(NAME);
    clock.run(join_all((0..100).map(|_| cloud.observe(&asked))));
    assert_eq!(wire.most.load(Ordering::Relaxed), 32);
}
