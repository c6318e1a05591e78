//! Settings that cannot work, and responses that bring no token.

use std::time::Duration;

use azurelustre_csi::adapters::arm::credentials::{
    Credential, CredentialKind, IMDS, ManagedIdentity, Secret, TokenEndpoints, TokenError, TokenErrorKind,
};
use wiremock::ResponseTemplate;

use super::world::*;

fn ids(tenant_id: &str, client_id: &str) -> CredentialKind {
    CredentialKind::ClientSecret {
        tenant_id: tenant_id.to_owned(),
        client_id: client_id.to_owned(),
        secret: Secret::new("not-so-secret"),
    }
}

#[tokio::test]
async fn placeholders_and_ids_that_are_not_valid_are_refused_before_anything_is_sent() {
    let world = World::hourly().await;
    let by_client = |id: &str| managed(ManagedIdentity::ClientId(id.to_owned()));
    let by_resource = |id: &str| managed(ManagedIdentity::ResourceId(id.to_owned()));
    let federated = |client_id: &str| CredentialKind::WorkloadIdentity {
        tenant_id: TENANT.to_owned(),
        client_id: client_id.to_owned(),
        token_file: "/token".into(),
    };
    for (kind, expected) in [
        (ids(TENANT, "msi"), "the client id is `msi`"),
        (ids(TENANT, "MSI"), "the client id is `msi`"),
        (with_secret("msi"), "the client secret is `msi`"),
        (by_client("msi"), "the client id is `msi`"),
        (federated("msi"), "the client id is `msi`"),
        (by_resource("msi"), "`msi` is not the resource id"),
        (with_secret(""), "the client secret is empty"),
        (ids("", CLIENT), "`` is not a valid tenant id"),
        (ids("..", CLIENT), "`..` is not a valid tenant id"),
        (ids("a/../b", CLIENT), "`a/../b` is not a valid tenant id"),
        (ids(TENANT, "a b"), "`a b` is not a valid client id"),
        (by_client(""), "`` is not a valid client id"),
        (by_resource("kubelet"), "`kubelet` is not the resource id"),
        (
            CredentialKind::AzureCli { tenant_id: Some("--help".to_owned()), program: "az".into() },
            "`--help` is not a valid tenant id",
        ),
    ] {
        let error = world.try_credential(kind).expect_err(expected);
        assert_eq!(error.kind, TokenErrorKind::Refused);
        assert!(error.message.contains(expected), "{error} is not {expected}");
    }
    assert!(world.try_credential(ids("contoso.onmicrosoft.com", CLIENT)).is_ok());
    assert_eq!(world.count().await, 0);
}

fn at(authority: &str, imds: &str) -> Result<Credential, TokenError> {
    let endpoints = TokenEndpoints::parse(authority, Some(imds))?;
    Credential::new(with_secret("not-so-secret"), endpoints, SCOPE.to_owned(), stack(std::sync::Arc::default()))
}

#[test]
fn plain_http_is_only_for_this_machine_and_the_metadata_address() {
    const ENTRA: &str = "https://login.microsoftonline.com/";
    assert_eq!(TokenEndpoints::parse(ENTRA, None).unwrap().imds.as_str(), "http://169.254.169.254/");
    for (authority, imds) in [
        (ENTRA, IMDS),
        ("https://login.chinacloudapi.cn", "https://imds.example"),
        ("http://127.0.0.1:1", "http://localhost:2"),
        ("http://[::1]:1/sub/path/", "http://127.1.2.3"),
    ] {
        assert!(at(authority, imds).is_ok(), "{authority} {imds}");
    }
    for (authority, imds, expected) in [
        ("http://login.microsoftonline.com/", IMDS, "over http"),
        ("http://169.254.169.254/", IMDS, "over http"),
        ("http://localhost.example/", IMDS, "over http"),
        (ENTRA, "http://169.254.169.253", "over http"),
        (ENTRA, "http://imds", "over http"),
        ("ftp://localhost/", IMDS, "over ftp"),
        ("https://user:geheim@login.example/", IMDS, "has more than"),
        ("https://login.example/?geheim", IMDS, "has more than"),
        ("mailto:somebody", IMDS, "has no host"),
        ("login.microsoftonline.com", IMDS, "is not a URL"),
    ] {
        let error = at(authority, imds).expect_err(authority);
        assert!(error.kind == TokenErrorKind::Refused && error.message.contains(expected), "{authority}: {error}");
        assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
    }
}

#[tokio::test]
async fn an_oauth_error_is_reported_with_its_hint() {
    for (status, code, description, hint_part) in [
        (401, "invalid_client", "AADSTS7000215: Invalid client secret provided.", "the secret's value"),
        (401, "invalid_client", "AADSTS7000222: The provided client secret keys are expired.", "add a new one"),
        (
            401,
            "invalid_client",
            "AADSTS700024: Client assertion is not within its valid time range.",
            "still being rotated",
        ),
        (
            401,
            "invalid_client",
            "AADSTS700213: No matching federated identity record found.",
            "federated-credential create",
        ),
        (
            401,
            "invalid_client",
            "AADSTS70021: No matching federated identity record found.",
            "federated-credential create",
        ),
        (
            400,
            "unauthorized_client",
            "AADSTS700016: Application was not found in the directory.",
            "check the client id",
        ),
        (400, "invalid_request", "AADSTS90002: Tenant not found.", "check the tenant id"),
        (400, "invalid_request", "AADSTS999999: Something new.", "check tenant id, client id"),
    ] {
        let world = World::new(move |_| refusal(status, code, description)).await;
        let error = world.credential(with_secret("not-so-secret")).token().await.unwrap_err();
        assert_eq!(error.kind, TokenErrorKind::Refused);
        assert_eq!(
            error.to_string(),
            format!(
                "127.0.0.1 (client {CLIENT} of tenant {TENANT}) answered {status} {code}: {description} (trace id 11)"
            )
        );
        assert!(error.hint.as_ref().is_some_and(|hint| hint.contains(hint_part)), "{error:?}");
        assert_eq!(world.count().await, 1);
    }
}

#[tokio::test]
async fn responses_that_cannot_be_read_are_reported_as_such() {
    let html = |status| {
        ResponseTemplate::new(status).set_body_raw("<html>Sign in to the Wi-Fi</html>", "text/html; charset=utf-8")
    };
    let json = |text: &str| ResponseTemplate::new(200).set_body_raw(text.to_owned(), "application/json");
    for (response, kind, expected) in [
        (html(200), TokenErrorKind::Unreadable, "something else than a JSON object"),
        (html(403), TokenErrorKind::Unreadable, "answered 403 with 33 bytes of text/html and no reason"),
        (html(502), TokenErrorKind::Unavailable, "answered 502 with 33 bytes of text/html and no reason"),
        (ResponseTemplate::new(429), TokenErrorKind::Unavailable, "answered 429"),
        (ResponseTemplate::new(404), TokenErrorKind::Unreadable, "answered 404"),
        (json(r#"{"access_token":"x""#), TokenErrorKind::Unreadable, "something else than a JSON object"),
        (json("[]"), TokenErrorKind::Unreadable, "something else than a JSON object"),
        (json(r#"{"expires_in":3600}"#), TokenErrorKind::Unreadable, "without a token"),
        (json(r#"{"access_token":"x"}"#), TokenErrorKind::Unreadable, "without saying when"),
        (json(r#"{"access_token":"x\r\ny","expires_in":3600}"#), TokenErrorKind::Unreadable, "no HTTP header"),
        (
            json(&format!(r#"{{"access_token":"{}"}}"#, "x".repeat(65_536))),
            TokenErrorKind::Unreadable,
            "more than 64 KiB",
        ),
    ] {
        let world = World::new(move |_| response.clone()).await;
        let error = world.credential(with_secret("not-so-secret")).token().await.unwrap_err();
        assert!(error.kind == kind && error.message.contains(expected), "{error:?} is not {expected}");
        assert!(error.message.contains("127.0.0.1") && error.message.contains(TENANT), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = World::hourly().await;
    let to = elsewhere.server.uri();
    let world = World::new(move |_| ResponseTemplate::new(307).insert_header("location", to.as_str())).await;
    let error = world.credential(with_secret("not-so-secret")).token().await.unwrap_err();
    assert_eq!((error.kind, elsewhere.count().await), (TokenErrorKind::Unreadable, 0));
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = at(&format!("http://{free}"), IMDS).unwrap().token().await.unwrap_err();
    assert_eq!(error.kind, TokenErrorKind::Unavailable);
    assert!(error.message.contains("cannot be reached") && error.hint.is_some() && error.source.is_some(), "{error:?}");
}

/// Time is skipped as soon as everything waits, so that the limit is measured without waiting for it.
#[tokio::test(start_paused = true)]
async fn an_attempt_ends_after_ten_seconds() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let credential = at(&format!("http://{}", silent.local_addr().unwrap()), IMDS).unwrap();
    let begun = tokio::time::Instant::now();
    let error = credential.token().await.unwrap_err();
    assert!(error.message.contains("did not answer within 10 s"), "{error}");
    assert_eq!((error.kind, begun.elapsed().as_secs()), (TokenErrorKind::Unavailable, 10));
    assert!(begun.elapsed() < Duration::from_secs(11));
}
