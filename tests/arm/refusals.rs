//! What a refusal says: whether it lasts, everything that ARM gives as its reason, and a cure that fits what was asked.

use azurelustre_csi::adapters::arm::http::Response;
use azurelustre_csi::domain::filesystem::{Filesystem, Observed, ProvisioningState};
use azurelustre_csi::ports::cloud::{Cloud, CloudError, CloudErrorKind};
use serde_json::{Value, json};

use crate::answers::{ARMS, answer, error, json_answer, scripted};
use crate::replay::spec;

fn created(answer: Response) -> CloudError {
    let (cloud, clock, _) = scripted(vec![answer]);
    clock.run(cloud.begin_create(&spec())).unwrap_err()
}

fn deleted(answer: Response) -> CloudError {
    let (cloud, clock, _) = scripted(vec![answer]);
    clock.run(cloud.begin_delete(&spec().id)).unwrap_err()
}

#[test]
fn lasting_causes_are_marked_whatever_the_status() {
    for (status, code) in [
        (409, "MissingSubscriptionRegistration"),
        (409, "ResourceGroupBeingDeleted"),
        (409, "SkuNotAvailable"),
        (409, "InvalidResourceLocation"),
        (409, "ScopeLocked"),
        (409, "ReadOnlyDisabledSubscription"),
        (403, "RequestDisallowedByPolicy"),
    ] {
        let failure = created(error(status, code, "no"));
        assert!(failure.lasting && failure.hint.is_some(), "{code}: {failure:?}");
        let below = json!({ "error": { "code": "Conflict", "message": "x", "details": [{ "code": code }] } });
        assert!(created(json_answer(status, &below)).lasting, "{code} in a detail");
    }
    assert!(created(answer(422, &[ARMS], "")).lasting, "the request itself is at fault");
    for passing in [
        error(409, "AnotherOperationInProgress", "x"),
        error(409, "OperationNotAllowed", "x"),
        error(500, "InternalServerError", "x"),
        error(503, "ServerBusy", "x"),
        error(412, "PreconditionFailed", "x"),
        answer(409, &[], br#"{"error":{"code":"ScopeLocked","message":"x"}}"#.as_slice()),
    ] {
        let shown = format!("{passing:?}");
        assert!(!created(passing).lasting, "{shown}");
    }
}

/// Errors without ARM's envelope, in all forms that Azure's gateways and services write.
#[test]
fn json_without_an_envelope_keeps_code_and_message() {
    for body in [
        json!({ "code": "SkuNotAvailable", "message": "not here" }),
        json!({ "Code": "SkuNotAvailable", "Message": "not here" }),
        json!({ "odata.error": { "code": "SkuNotAvailable", "message": { "value": "not here" } } }),
    ] {
        let failure = created(json_answer(409, &body));
        assert!(failure.message.contains("SkuNotAvailable: not here") && failure.lasting, "{body}: {failure}");
    }
    let failure = created(json_answer(400, &json!({ "Message": "The field zone is bad." })));
    assert_eq!(failure.kind, CloudErrorKind::Invalid);
    assert!(failure.message.contains("HTTP 400: The field zone is bad."), "{failure}");
}

#[test]
fn quota_is_distinguished_from_an_operation_in_progress() {
    let detail =
        json!({ "error": { "code": "Conflict", "message": "", "details": [{ "code": "AmlfsQuotaExceeded" }] } });
    let failure = created(json_answer(409, &detail));
    assert_eq!(failure.kind, CloudErrorKind::QuotaExceeded);
    assert!(failure.hint.unwrap().contains("quota"));
    assert_eq!(created(error(409, "OperationNotAllowed", "try later")).kind, CloudErrorKind::Busy);
}

#[test]
fn a_denied_deletion_is_about_deletions() {
    let policy = deleted(error(403, "RequestDisallowedByPolicy", "no")).hint.unwrap();
    assert!(policy.contains("exempt the file system") && policy.contains("Retain"), "{policy}");
    let role = deleted(error(403, "AuthorizationFailed", "no")).hint.unwrap();
    assert!(role.contains("amlFilesystems/delete"), "{role}");
    let subscription = created(error(403, "ReadOnlyDisabledSubscription", "no")).hint.unwrap();
    assert!(subscription.contains("subscription is disabled") && !subscription.contains("grant"), "{subscription}");
}

/// A file system in this state after a creation or deletion that was accepted, and what its operation says.
fn observed(is_deletion: bool, state: &str, operation: &Value) -> (Filesystem, usize) {
    let url =
        "https://arm.test/subscriptions/s/providers/Microsoft.StorageCache/locations/l/ascOperations/1?s=signature";
    let accepted = answer(202, &[ARMS, ("azure-asyncoperation", url)], "");
    let resource = json!({ "name": "azps-5jf3vk", "properties": { "provisioningState": state } });
    let answers = vec![accepted, json_answer(200, &resource), json_answer(200, operation)];
    let (cloud, clock, script) = scripted(answers);
    if is_deletion {
        clock.run(cloud.begin_delete(&spec().id)).unwrap();
    } else {
        clock.run(cloud.begin_create(&spec())).unwrap();
    }
    let Observed::Present(found) = clock.run(cloud.observe(&spec().id)).unwrap() else { panic!("absent") };
    let requests = script.requests.lock().unwrap().len();
    (*found, requests)
}

/// The whole reason of a failed operation, of creations and deletions, also where the state is `Canceled`.
#[test]
fn a_failed_operation_gives_its_whole_reason() {
    let operation = json!({ "status": "Failed", "error": {
        "code": "DeploymentFailed", "message": "",
        "details": [{ "code": "SubnetIsDelegated", "target": "subnet1", "message": "It is delegated." }],
    } });
    let reason = "DeploymentFailed; SubnetIsDelegated (subnet1): It is delegated.";
    for (is_deletion, state) in
        [(false, "Failed"), (false, "Canceled"), (true, "Failed"), (true, "Canceled"), (true, "Succeeded")]
    {
        let (found, _) = observed(is_deletion, state, &operation);
        assert_eq!(found.failure.as_deref(), Some(reason), "{is_deletion} {state}");
    }
    // What is not over, or went well, costs no request.
    for (is_deletion, state) in [(false, "Succeeded"), (false, "Creating"), (true, "Deleting")] {
        let (found, requests) = observed(is_deletion, state, &operation);
        assert_eq!((found.failure, requests), (None, 2), "{is_deletion} {state}");
        assert_eq!(found.state, ProvisioningState::parse(state));
    }
    let (found, _) = observed(true, "Succeeded", &json!({ "status": "InProgress" }));
    assert_eq!(found.failure, None);
}
