//! The bearer token of a request: what replaces it, what rejects it, and where it never goes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use azurelustre_csi::adapters::arm::token::{Secret, TokenError, TokenErrorKind, TokenProvider};
use azurelustre_csi::domain::filesystem::Observed;
use azurelustre_csi::domain::names::Location;
use azurelustre_csi::ports::cloud::{Cloud, CloudErrorKind};
use serde_json::json;

use crate::fakes::arm::TOKEN;
use crate::fakes::arm::faults::{OneToken, adapter_with};
use crate::fakes::clock::ManualClock;
use crate::recorded::spec;
use crate::scripted::{Script, error, json_response, response, scripted};
use crate::stack::ENDPOINT;
use crate::world::{NAME, id};

/// Some proxies echo the request that they refuse.
#[test]
fn an_echoed_token_is_not_shown() {
    let echo = format!("GET / HTTP/1.1\r\nauthorization: Bearer {TOKEN}\r\n");
    let responses = [
        response(502, &[], echo.clone()),
        response(200, &[], echo.clone()),
        response(403, &[], echo.clone()),
        error(400, "Bad", &echo),
        json_response(200, &json!([echo])),
    ];
    for response in responses {
        let (cloud, clock, _) = scripted(vec![response.clone()]);
        let failure = clock.run(cloud.observe(&id(NAME))).unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains(TOKEN), "{failure:?}");
        let failure = clock.run(cloud.skus(&Location::parse("eastus").unwrap())).unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains(TOKEN), "{failure:?}");
    }
}

/// A read is repeated with a new token once, also after other errors.
#[test]
fn an_expired_token_is_replaced_once() {
    let (expired, down) = (error(401, "ExpiredAuthenticationToken", "x"), error(503, "Down", "x"));
    let absent = error(404, "ResourceNotFound", "x");
    let (cloud, clock, script) = scripted(vec![down, expired.clone(), absent]);
    assert_eq!(clock.run(cloud.observe(&id(NAME))).unwrap(), Observed::Absent);
    assert_eq!(script.requests.lock().unwrap().len(), 3);
    let (cloud, clock, script) = scripted(vec![expired]);
    assert_eq!(clock.run(cloud.observe(&id(NAME))).unwrap_err().kind, CloudErrorKind::Unauthenticated);
    assert_eq!(script.requests.lock().unwrap().len(), 2);
}

/// The one token, and the tokens that were rejected.
#[derive(Debug, Default)]
struct RejectedTokens(Mutex<Vec<String>>);

#[async_trait]
impl TokenProvider for RejectedTokens {
    async fn token(&self) -> Result<Secret, TokenError> {
        OneToken.token().await
    }

    fn reject(&self, token: &Secret) {
        self.0.lock().unwrap().push(token.reveal().to_owned());
    }
}

#[test]
fn only_arm_rejects_a_token() {
    for (response, expected) in [
        (error(401, "InvalidAuthenticationToken", "x"), 2),
        (response(401, &[("www-authenticate", "Bearer authorization_uri=\"https://login.test/\"")], ""), 3),
        (response(401, &[], "<html>"), 0),
        (response(401, &[("www-authenticate", "Basic realm=\"proxy\"")], "<html>"), 0),
        (error(403, "AuthorizationFailed", "x"), 0),
    ] {
        let (tokens, clock, case) =
            (Arc::new(RejectedTokens::default()), Arc::new(ManualClock::default()), format!("{response:?}"));
        let cloud = adapter_with(tokens.clone(), Script::new(vec![response]), ENDPOINT, clock.clone());
        clock.run(cloud.observe(&id(NAME))).unwrap_err();
        let rejected = tokens.0.lock().unwrap().clone();
        assert!(rejected.len() == expected && rejected.iter().all(|token| token == TOKEN), "{case}: {rejected:?}");
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
        let script = Script::new(vec![response(200, &[], "")]);
        let cloud = adapter_with(tokens.clone(), script.clone(), ENDPOINT, clock.clone());
        assert_eq!(clock.run(cloud.observe(&id(NAME))).unwrap_err().kind, kind, "{reason:?}");
        assert_eq!(clock.run(cloud.begin_create(&spec())).unwrap_err().kind, kind, "{reason:?}");
        assert_eq!((tokens.1.load(Ordering::Relaxed), script.requests.lock().unwrap().len()), (2, 0), "{reason:?}");
    }
}

#[test]
fn a_link_to_another_origin_gets_no_token() {
    let links = [
        "https://evil.test/skus?x=1",
        "http://arm.test/skus",
        "https://arm.test:444/skus",
        "//evil.test/skus",
        "https://user:pw@arm.test/skus",
    ];
    for link in links {
        let page = json!({ "value": [], "nextLink": link });
        let (cloud, clock, script) = scripted(vec![json_response(200, &page)]);
        let failure = clock.run(cloud.skus(&Location::parse("eastus").unwrap())).unwrap_err();
        assert!(failure.message.contains("refused to follow a link"), "{link}: {failure}");
        let requests = script.requests.lock().unwrap();
        assert!(requests.len() == 1 && requests[0].url.host_str() == Some("arm.test"), "{link}: {requests:?}");
    }
}
