//! What each response means: kind, message and hint; values that cannot be read, and responses of proxies.

use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::arm::error::ArmError;
use azurelustre_csi::adapters::arm::http::Response;
use azurelustre_csi::adapters::simulator::World;
use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::filesystem::{Filesystem, Observed, ProvisioningState};
use azurelustre_csi::domain::lifecycle::{self, Step};
use azurelustre_csi::domain::names::Location;
use azurelustre_csi::domain::ownership;
use azurelustre_csi::domain::provisioning::ProvisionPlan;
use azurelustre_csi::domain::tags::{CREATED_BY, CREATED_BY_US, PV_NAME};
use azurelustre_csi::ports::cloud::{Cloud, CloudError, CloudErrorKind};
use serde_json::{Value, json};

use crate::fakes::arm::faults::adapter;
use crate::fakes::clock::ManualClock;
use crate::recorded::spec;
use crate::scripted::{ARMS, Down, error, json_response, response, scripted};
use crate::stack::ENDPOINT;
use crate::world::{NAME, OURS, id, request};

fn observe(responses: Vec<Response>) -> Result<Observed, CloudError> {
    let (cloud, clock, _) = scripted(responses);
    clock.run(cloud.observe(&id(NAME)))
}

#[test]
fn only_arms_own_error_codes_mean_absent() {
    for code in ["ResourceNotFound", "ResourceGroupNotFound"] {
        assert_eq!(observe(vec![error(404, code, "x")]).unwrap(), Observed::Absent);
    }
    let others = [
        error(404, "SubscriptionNotFound", "ResourceNotFound"),
        error(404, "NotFound", "x"),
        response(404, &[], "ResourceNotFound"),
        response(404, &[], ""),
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
    for (response, kind) in [
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
        (response(400, &[ARMS], "<html>"), Kind::Invalid),
        (response(403, &[ARMS], ""), Kind::Denied),
        (response(409, &[], "<html>exceeding quota limits</html>"), Kind::Unreadable),
        (response(403, &[], br#"{"error":{"code":"AuthorizationFailed","message":"x"}}"#.as_slice()), Kind::Unreadable),
        (error(429, "TooManyRequests", "x"), Kind::Throttled),
        (error(408, "RequestTimeout", "x"), Kind::Unavailable),
        (error(412, "PreconditionFailed", "x"), Kind::Unavailable),
        (error(500, "InternalServerError", quota), Kind::Unavailable),
        (error(504, "GatewayTimeout", "x"), Kind::Unavailable),
        (response(403, &[], "<html>blocked</html>"), Kind::Unreadable),
        (response(302, &[("location", "https://elsewhere.test/")], ""), Kind::Unreadable),
        (response(200, &[], "<html>login</html>"), Kind::Unreadable),
        (response(200, &[], "{\"name\": \"pvc-1\", \"prop"), Kind::Unreadable),
        (response(200, &[], "[]"), Kind::Unreadable),
        (response(200, &[], "{}"), Kind::Unreadable),
        (json_response(200, &json!({ "name": "another", "properties": {} })), Kind::Unreadable),
        (response(204, &[], ""), Kind::Unreadable),
    ] {
        let shown = format!("{response:?}");
        let failure = observe(vec![response]).unwrap_err();
        assert_eq!(failure.kind, kind, "{shown}: {failure}");
    }
}

#[test]
fn an_error_says_what_is_missing_and_what_to_do() {
    let hint = |response| observe(vec![response]).unwrap_err().hint.unwrap_or_default();
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
    assert!(hint(response(403, &[], "<html>")).contains("proxy or firewall"));
    let page = observe(vec![response(502, &[], "<html>\r\n<h1>Bad\u{0} gateway</h1>")]).unwrap_err();
    assert!(page.message.contains("<html>\\r\\n<h1>Bad\\0 gateway"), "{page}");
    let long = observe(vec![error(400, "Bad", &"x\n".repeat(10_000))]).unwrap_err();
    assert!(long.message.len() < 3200 && !long.message.contains('\n'), "{}", long.message.len());
}

/// An error of the port, also a clone, can be downcast to its causes.
#[test]
fn an_error_keeps_its_typed_causes() {
    use std::error::Error;
    let failure = observe(vec![error(403, "AuthorizationFailed", "no")]).unwrap_err().clone();
    let Some(ArmError::Response(response)) = failure.source().and_then(|cause| cause.downcast_ref()) else {
        panic!("{failure:?}");
    };
    assert_eq!((response.status, response.codes.first().map(String::as_str)), (403, Some("AuthorizationFailed")));
    let clock = Arc::new(ManualClock::default());
    let cloud = adapter(Arc::new(Down), ENDPOINT, clock.clone());
    let failure = clock.run(cloud.observe(&id(NAME))).unwrap_err().clone();
    assert_eq!(failure.message, "no answer: Connection reset by peer (os error 104)");
    let arm = failure.source().expect("an ArmError").downcast_ref::<ArmError>().expect("an ArmError");
    let reset = arm.source().expect("an io::Error").downcast_ref::<std::io::Error>().expect("an io::Error");
    assert_eq!(reset.raw_os_error(), Some(104));
}

#[test]
fn retry_after_is_handed_up_in_all_its_forms() {
    let asked = |headers: &[(&str, &str)]| {
        let body = serde_json::to_vec(&json!({ "error": { "code": "TooManyRequests", "message": "x" } })).unwrap();
        observe(vec![response(429, headers, body)]).unwrap_err().retry_after
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

/// Nothing that ARM may write into a value fails the whole response.
#[test]
fn values_that_cannot_be_read_hide_nothing() {
    let good = json!({
        "name": NAME, "location": "Canada Central", "tags": { "a": "b" }, "zones": ["1"], "sku": { "name": "S" },
        "properties": {
            "storageCapacityTiB": 16.0, "provisioningState": "Succeeded",
            "filesystemSubnet": "/subscriptions/s/resourceGroups/RG/providers/Microsoft.Network/virtualNetworks/v/subnets/n",
            "clientInfo": { "mgsAddress": "10.5.0.4", "mountCommand": "mount -t lustre 10.5.0.4@tcp0:/lustrefs /x" },
        },
    });
    let read = |resource: &Value| match observe(vec![json_response(200, resource)]).unwrap() {
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
fn an_entry_that_cannot_be_read_hides_no_other() {
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
    let (cloud, clock, _) = scripted(vec![json_response(200, &json!({ "value": entries, "nextLink": null }))]);
    let skus = clock.run(cloud.skus(&Location::parse("eastus").unwrap())).unwrap();
    let names: Vec<&str> = skus.skus().iter().map(|sku| sku.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(skus.get("closed").unwrap_err().message.contains("NotAvailableForSubscription"));
}

#[test]
fn a_list_whose_links_form_a_circle_ends() {
    let page = json!({ "value": [], "nextLink": format!("{ENDPOINT}/subscriptions/x/skus?page=1") });
    let (cloud, clock, _) = scripted(vec![json_response(200, &page)]);
    let failure = clock.run(cloud.skus(&Location::parse("eastus").unwrap())).unwrap_err();
    assert!(failure.message.contains("pages"), "{failure}");
}

/// A proxy's response is no refusal: the PUT may have been accepted.
#[test]
fn a_proxys_401_is_not_followed_by_a_second_put() {
    let (cloud, clock, script) = scripted(vec![response(401, &[], "<html>"), error(403, "AuthorizationFailed", "no")]);
    let failure = clock.run(cloud.begin_create(&spec())).unwrap_err();
    assert_eq!((failure.kind, script.requests.lock().unwrap().len()), (CloudErrorKind::Unreadable, 1), "{failure}");
}

/// JSON in ARM's form without ARM's request id is a gateway's; a response of ARM counts in any form.
#[test]
fn only_a_response_with_arms_request_id_is_arms() {
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
            let (cloud, clock, _) = scripted(vec![response(status, &[], bytes)]);
            assert_eq!(clock.run(cloud.observe(&id(NAME))).unwrap_err().kind, CloudErrorKind::Unreadable, "{body}");
            let failure = clock.run(cloud.begin_create(&spec())).unwrap_err();
            assert_eq!(failure.kind, CloudErrorKind::Unreadable, "{body}");
            assert!(failure.hint.unwrap().contains("proxy or firewall"), "{body}");
            let (cloud, clock, _) = scripted(vec![json_response(status, &body)]);
            let failure = clock.run(cloud.begin_create(&spec())).unwrap_err();
            assert_eq!(failure.kind, kind, "{body}");
            assert!(!failure.hint.as_deref().unwrap_or_default().contains("proxy"), "{body}: {failure:?}");
            assert!(failure.message.contains(code), "{body}: {failure}");
        }
    }
}

/// An address that cannot be read is still one: the file system was usable once.
#[test]
fn an_address_that_cannot_be_read_is_not_absent() {
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
        let (cloud, clock, _) = scripted(vec![json_response(200, &resource)]);
        let found = clock.run(cloud.observe(&id(NAME))).unwrap();
        let Ok(ProvisionPlan::Dynamic(plan)) =
            ProvisionPlan::parse(&request(NAME), &World::default().defaults.to_domain())
        else {
            panic!("static")
        };
        let step = lifecycle::next(&found, plan.desired());
        assert!(matches!(step, Step::FailedAfterReady { .. }), "{client}: {step:?}");
    }
}

/// A tag whose value is no text exists.
#[test]
fn a_tag_of_another_volume_that_is_no_text_counts() {
    for value in [json!(null), json!(7), json!(["pvc-2"])] {
        let tags = json!({ CREATED_BY: CREATED_BY_US, PV_NAME: value });
        let resource = json!({ "name": NAME, "tags": tags, "properties": { "provisioningState": "Failed" } });
        let (cloud, clock, _) = scripted(vec![json_response(200, &resource)]);
        let Observed::Present(found) = clock.run(cloud.observe(&id(NAME))).unwrap() else { panic!("absent") };
        assert!(ownership::check(&id(NAME).name, &found.tags).is_err(), "{value}");
    }
}

/// Pages of proxies, for any text.
#[test]
fn a_page_of_a_proxy_is_never_a_refusal() {
    for (page, kind) in [
        (response(409, &[], "<html>exceeding quota limits</html>"), CloudErrorKind::Unreadable),
        (response(408, &[], "<html>"), CloudErrorKind::Unavailable),
    ] {
        let (cloud, clock, _) = scripted(vec![page]);
        assert_eq!(clock.run(cloud.begin_create(&spec())).unwrap_err().kind, kind);
    }
}
