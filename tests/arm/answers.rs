//! What each answer means: kind, message and what to do about it; and that odd answers hide nothing and break nothing.

use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::adapters::arm::cloud::ArmCloud;
use azurelustre_csi::adapters::arm::error::ArmError;
use azurelustre_csi::adapters::arm::http::{HttpClient, HttpError, Request, Response};
use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::filesystem::{Filesystem, Observed, ProvisioningState};
use azurelustre_csi::domain::names::Location;
use azurelustre_csi::ports::cloud::{Cloud, CloudError, CloudErrorKind, SubnetCapacityRequest};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::fakes::arm::faults::adapter;
use crate::fakes::clock::ManualClock;
use crate::stack::ENDPOINT;
use crate::world::{NAME, id};

/// A wire that answers every request with the next of these, the last one again and again.
#[derive(Debug)]
pub(crate) struct Script {
    answers: Mutex<Vec<Response>>,
    pub(crate) requests: Mutex<Vec<Request>>,
}

impl Script {
    pub(crate) fn new(answers: Vec<Response>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers), requests: Mutex::default() })
    }
}

#[async_trait]
impl HttpClient for Script {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        self.requests.lock().unwrap().push(request);
        let mut answers = self.answers.lock().unwrap();
        Ok(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
    }
}

pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_str(name).unwrap(), HeaderValue::from_str(value).unwrap()));
    Response { status: StatusCode::from_u16(status).unwrap(), headers: headers.collect(), body: body.into() }
}

/// An answer of ARM itself.
pub(crate) fn json_answer(status: u16, body: &Value) -> Response {
    answer(status, &[ARMS], serde_json::to_vec(body).unwrap())
}

/// The header that only ARM's answers have.
pub(crate) const ARMS: (&str, &str) = ("x-ms-request-id", "fc25df65-617f-46db-bb53-993f38c788d9");

/// The adapter and the clock that it runs on, over a script.
pub(crate) fn scripted(answers: Vec<Response>) -> (ArmCloud, Arc<ManualClock>, Arc<Script>) {
    let (script, clock) = (Script::new(answers), Arc::new(ManualClock::default()));
    (adapter(script.clone(), ENDPOINT, clock.clone()), clock, script)
}

fn observe(answers: Vec<Response>) -> Result<Observed, CloudError> {
    let (cloud, clock, _) = scripted(answers);
    clock.run(cloud.observe(&id(NAME)))
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Response {
    json_answer(status, &json!({ "error": { "code": code, "message": message } }))
}

#[test]
fn only_arms_own_words_mean_absent() {
    for code in ["ResourceNotFound", "ResourceGroupNotFound"] {
        assert_eq!(observe(vec![error(404, code, "x")]).unwrap(), Observed::Absent);
    }
    let others = [
        error(404, "SubscriptionNotFound", "ResourceNotFound"),
        error(404, "NotFound", "x"),
        answer(404, &[], "ResourceNotFound"),
        answer(404, &[], ""),
        error(200, "ResourceNotFound", "x"),
        error(410, "ResourceNotFound", "x"),
        error(403, "ResourceNotFound", "x"),
    ];
    for other in others {
        let shown = format!("{other:?}");
        assert!(observe(vec![other]).is_err(), "{shown}");
    }
}

#[test]
fn every_status_has_its_kind() {
    use CloudErrorKind as Kind;
    let quota = "Operation results in exceeding quota limits of resource type AmlFilesystem. Maximum allowed: 4.";
    for (answer, kind) in [
        (error(400, "InvalidParameter", "x"), Kind::Invalid),
        (error(401, "InvalidAuthenticationToken", "x"), Kind::Unauthenticated),
        (error(403, "AuthorizationFailed", "x"), Kind::Denied),
        (error(404, "SubscriptionNotFound", "x"), Kind::NotFound),
        (error(409, "OperationNotAllowed", quota), Kind::QuotaExceeded),
        (error(409, "OperationNotAllowed", "another operation"), Kind::Busy),
        (error(409, "QuotaExceeded", "x"), Kind::QuotaExceeded),
        (error(409, "AmlfsQuotaExceeded", "x"), Kind::QuotaExceeded),
        (error(409, "Conflict", quota), Kind::Busy),
        (error(422, "UnprocessableEntity", "x"), Kind::Unavailable),
        (answer(400, &[ARMS], "<html>"), Kind::Invalid),
        (answer(403, &[ARMS], ""), Kind::Denied),
        (answer(409, &[], "<html>exceeding quota limits</html>"), Kind::Unreadable),
        (answer(403, &[], br#"{"error":{"code":"AuthorizationFailed","message":"x"}}"#.as_slice()), Kind::Unreadable),
        (error(429, "TooManyRequests", "x"), Kind::Throttled),
        (error(408, "RequestTimeout", "x"), Kind::Unavailable),
        (error(412, "PreconditionFailed", "x"), Kind::Unavailable),
        (error(500, "InternalServerError", quota), Kind::Unavailable),
        (error(504, "GatewayTimeout", "x"), Kind::Unavailable),
        (answer(403, &[], "<html>blocked</html>"), Kind::Unreadable),
        (answer(302, &[("location", "https://elsewhere.test/")], ""), Kind::Unreadable),
        (answer(200, &[], "<html>login</html>"), Kind::Unreadable),
        (answer(200, &[], "{\"name\": \"pvc-1\", \"prop"), Kind::Unreadable),
        (answer(200, &[], "[]"), Kind::Unreadable),
        (answer(200, &[], "{}"), Kind::Unreadable),
        (json_answer(200, &json!({ "name": "another", "properties": {} })), Kind::Unreadable),
        (answer(204, &[], ""), Kind::Unreadable),
    ] {
        let shown = format!("{answer:?}");
        let failure = observe(vec![answer]).unwrap_err();
        assert_eq!(failure.kind, kind, "{shown}: {failure}");
    }
}

#[test]
fn an_error_says_what_is_missing_and_what_to_do() {
    let hint = |answer| observe(vec![answer]).unwrap_err().hint.unwrap_or_default();
    let denied = hint(error(403, "AuthorizationFailed", "no"));
    assert!(denied.contains("Microsoft.StorageCache/amlFilesystems/read"), "{denied}");
    let linked = hint(error(403, "LinkedAuthorizationFailed", "no"));
    assert!(
        linked.contains("subnets/join/action") && linked.contains("userAssignedIdentities/assign/action"),
        "{linked}"
    );
    assert!(hint(error(404, "SubscriptionNotFound", "no")).contains("subscriptionId"));
    assert!(hint(error(409, "MissingSubscriptionRegistration", "no")).contains("az provider register"));
    let policy = hint(error(403, "RequestDisallowedByPolicy", "no"));
    assert!(policy.contains("Azure Policy") && !policy.contains("grant"), "{policy}");
    assert!(hint(error(409, "ScopeLocked", "no")).contains("lock"));
    assert!(hint(answer(403, &[], "<html>")).contains("proxy or firewall"));
    let page = observe(vec![answer(502, &[], "<html>\r\n<h1>Bad\u{0} gateway</h1>")]).unwrap_err();
    assert!(page.message.contains("<html>\\r\\n<h1>Bad\\0 gateway"), "{page}");
    let long = observe(vec![error(400, "Bad", &"x\n".repeat(10_000))]).unwrap_err();
    assert!(long.message.len() < 3200 && !long.message.contains('\n'), "{}", long.message.len());
}

/// Whoever embeds the adapter can ask an error of the port what it was, also where it is a clone.
#[test]
fn an_error_keeps_its_typed_causes() {
    use std::error::Error;
    let failure = observe(vec![error(403, "AuthorizationFailed", "no")]).unwrap_err().clone();
    let Some(ArmError::Response(answer)) = failure.source().and_then(|cause| cause.downcast_ref()) else {
        panic!("{failure:?}");
    };
    assert_eq!((answer.status, answer.codes.first().map(String::as_str)), (403, Some("AuthorizationFailed")));
    let clock = Arc::new(ManualClock::default());
    let cloud = adapter(Arc::new(Down), ENDPOINT, clock.clone());
    let failure = clock.run(cloud.observe(&id(NAME))).unwrap_err().clone();
    assert_eq!(failure.message, "no answer: Connection reset by peer (os error 104)");
    let arm = failure.source().expect("an ArmError").downcast_ref::<ArmError>().expect("an ArmError");
    let reset = arm.source().expect("an io::Error").downcast_ref::<std::io::Error>().expect("an io::Error");
    assert_eq!(reset.raw_os_error(), Some(104));
}

/// A wire on which every connection breaks.
#[derive(Debug)]
struct Down;

#[async_trait]
impl HttpClient for Down {
    async fn send(&self, _: Request) -> Result<Response, HttpError> {
        Err(HttpError::broken(std::io::Error::from_raw_os_error(104)))
    }
}

#[test]
fn retry_after_is_handed_up_in_all_its_forms() {
    let asked = |headers: &[(&str, &str)]| {
        let body = serde_json::to_vec(&json!({ "error": { "code": "TooManyRequests", "message": "x" } })).unwrap();
        observe(vec![answer(429, headers, body)]).unwrap_err().retry_after
    };
    let date = ("date", "Fri, 01 Jan 2027 00:00:00 GMT");
    assert_eq!(asked(&[("retry-after", "17")]), Some(Duration::from_secs(17)));
    assert_eq!(asked(&[("retry-after-ms", "1500"), ("retry-after", "17")]), Some(Duration::from_millis(1500)));
    assert_eq!(asked(&[date, ("retry-after", "Fri, 01 Jan 2027 00:01:00 GMT")]), Some(Duration::from_mins(1)));
    let unnamed = Some(Duration::from_secs(5));
    assert_eq!(asked(&[date, ("retry-after", "Fri, 01 Jan 2026 00:01:00 GMT")]), unnamed);
    assert_eq!(asked(&[("retry-after", "soon")]), unnamed);
    assert_eq!(asked(&[("retry-after", "99999999999999999999")]), unnamed);
}

/// Nothing that ARM may write into a value fails the whole answer.
#[test]
fn odd_values_hide_nothing() {
    let good = json!({
        "name": NAME, "location": "Canada Central", "tags": { "a": "b" }, "zones": ["1"], "sku": { "name": "S" },
        "properties": {
            "storageCapacityTiB": 16.0, "provisioningState": "Succeeded",
            "filesystemSubnet": "/subscriptions/s/resourceGroups/RG/providers/Microsoft.Network/virtualNetworks/v/subnets/n",
            "clientInfo": { "mgsAddress": "10.5.0.4", "mountCommand": "mount -t lustre 10.5.0.4@tcp0:/lustrefs /x" },
        },
    });
    let read = |resource: &Value| match observe(vec![json_answer(200, resource)]).unwrap() {
        Observed::Present(found) => *found,
        Observed::Absent => panic!("absent"),
    };
    let whole = read(&good);
    assert_eq!(whole.capacity, Some(Tib(16).bytes()));
    assert_eq!(whole.fs_name.as_ref().map(azurelustre_csi::domain::mount_source::FsName::as_str), Some("lustrefs"));
    let odd = [
        json!(null),
        json!(5),
        json!(-1.5),
        json!(1e300),
        json!(true),
        json!([]),
        json!({}),
        json!("???"),
        json!([null, 7]),
    ];
    let places = [
        "/location",
        "/tags",
        "/tags/a",
        "/zones",
        "/zones/0",
        "/sku",
        "/sku/name",
        "/properties/storageCapacityTiB",
        "/properties/provisioningState",
        "/properties/filesystemSubnet",
        "/properties/clientInfo",
        "/properties/clientInfo/mgsAddress",
        "/properties/clientInfo/mountCommand",
    ];
    for place in places {
        for value in &odd {
            let mut resource = good.clone();
            *resource.pointer_mut(place).unwrap() = value.clone();
            resource["properties"]["laterMember"] = json!({ "of": ["a", "later", "version"] });
            let found: Filesystem = read(&resource);
            let kept =
                [found.state == whole.state, found.sku_name == whole.sku_name, found.mgs_address == whole.mgs_address];
            assert!(kept.iter().filter(|same| !**same).count() <= 1, "{place} = {value} changed {found:?}");
        }
    }
    let later = json!({ "name": NAME, "properties": { "provisioningState": "Defragmenting", "currentStorageCapacityTiB": 24.0, "storageCapacityTiB": 16.0 } });
    let found = read(&later);
    assert_eq!(found.state, ProvisioningState::Unknown("Defragmenting".to_owned()));
    assert_eq!(found.capacity, Some(Tib(24).bytes()), "expansions count");
}

#[test]
fn an_odd_entry_of_a_list_hides_no_other() {
    let sku = |name: &str, value: Value| {
        let capability = |name: &str, value: Value| json!({ "name": name, "value": value });
        json!({
            "resourceType": "amlFilesystems", "name": name, "locations": ["eastus"], "locationInfo": null,
            "capabilities": [
                capability("OSS capacity increment (TiB)", value),
                capability("default maximum capacity (TiB)", json!("128")),
                capability("bandwidth increment (MB/s/TiB)", json!("250")),
            ],
        })
    };
    let mut closed = sku("closed", json!("4"));
    closed["restrictions"] =
        json!([{ "type": "location", "values": ["East US"], "reasonCode": "NotAvailableForSubscription" }]);
    let entries = [
        sku("a", json!("4")),
        sku("number", json!(4)),
        json!(null),
        json!("x"),
        json!({}),
        closed,
        sku("b", json!("8")),
    ];
    let (cloud, clock, _) = scripted(vec![json_answer(200, &json!({ "value": entries, "nextLink": null }))]);
    let skus = clock.run(cloud.skus(&Location::parse("eastus").unwrap())).unwrap();
    let names: Vec<&str> = skus.skus().iter().map(|sku| sku.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(skus.get("closed").unwrap_err().message.contains("NotAvailableForSubscription"));
}

#[test]
fn a_link_to_another_host_gets_no_token() {
    let links = [
        "https://evil.test/skus?x=1",
        "http://arm.test/skus",
        "https://arm.test:444/skus",
        "//evil.test/skus",
        "https://user:pw@arm.test/skus",
    ];
    for link in links {
        let page = json!({ "value": [], "nextLink": link });
        let (cloud, clock, script) = scripted(vec![json_answer(200, &page)]);
        let failure = clock.run(cloud.skus(&Location::parse("eastus").unwrap())).unwrap_err();
        assert!(failure.message.contains("refused to follow a link"), "{link}: {failure}");
        let requests = script.requests.lock().unwrap();
        assert!(requests.len() == 1 && requests[0].url.host_str() == Some("arm.test"), "{link}: {requests:?}");
    }
}

#[test]
fn a_list_in_a_circle_ends() {
    let page = json!({ "value": [], "nextLink": format!("{ENDPOINT}/subscriptions/x/skus?page=1") });
    let (cloud, clock, _) = scripted(vec![json_answer(200, &page)]);
    let failure = clock.run(cloud.skus(&Location::parse("eastus").unwrap())).unwrap_err();
    assert!(failure.message.contains("pages"), "{failure}");
}

#[test]
fn a_subnet_that_is_not_counted_is_left_to_arm() {
    let usage = |limit: f64, used: f64, id: &str| json!({ "limit": limit, "currentValue": used, "id": id });
    let id = |name: &str| {
        format!("/subscriptions/S/RESOURCEGROUPS/rg/providers/Microsoft.Network/virtualNetworks/VNET/subnets/{name}")
    };
    let request = |name: &str| SubnetCapacityRequest {
        subnet: azurelustre_csi::domain::names::SubnetId {
            resource_group: azurelustre_csi::domain::names::ResourceGroup::parse("rg").unwrap(),
            vnet: azurelustre_csi::domain::names::NetworkName::parse("vnet").unwrap(),
            subnet: azurelustre_csi::domain::names::NetworkName::parse(name).unwrap(),
        },
        sku_name: "S".to_owned(),
        capacity: Tib(4),
    };
    let uses = json!({ "value": [usage(-1.0, -1.0, &id("gateway")), usage(251.0, 5.0, &id("SUBNET")), json!({ "id": id("bare") })] });
    let size = json_answer(200, &json!({ "filesystemSubnetSize": 8 }));
    let room = |name: &str| {
        let (cloud, clock, _) = scripted(vec![size.clone(), json_answer(200, &uses)]);
        clock.run(cloud.subnet_capacity(&request(name)))
    };
    assert_eq!(room("subnet").unwrap().available, 246);
    assert_eq!(room("gateway").unwrap().available, u64::MAX);
    assert_eq!(room("bare").unwrap().available, u64::MAX);
    let missing = room("nosuch").unwrap_err();
    assert_eq!(missing.kind, CloudErrorKind::NotFound);
    assert!(missing.message.contains("SUBNET"), "{missing}");
    for odd in [json!({}), json!({ "filesystemSubnetSize": 0 }), json!({ "filesystemSubnetSize": "8" }), json!([])] {
        let (cloud, clock, _) = scripted(vec![json_answer(200, &odd)]);
        assert_eq!(
            clock.run(cloud.subnet_capacity(&request("subnet"))).unwrap_err().kind,
            CloudErrorKind::Unreadable,
            "{odd}"
        );
    }
}
