//! What is sent to the authority, field by field.

use azurelustre_csi::adapters::arm::credentials::{Credential, CredentialKind, TokenEndpoints, TokenErrorKind};

use super::world::*;

fn federated(token_file: &std::path::Path) -> CredentialKind {
    CredentialKind::WorkloadIdentity {
        tenant_id: TENANT.to_owned(),
        client_id: CLIENT.to_owned(),
        token_file: token_file.to_owned(),
    }
}

#[tokio::test]
async fn a_client_secret_is_sent_as_a_form() {
    let world = World::hourly().await;
    let credential = world.credential(with_secret("p+w/ ä&="));
    assert_eq!(text(credential.token().await), "token-1");
    let [request] = world.requests().await.try_into().unwrap();
    assert_eq!(
        (request.method.as_str(), request.url.path()),
        ("POST", format!("/{TENANT}/oauth2/v2.0/token").as_str())
    );
    assert_eq!(request.url.query(), None);
    assert_eq!(header(&request, "content-type"), "application/x-www-form-urlencoded");
    assert_eq!(header(&request, "user-agent"), concat!("azurelustre-csi/", env!("CARGO_PKG_VERSION")));
    assert_eq!(header(&request, "client-request-id").len(), 36);
    let body = format!(
        "grant_type=client_credentials&client_id={CLIENT}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default\
         &client_secret=p%2Bw%2F+%C3%A4%26%3D"
    );
    assert_eq!(String::from_utf8(request.body).unwrap(), body);
}

#[tokio::test]
async fn a_federated_token_is_read_again_at_every_exchange() {
    let world = World::hourly().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let credential = world.credential(federated(file.path()));
    for (number, assertion) in [(1, "first.jwt"), (2, "second.jwt\n")] {
        std::fs::write(file.path(), assertion).unwrap();
        assert_eq!(text(credential.token().await), format!("token-{number}"));
        let request = world.requests().await.pop().unwrap();
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT),
            ("scope", SCOPE),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion.trim()),
        ];
        assert_eq!(form(&request), fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
        world.clock.advance(minutes(61));
    }
}

#[tokio::test]
async fn a_token_file_that_holds_none_is_refused_with_its_name() {
    let world = World::hourly().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let credential = world.credential(federated(&path));
    let mut cases = vec![("does not exist", None)];
    cases.extend([("is empty", Some(" \n".to_owned())), ("holds no token", Some("a b".to_owned()))]);
    cases.push(("is larger than 64 KiB", Some("x".repeat(65_537))));
    for (expected, content) in cases {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = credential.token().await.unwrap_err();
        assert_eq!(error.kind, TokenErrorKind::Refused);
        assert!(error.message.contains(expected) && error.message.contains(path.to_str().unwrap()), "{error}");
        assert!(error.hint.is_some());
    }
    let directory = world.credential(federated(folder.path())).token().await.unwrap_err();
    assert!(directory.message.contains("is not a regular file"), "{directory}");
    assert_eq!(world.count().await, 0);
    // And as soon as it is there, it is used.
    std::fs::write(&path, "jwt").unwrap();
    assert_eq!(text(credential.token().await), "token-1");
}

/// Requests for tokens go through the same stack as those to ARM, and are counted there.
#[tokio::test]
async fn requests_for_tokens_are_counted() {
    let world =
        World::new(|number| if number == 1 { refusal(503, "server_error", "AADSTS1: ?") } else { token(2, 3600) })
            .await;
    let (http, uri) = (stack(world.clock.clone()), world.server.uri());
    let endpoints = TokenEndpoints::parse(&uri, Some(&uri)).unwrap();
    let credential = Credential::new(with_secret("not-so-secret"), endpoints, SCOPE.to_owned(), http.clone()).unwrap();
    credential.token().await.unwrap_err();
    credential.token().await.unwrap();
    let count = http.counts().snapshot()[&("POST".to_owned(), "token")];
    assert_eq!((count.succeeded, count.failed, count.in_flight), (1, 1, 0));
}
