//! Details of ARM's errors: whether the cause lasts, codes and messages at every depth, hints by operation, and the errors of
//! asynchronous operations.

use azurelustre_csi::adapters::arm::http::Response;
use azurelustre_csi::domain::filesystem::{Filesystem, Observed, ProvisioningState};
use azurelustre_csi::ports::cloud::{Cloud, CloudError, CloudErrorKind};
use serde_json::{Value, json};

use crate::recorded::spec;
use crate::scripted::{ARMS, error, json_response, response, scripted};

fn created(response: Response) -> CloudError {
    let (cloud, clock, _) = scripted(vec![response]);
    clock.run(cloud.begin_create(&spec())).unwrap_err()
}

fn deleted(response: Response) -> CloudError {
    let (cloud, clock, _) = scripted(vec![response]);
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
        assert!(created(json_response(status, &below)).lasting, "{code} in a detail");
    }
    assert!(created(response(422, &[ARMS], "")).lasting, "the request itself is at fault");
    for passing in [
        error(409, "AnotherOperationInProgress", "x"),
        error(409, "OperationNotAllowed", "x"),
        error(500, "InternalServerError", "x"),
        error(503, "ServerBusy", "x"),
        error(412, "PreconditionFailed", "x"),
        response(409, &[], br#"{"error":{"code":"ScopeLocked","message":"x"}}"#.as_slice()),
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
        let failure = created(json_response(409, &body));
        assert!(failure.message.contains("SkuNotAvailable: not here") && failure.lasting, "{body}: {failure}");
    }
    let failure = created(json_response(400, &json!({ "Message": "The field zone is bad." })));
    assert_eq!(failure.kind, CloudErrorKind::Invalid);
    assert!(failure.message.contains("HTTP 400: The field zone is bad."), "{failure}");
}

#[test]
fn quota_is_distinguished_from_an_operation_in_progress() {
    let detail =
        json!({ "error": { "code": "Conflict", "message": "", "details": [{ "code": "AmlfsQuotaExceeded" }] } });
    let failure = created(json_response(409, &detail));
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
    let accepted = response(202, &[ARMS, ("azure-asyncoperation", url)], "");
    let resource = json!({ "name": "azps-5jf3vk", "properties": { "provisioningState": state } });
    let responses = vec![accepted, json_response(200, &resource), json_response(200, operation)];
    let (cloud, clock, script) = scripted(responses);
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

/// The reason of a failure is kept when the file system is invisible for a moment after its creation.
#[test]
fn the_error_of_an_operation_survives_a_moment_of_absence() {
    let accepted =
        response(201, &[("azure-asyncoperation", "https://arm.test/subscriptions/s/ascOperations/1?s=signature")], "");
    let failed = json_response(200, &json!({ "name": "azps-5jf3vk", "properties": { "provisioningState": "Failed" } }));
    let reason =
        json_response(200, &json!({ "status": "Failed", "error": { "code": "CreateTimeout", "message": "slow" } }));
    let absent = error(404, "ResourceNotFound", "x");
    let reset = error(500, "Oops", "x");
    let responses = vec![accepted, absent, failed.clone(), reason, reset, failed.clone()];
    let (cloud, clock, _) = scripted(responses);
    let reason = || match clock.run(cloud.observe(&spec().id)).unwrap() {
        Observed::Present(found) => found.failure,
        Observed::Absent => None,
    };
    clock.run(cloud.begin_create(&spec())).unwrap();
    assert_eq!(reason(), None);
    assert_eq!(reason().as_deref(), Some("CreateTimeout: slow"));
    // It is not the reason of the next creation, whose response got lost.
    clock.run(cloud.begin_create(&spec())).unwrap_err();
    assert_eq!(reason(), None);
}
