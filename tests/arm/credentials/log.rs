//! No secret is shown: the log of the whole process is searched for secrets. Each test searches for its own texts.

use std::error::Error;

use azurelustre_csi::adapters::arm::credentials::{CredentialKind, ManagedIdentity, Secret};
use wiremock::{Request, ResponseTemplate};

use super::certificate::fixture;
use super::cli::script;
use super::world::*;
use crate::fakes::log::LogBuffer;

/// Everything that can be printed of an error and of what is below it.
fn shown(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    chain.map(|error| format!("{error} {error:?} {error:#?}")).collect::<Vec<_>>().join("\n")
}

/// Answers, some of which hold a token, and some of which hold what was sent, plain and as a form.
const RESPONSES: [fn(&Request) -> ResponseTemplate; 6] = [
    |_| ResponseTemplate::new(200).set_body_string(r#"{"access_token":"geheimes-Token","expires_in":3600}"#),
    |_| ResponseTemplate::new(200).set_body_string(r#"{"access_token":"geheimes-Token","expires_in":"never"}"#),
    |_| ResponseTemplate::new(200).set_body_string(r#"{"access_token":"geheimes-Token"#),
    |request| ResponseTemplate::new(502).set_body_bytes(request.body.clone()),
    |request| refusal(401, &sent(request), &format!("AADSTS7000215: {}", String::from_utf8_lossy(&request.body))),
    |request| refusal(503, "temporarily_unavailable", &sent(request)),
];

fn sent(request: &Request) -> String {
    form(request).pop().map_or_else(|| "nothing".to_owned(), |(_, value)| value)
}

/// Everything that can be printed of a credential, of its tokens and of its errors.
async fn printed(kind: &CredentialKind, answer: fn(&Request) -> ResponseTemplate) -> String {
    let world = World::answering(answer).await;
    let credential = world.credential(kind.clone());
    let own = world.jumping(credential.token()).await;
    let mut printed = format!("{kind:?} {kind:#?} {credential:?} {credential:#?} {own:?}");
    match &own {
        Ok(token) => credential.reject(token),
        Err(error) => printed += &[format!("{:?}", error.hint), shown(error)].concat(),
    }
    printed
}

#[tokio::test]
async fn no_secret_is_in_a_log_an_error_or_debug_output() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "geheime-Zusicherung").unwrap();
    let az = script(r#"echo '{"accessToken":"geheimes-Token","expires_on":"never"}'"#);
    let (tenant_id, client_id) = (TENANT.to_owned(), CLIENT.to_owned());
    let kinds = [
        with_secret("geheimes+Wort/1"),
        CredentialKind::WorkloadIdentity {
            tenant_id: tenant_id.clone(),
            client_id: client_id.clone(),
            token_file: file.path().to_owned(),
        },
        managed(ManagedIdentity::System),
        CredentialKind::ClientCertificate {
            tenant_id,
            client_id,
            path: fixture("test-key-pkcs8.pem"),
            password: Some(Secret::new("geheimes-Kennwort")),
        },
        CredentialKind::AzureCli { tenant_id: None, program: az.path() },
    ];
    let mut printed_text = String::new();
    for response in RESPONSES {
        for kind in &kinds {
            printed_text += &printed(kind, response).await;
        }
    }
    let log = LogBuffer::of_process().text();
    assert!(printed_text.contains("401 …: AADSTS7000215: grant_type=client_credentials"), "nothing was echoed");
    assert!(log.contains("AADSTS7000215") && log.contains("TRACE"), "nothing was captured");
    // Besides the five: how the test key, and how each assertion signed with it, begins.
    for secret in [
        "geheimes+Wort/1",
        "geheimes%2BWort%2F1",
        "geheime-Zusicherung",
        "geheimes-Token",
        "geheimes-Kennwort",
        "MIIEvQIBADANBgkqhkiG9w0",
        "eyJhbGciOiJSUzI1NiI",
    ] {
        for (place, text) in [("output", &printed_text), ("log", &log)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is in the {place}: {line:?}");
        }
    }
}

#[tokio::test]
async fn exchanges_are_logged_for_debugging() {
    let world = World::hourly().await;
    let credential = world.credential(with_secret("not-so-secret"));
    let token = credential.token().await.unwrap();
    credential.reject(&token);
    let log = LogBuffer::of_process().text();
    for expected in [
        "/oauth2/v2.0/token",
        "client_request_id=",
        "got a token seconds=3600",
        "a token was rejected credential=\"client secret\"",
    ] {
        assert!(log.lines().any(|line| line.contains("DEBUG") && line.contains(expected)), "{expected}");
    }
}
