//! A cloud that fails in bad ways, and whoever stands before it: nothing leaks, nothing is deleted, no secret is shown.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::adapters::arm::credentials::{Secret, TokenError};
use azurelustre_csi::adapters::arm::http::{HttpClient, HttpError, Request, Response};
use azurelustre_csi::adapters::arm::limiter::{Class, Limiter};
use azurelustre_csi::adapters::arm::token::TokenProvider;
use azurelustre_csi::adapters::simulator::World;
use azurelustre_csi::domain::filesystem::{FilesystemSpec, Observed, ProvisioningState};
use azurelustre_csi::domain::lifecycle::{self, Step};
use azurelustre_csi::domain::names::Location;
use azurelustre_csi::domain::ownership;
use azurelustre_csi::domain::provisioning::ProvisionPlan;
use azurelustre_csi::domain::tags::{CREATED_BY, CREATED_BY_US, PV_NAME};
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::{Cloud, CloudErrorKind, SubnetCapacityRequest};
use azurelustre_csi::ports::inbound::{Caller, FailureKind, Provisioning};
use futures_util::future::join_all;
use serde_json::json;

use crate::answers::{Script, answer, error, json_answer, scripted};
use crate::fakes::arm::faults::{FaultKind, HttpFault, OneToken, StubClient, adapter, adapter_with};
use crate::fakes::arm::{Kind, TOKEN, kind};
use crate::fakes::clock::ManualClock;
use crate::fakes::faulty::Faults;
use crate::replay::spec;
use crate::stack::{ENDPOINT, Stack};
use crate::world::{BUDGET, NAME, OURS, id, request};

/// A proxy that answers in ARM's place has not refused anything: whatever comes after it, the PUT may be alive.
#[test]
fn a_proxys_401_is_not_followed_by_a_second_put() {
    let (cloud, clock, script) = scripted(vec![answer(401, &[], "<html>"), error(403, "AuthorizationFailed", "no")]);
    let failure = clock.run(cloud.begin_create(&spec())).unwrap_err();
    assert_eq!((failure.kind, script.requests.lock().unwrap().len()), (CloudErrorKind::Unreadable, 1), "{failure}");
}

/// JSON in ARM's form without ARM's request id is a gateway's; ARM's own answer counts in whatever form.
#[test]
fn only_an_answer_with_arms_request_id_is_arms() {
    for (status, code, kind) in [
        (404, "ResourceNotFound", CloudErrorKind::NotFound),
        (403, "Forbidden", CloudErrorKind::Denied),
        (400, "BadRequest", CloudErrorKind::Invalid),
        (401, "Unauthorized", CloudErrorKind::Unauthenticated),
    ] {
        for body in [
            json!({ "code": code, "message": "quota limits" }),
            json!({ "error": { "code": code, "message": "x" } }),
            json!({ "Message": code }),
        ] {
            let bytes = serde_json::to_vec(&body).unwrap();
            let (cloud, clock, _) = scripted(vec![answer(status, &[], bytes)]);
            assert_eq!(clock.run(cloud.observe(&id(NAME))).unwrap_err().kind, CloudErrorKind::Unreadable, "{body}");
            let failure = clock.run(cloud.begin_create(&spec())).unwrap_err();
            assert_eq!(failure.kind, CloudErrorKind::Unreadable, "{body}");
            assert!(failure.hint.unwrap().contains("proxy or firewall"), "{body}");
            let (cloud, clock, _) = scripted(vec![json_answer(status, &body)]);
            let failure = clock.run(cloud.begin_create(&spec())).unwrap_err();
            assert_eq!(failure.kind, kind, "{body}");
            assert!(!failure.hint.as_deref().unwrap_or_default().contains("proxy"), "{body}: {failure:?}");
            assert!(failure.message.contains(code), "{body}: {failure}");
        }
    }
}

/// Some proxies answer with the request that they refused.
#[test]
fn a_token_that_comes_back_is_not_shown() {
    let echo = format!("GET / HTTP/1.1\r\nauthorization: Bearer {TOKEN}\r\n");
    let answers = [
        answer(502, &[], echo.clone()),
        answer(200, &[], echo.clone()),
        answer(403, &[], echo.clone()),
        error(400, "Bad", &echo),
        json_answer(200, &json!([echo])),
    ];
    for answer in answers {
        let (cloud, clock, _) = scripted(vec![answer.clone()]);
        let failure = clock.run(cloud.observe(&id(NAME))).unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains(TOKEN), "{failure:?}");
        let failure = clock.run(cloud.skus(&Location::parse("eastus").unwrap())).unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains(TOKEN), "{failure:?}");
    }
}

/// A read is tried again with a new token also after other fault_kind, but not for ever.
#[test]
fn an_expired_token_is_replaced_once_whatever_came_before() {
    let (expired, down) = (error(401, "ExpiredAuthenticationToken", "x"), error(503, "Down", "x"));
    let absent = error(404, "ResourceNotFound", "x");
    let (cloud, clock, script) = scripted(vec![down, expired.clone(), absent]);
    assert_eq!(clock.run(cloud.observe(&id(NAME))).unwrap(), Observed::Absent);
    assert_eq!(script.requests.lock().unwrap().len(), 3);
    let (cloud, clock, script) = scripted(vec![expired]);
    assert_eq!(clock.run(cloud.observe(&id(NAME))).unwrap_err().kind, CloudErrorKind::Unauthenticated);
    assert_eq!(script.requests.lock().unwrap().len(), 2);
}

/// The one token, and what was said against it.
#[derive(Debug, Default)]
struct Blamed(Mutex<Vec<String>>);

#[async_trait]
impl TokenProvider for Blamed {
    async fn token(&self) -> Result<Secret, TokenError> {
        OneToken.token().await
    }

    fn reject(&self, token: &Secret) {
        self.0.lock().unwrap().push(token.reveal().to_owned());
    }
}

#[test]
fn only_arm_can_speak_against_a_token() {
    for (answer, expected) in [
        (error(401, "InvalidAuthenticationToken", "x"), 2),
        (answer(401, &[("www-authenticate", "Bearer authorization_uri=\"https://login.test/\"")], ""), 3),
        (answer(401, &[], "<html>"), 0),
        (answer(401, &[("www-authenticate", "Basic realm=\"proxy\"")], "<html>"), 0),
        (error(403, "AuthorizationFailed", "x"), 0),
    ] {
        let (tokens, clock, case) =
            (Arc::new(Blamed::default()), Arc::new(ManualClock::default()), format!("{answer:?}"));
        let cloud = adapter_with(tokens.clone(), Script::new(vec![answer]), ENDPOINT, clock.clone());
        clock.run(cloud.observe(&id(NAME))).unwrap_err();
        let blamed = tokens.0.lock().unwrap().clone();
        assert!(blamed.len() == expected && blamed.iter().all(|token| token == TOKEN), "{case}: {blamed:?}");
    }
}

/// Lists that stand still, as ARM's own copies have done, in front of a cloud that goes on.
#[derive(Debug)]
struct StaleLists {
    stub: StubClient,
    first: Mutex<Option<Response>>,
}

#[async_trait]
impl HttpClient for StaleLists {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let list = kind(&request) == Kind::List;
        let answer = self.stub.send(request).await?;
        Ok(if list { self.first.lock().unwrap().get_or_insert(answer).clone() } else { answer })
    }
}

/// A stack with eight creations in progress, and a process that reads them from a list that stands still.
fn crowd() -> (Stack, crate::world::Driver, Vec<String>) {
    let stack = Stack::new();
    stack.azure.simulator.cloud().edit_world(|world| world.quota = 100);
    let stub = StubClient::new(stack.stub.clone(), stack.azure.clock.clone(), Box::new(|_, _| None));
    let wire = Arc::new(StaleLists { stub, first: Mutex::default() });
    let cloud = Arc::new(adapter(wire, ENDPOINT, stack.azure.clock.clone()));
    let driver = stack.azure.driver_over(cloud, Faults::none(stack.azure.clock.clone()));
    let names: Vec<String> = (1..=8).map(|number| format!("pvc-{number}")).collect();
    let timeout = Some(Duration::from_mins(1));
    let all = names.iter().map(|name| driver.provision.create(request(name), Caller::staying(timeout)));
    for outcome in stack.azure.clock.run(join_all(all)) {
        assert_eq!(outcome.unwrap_err().kind, FailureKind::InProgress);
    }
    assert!(stack.kinds().contains(&Kind::List));
    (stack, driver, names)
}

#[test]
fn a_list_that_stands_still_hides_nothing_for_long() {
    let (stack, driver, names) = crowd();
    let all =
        names.iter().map(|name| driver.provision.create(request(name), Caller::staying(Some(Duration::from_mins(30)))));
    for outcome in stack.azure.clock.run(join_all(all)) {
        outcome.unwrap();
    }
    assert!(stack.azure.clock.now() < Duration::from_mins(19), "{:?}", stack.azure.clock.now());
}

/// A deletion is sent only after a direct observation of what it is for.
#[test]
fn nothing_is_deleted_on_the_word_of_a_list() {
    let (stack, driver, names) = crowd();
    let foreign = [("team", "hpc")];
    stack.azure.place(&names[0], &foreign, ProvisioningState::Creating, "");
    let failure = driver.delete(&format!("{}#lustrefs#10.9.9.9##t#MC_hpc_aks_eastus", names[0])).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Precondition, "{failure}");
    assert!(!stack.kinds().contains(&Kind::Delete));
    // What is still ours goes.
    let ours = format!("{}#lustrefs#10.9.9.9##t#MC_hpc_aks_eastus", names[1]);
    assert!(stack.azure.retried(|| driver.delete(&ours), |_| ()).is_some(), "{:?}", stack.states());
    assert_eq!(stack.kinds().iter().filter(|kind| **kind == Kind::Delete).count(), 1);
}

/// An address that cannot be read is still one: whatever failed since was usable once.
#[test]
fn an_address_in_an_odd_form_is_no_proof_of_emptiness() {
    for client in [
        json!({ "mgsAddress": ["10.0.0.4"] }),
        json!({ "mgsAddress": { "ipv4": "10.0.0.4" } }),
        json!({ "mgsAddress": 7 }),
        json!(["10.0.0.4"]),
        json!("10.0.0.4"),
    ] {
        let tags: std::collections::BTreeMap<&str, &str> = OURS.into();
        let properties = json!({ "provisioningState": "Failed", "clientInfo": client });
        let resource = json!({ "name": NAME, "tags": tags, "zones": ["1"], "properties": properties });
        let (cloud, clock, _) = scripted(vec![json_answer(200, &resource)]);
        let found = clock.run(cloud.observe(&id(NAME))).unwrap();
        let Ok(ProvisionPlan::Dynamic(plan)) =
            ProvisionPlan::parse(&request(NAME), &World::default().defaults.to_domain())
        else {
            panic!("static")
        };
        let step = lifecycle::next(&found, &plan.desired());
        assert!(matches!(step, Step::FailedAfterReady { .. }), "{client}: {step:?}");
    }
}

/// A tag that is no text is there all the same.
#[test]
fn another_volumes_tag_in_an_odd_form_still_counts() {
    for value in [json!(null), json!(7), json!(["pvc-2"])] {
        let tags = json!({ CREATED_BY: CREATED_BY_US, PV_NAME: value });
        let resource = json!({ "name": NAME, "tags": tags, "properties": { "provisioningState": "Failed" } });
        let (cloud, clock, _) = scripted(vec![json_answer(200, &resource)]);
        let Observed::Present(found) = clock.run(cloud.observe(&id(NAME))).unwrap() else { panic!("absent") };
        assert!(ownership::check(&id(NAME).name, &found.tags).is_err(), "{value}");
    }
}

/// The reason of a failure is kept when the file system is invisible for a moment after its creation.
#[test]
fn a_moment_of_absence_does_not_cost_the_reason() {
    let accepted =
        answer(201, &[("azure-asyncoperation", "https://arm.test/subscriptions/s/ascOperations/1?s=signature")], "");
    let failed = json_answer(200, &json!({ "name": "azps-5jf3vk", "properties": { "provisioningState": "Failed" } }));
    let reason =
        json_answer(200, &json!({ "status": "Failed", "error": { "code": "CreateTimeout", "message": "slow" } }));
    let absent = error(404, "ResourceNotFound", "x");
    let reset = error(500, "Oops", "x");
    let answers = vec![accepted, absent, failed.clone(), reason, reset, failed.clone()];
    let (cloud, clock, _) = scripted(answers);
    let reason = || match clock.run(cloud.observe(&spec().id)).unwrap() {
        Observed::Present(found) => found.failure,
        Observed::Absent => None,
    };
    clock.run(cloud.begin_create(&spec())).unwrap();
    assert_eq!(reason(), None);
    assert_eq!(reason().as_deref(), Some("CreateTimeout: slow"));
    // It is not the reason of the next creation, whose answer got lost.
    clock.run(cloud.begin_create(&spec())).unwrap_err();
    assert_eq!(reason(), None);
}

/// What a call waited for is reported in the end, not only that it waits.
#[test]
fn the_last_error_is_reported_in_the_end() {
    let stack = Stack::new();
    let failure = stack.failing(Kind::Put, FaultKind::Busy).create(NAME).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("AnotherOperationInProgress"), "{failure}");

    let stack = Stack::new();
    let volume = stack.azure.volume().id.to_string();
    let failure = stack.failing(Kind::Delete, FaultKind::Busy).delete(&volume).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("AnotherOperationInProgress"), "{failure}");

    // A transient error that is over is not reported.
    let stack = Stack::new();
    stack.azure.simulator.cloud().edit_world(|world| world.create_seconds = 3600);
    let lost = std::sync::atomic::AtomicBool::new(true);
    let plan = move |_: usize, kind: Kind| {
        let first = kind == Kind::Put && lost.swap(false, std::sync::atomic::Ordering::Relaxed);
        first.then_some(HttpFault { fault_kind: FaultKind::Reset, after: true })
    };
    let process = stack.process(Box::new(plan));
    let failure = process.driver.create_as(request(NAME), BUDGET).unwrap_err();
    assert!(failure.message.contains("is Creating") && !failure.message.contains("last answer"), "{failure}");
}

/// Whoever leaves the queue gives the turn back; the queue does not grow by callers that are gone.
#[test]
fn a_turn_that_is_not_taken_goes_back() {
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

/// A creation that is asked for again and again takes its addresses once; else an outage would fill every subnet on paper.
#[test]
fn a_repeated_creation_takes_its_addresses_once() {
    let subnet = spec().subnet;
    let id = format!(
        "/subscriptions/s/resourceGroups/{}/providers/Microsoft.Network/virtualNetworks/{}/subnets/{}",
        subnet.resource_group, subnet.vnet, subnet.subnet
    );
    let size = json_answer(200, &json!({ "filesystemSubnetSize": 8.0 }));
    let uses = json_answer(200, &json!({ "value": [{ "id": id, "limit": 251.0, "currentValue": 5.0 }] }));
    let (cloud, clock, _) = scripted(vec![size, uses, error(500, "Oops", "x")]);
    let request = SubnetCapacityRequest { subnet, sku_name: spec().sku_name, capacity: spec().capacity };
    assert_eq!(clock.run(cloud.subnet_capacity(&request)).unwrap().available, 246);
    for _ in 0..3 {
        clock.run(cloud.begin_create(&spec())).unwrap_err();
    }
    let room = clock.run(cloud.subnet_capacity(&request)).unwrap();
    assert_eq!((room.required, room.available), (8, 238));
    let other = FilesystemSpec { id: crate::world::id("another"), ..spec() };
    clock.run(cloud.begin_create(&other)).unwrap_err();
    assert_eq!(clock.run(cloud.subnet_capacity(&request)).unwrap().available, 230);
}
