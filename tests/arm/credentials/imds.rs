//! Managed identities: what the instance metadata service is asked, and how patiently.

use std::time::Duration;

use azurelustre_csi::adapters::arm::credentials::{ManagedIdentity, TokenErrorKind};
use azurelustre_csi::ports::clock::Clock;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::world::*;

const RESOURCE_ID: &str =
    "/subscriptions/s/resourcegroups/MC_rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/kubelet";

/// As the service responses: everything is text.
fn as_text(number: usize) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "access_token": format!("token-{number}"), "client_id": CLIENT, "expires_in": "86400", "expires_on": "1893456000",
        "ext_expires_in": "86399", "not_before": "1700000000", "resource": "https://management.azure.com/", "token_type": "Bearer",
    }))
}

#[tokio::test]
async fn each_identity_is_asked_for_in_its_own_way() {
    let resource = "api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com";
    let encoded = RESOURCE_ID.replace('/', "%2F");
    for (identity, query) in [
        (ManagedIdentity::System, resource.to_owned()),
        (ManagedIdentity::ClientId(CLIENT.to_owned()), format!("{resource}&client_id={CLIENT}")),
        (ManagedIdentity::ResourceId(RESOURCE_ID.to_owned()), format!("{resource}&msi_res_id={encoded}")),
    ] {
        let world = World::new(as_text).await;
        assert_eq!(text(world.credential(managed(identity)).token().await), "token-1");
        let [request] = world.requests().await.try_into().unwrap();
        assert_eq!((request.method.as_str(), request.url.path()), ("GET", "/metadata/identity/oauth2/token"));
        assert_eq!(request.url.query(), Some(query.as_str()));
        assert_eq!(header(&request, "metadata"), "true");
        assert!(request.body.is_empty());
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_asked_again_with_growing_pauses() {
    for status in [404, 410, 429, 500, 503] {
        let world =
            World::new(move |number| if number < 5 { ResponseTemplate::new(status) } else { as_text(number) }).await;
        let credential = world.credential(managed(ManagedIdentity::System));
        assert_eq!(text(world.jumping(credential.token()).await), "token-5", "{status}");
        assert_eq!(world.clock.now(), Duration::from_secs(1 + 2 + 4 + 8));
    }
}

#[tokio::test]
async fn a_service_that_stays_unavailable_is_requested_five_times() {
    for (status, expected) in [(404, "still answers 404"), (410, "still answers 410"), (503, "answered 503")] {
        let world = World::new(move |_| ResponseTemplate::new(status)).await;
        let credential = world.credential(managed(ManagedIdentity::ClientId(CLIENT.to_owned())));
        let error = world.jumping(credential.token()).await.unwrap_err();
        assert_eq!(error.kind, TokenErrorKind::Unavailable);
        assert!(error.message.contains(expected) && error.message.contains(CLIENT), "{error}");
        assert_eq!(world.count().await, 5);
    }
}

#[tokio::test]
async fn an_identity_that_the_machine_does_not_have_is_refused_at_once() {
    let world = World::new(|_| {
        ResponseTemplate::new(400)
            .set_body_json(json!({"error": "invalid_request", "error_description": "Identity not found"}))
    })
    .await;
    let error =
        world.credential(managed(ManagedIdentity::ResourceId(RESOURCE_ID.to_owned()))).token().await.unwrap_err();
    assert_eq!((error.kind, world.count().await), (TokenErrorKind::Refused, 1));
    for part in ["127.0.0.1", "/subscriptions/s/", "400 invalid_request: Identity not found"] {
        assert!(error.message.contains(part), "{part:?} is not in {error}");
    }
    assert!(error.hint.unwrap().contains("az vmss identity assign"));
}

#[tokio::test]
async fn an_expiry_as_a_moment_counts_too() {
    let in_an_hour = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 3600;
    for expires_on in [json!(in_an_hour), json!(in_an_hour.to_string())] {
        let world = World::new(move |number| {
            ResponseTemplate::new(200)
                .set_body_json(json!({"access_token": format!("token-{number}"), "expires_on": expires_on}))
        })
        .await;
        let credential = world.credential(managed(ManagedIdentity::System));
        assert_eq!(text(credential.token().await), "token-1");
        world.clock.advance(minutes(50));
        assert_eq!(text(credential.token().await), "token-1");
        world.clock.advance(minutes(11));
        assert_eq!(text(credential.token().await), "token-2");
    }
}

/// The service refuses with one code; what to do is in its words.
#[tokio::test]
async fn a_refusal_names_the_setting_that_cures_it() {
    let multiple = "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request";
    for (identity, description, cure) in [
        (ManagedIdentity::System, multiple, "several user-assigned identities"),
        (ManagedIdentity::System, multiple, "userAssignedIdentityID in the cloud settings"),
        (ManagedIdentity::System, "Identity not found", "an identity of its own"),
        (ManagedIdentity::ClientId(CLIENT.to_owned()), "Identity not found", "az vmss identity assign"),
    ] {
        let response = json!({ "error": "invalid_request", "error_description": description });
        let world = World::new(move |_| ResponseTemplate::new(400).set_body_json(response.clone())).await;
        let error = world.credential(managed(identity)).token().await.unwrap_err();
        assert!(error.hint.as_ref().is_some_and(|hint| hint.contains(cure)), "{cure}: {error:?}");
    }
}
