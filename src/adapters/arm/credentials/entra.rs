//! Microsoft Entra: the client credentials grant of OAuth 2.0, with a secret or with an assertion; token and error
//! responses of all issuers, with a hint for each `AADSTS` code.
//!
//! Source: <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use super::{Secret, TokenError, TokenErrorKind};
use crate::adapters::arm::http::stack::HttpStack;
use crate::adapters::arm::http::{Method, Response, StatusCode};
use crate::adapters::arm::text::redacted;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const UNREACHABLE: &str = "check name resolution, network policies, the proxy settings (HTTPS_PROXY, NO_PROXY) and, for an \
    unknown certificate, SSL_CERT_FILE";

/// An application (service principal) in its tenant, and the scope of its tokens.
pub(super) struct Application<'a> {
    pub(super) http: &'a HttpStack,
    pub(super) authority: &'a Url,
    pub(super) tenant_id: &'a str,
    pub(super) client_id: &'a str,
    pub(super) scope: &'a str,
}

/// What proves the application's identity.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// A secret of the application.
    Secret(&'a Secret),
    /// A signed assertion: a federated token, or one signed with the key of a certificate.
    Assertion(&'a Secret),
}

impl Application<'_> {
    /// The token endpoint, which an assertion names as its audience.
    pub(super) fn token_url(&self) -> Url {
        super::url_below(self.authority, &[self.tenant_id, "oauth2", "v2.0", "token"])
    }

    /// Requests a token once (RFC 6749 section 4.4; RFC 7521 section 4.2 for assertions).
    pub(super) async fn exchange(&self, proof: Proof<'_>) -> Result<Issued, TokenError> {
        let mut request = super::token_request(Method::POST, self.token_url());
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        request.body = self.form(proof).into();
        let host = self.authority.host_str().unwrap_or_default();
        let issuer = format!("{host} (client {} of tenant {})", self.client_id, self.tenant_id);
        let response = super::send(self.http, request, &issuer, UNREACHABLE).await?;
        if response.status == StatusCode::OK {
            return token_response(&response.body, &issuer);
        }
        let (Proof::Secret(secret) | Proof::Assertion(secret)) = proof;
        Err(oauth_error(&response, &issuer, &[secret], "check tenant id, client id and credential of the settings"))
    }

    fn form(&self, proof: Proof<'_>) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("client_id", self.client_id)
            .append_pair("scope", self.scope);
        match proof {
            Proof::Secret(secret) => form.append_pair("client_secret", secret.reveal()),
            Proof::Assertion(assertion) => form
                .append_pair("client_assertion_type", ASSERTION_TYPE)
                .append_pair("client_assertion", assertion.reveal()),
        };
        form.finish()
    }
}

/// What to do about Entra's error codes (`AADSTS…`), those that a driver meets. Source:
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.
const AADSTS_HINTS: [(&[u32], &str); 18] = [
    (&[700_016], "check the client id and the tenant id: this tenant has no such application"),
    (&[90_002, 900_023, 90_012, 900_021], "check the tenant id and the cloud: this authority knows no such tenant"),
    (&[7_000_215], "give the secret's value; the portal also shows the secret's id, which is not it"),
    (
        &[7_000_222],
        "the secret has expired: add a new one to the application and write it to the settings; they are read again without \
         a restart",
    ),
    (&[7_000_216, 7_000_218], "give the application's secret or certificate in the settings"),
    (
        &[700_025],
        "the application is a public client: turn that off in its authentication settings, or use another one",
    ),
    (&[700_023, 50_013], "the assertion is not for this authority: check tenant, cloud and AZURE_AUTHORITY_HOST"),
    (
        &[900_382, 90_038, 9_002_332],
        "the tenant belongs to another cloud: correct `cloud` and the tenant id in the settings",
    ),
    (&[50_194], "the application belongs to another tenant: correct the tenant id"),
    (&[1_002_012, 70_011], "check the cloud: this authority does not give out tokens for its audience"),
    (
        &[700_024, 500_133],
        "the assertion has expired or is not yet valid: check that the token file is still being rotated (kubelet, workload \
         identity webhook) and that the node's clock is right",
    ),
    (
        &[70_021, 700_211, 700_212, 700_213, 700_238],
        "no federated credential fits the pod's token: create one whose issuer, subject \
         (system:serviceaccount:<namespace>:<name>) and audience (api://AzureADTokenExchange) equal the token's \
         (`az identity federated-credential create`)",
    ),
    (
        &[700_027, 700_030, 5_002_723],
        "add this very certificate to the application (`az ad app credential reset --append --cert`)",
    ),
    (&[1_000_502], "the certificate has expired or is not yet valid: renew it, and check the node's clock"),
    (&[7_000_112], "the application is disabled: enable its enterprise application"),
    (&[7_000_229], "create the application's service principal in this tenant (`az ad sp create --id <client id>`)"),
    (&[500_011], "check the cloud: this tenant has no such audience"),
    (
        &[53_003, 530_035],
        "a Conditional Access policy blocks this identity: exempt it, or allow the cluster's addresses",
    ),
];

/// The error of a response without a token (RFC 6749 section 5.2). `issuer` names issuer and identity; `secrets` were sent
/// and must not be shown; `default_hint` is the hint of a refusal whose code is not known.
pub(super) fn oauth_error(response: &Response, issuer: &str, secrets: &[&Secret], default_hint: &str) -> TokenError {
    let status = response.status.as_u16();
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let error = redacted(text("error"), secrets);
    let kind = match status {
        408 | 429 | 500..=599 => TokenErrorKind::Unavailable,
        // Without an OAuth error the response is not the issuer's.
        400 | 401 | 403 if !error.is_empty() => match error.as_str() {
            "temporarily_unavailable" | "server_error" => TokenErrorKind::Unavailable,
            _ => TokenErrorKind::Refused,
        },
        _ => TokenErrorKind::Unreadable,
    };
    if error.is_empty() {
        let message = format!("{issuer} answered {status} with {} and no reason", shape(response));
        let failure = TokenError::new(kind, message);
        return match kind {
            TokenErrorKind::Unavailable => failure,
            _ => failure.with_hint("check the authority's address, and whether a proxy answers in its place"),
        };
    }
    // Ids and a time stamp follow on further lines, or in the same one.
    let description = text("error_description").split("Trace ID:").next().unwrap_or_default();
    let (description, trace_id) = (redacted(description, secrets), redacted(text("trace_id"), secrets));
    let mut message = format!("{issuer} answered {status} {error}");
    if !description.is_empty() {
        message = format!("{message}: {description}");
    }
    if !trace_id.is_empty() {
        message = format!("{message} (trace id {trace_id})");
    }
    let failure = TokenError::new(kind, message);
    let code = description.split_once("AADSTS").map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()));
    let code: Option<u32> = code.and_then(|mut digits| digits.next()?.parse().ok());
    let hint = AADSTS_HINTS.iter().find(|(codes, _)| code.is_some_and(|code| codes.contains(&code)));
    match (hint, kind) {
        (Some((_, hint)), _) => failure.with_hint(*hint),
        (None, TokenErrorKind::Refused) => failure.with_hint(default_hint),
        (None, _) => failure,
    }
}

/// Length and type of a body, for an error message without its content.
fn shape(response: &Response) -> String {
    let claimed = response.header("content-type").unwrap_or_default();
    let claimed = claimed.split(';').next().unwrap_or_default().trim();
    let sound = claimed.len() < 60 && claimed.contains('/') && claimed.chars().all(|c| c.is_ascii_graphic());
    format!("{} bytes of {}", response.body.len(), if sound { claimed } else { "untyped" })
}

/// Longest lifetime that is trusted, in seconds; the longest known is a day.
const MAX_LIFETIME: u64 = 7 * 24 * 60 * 60;

/// A token as issued.
pub(super) struct Issued {
    pub(super) token: Secret,
    /// How long it is valid, counted from the request.
    pub(super) lifetime: Duration,
}

/// Reads a token response (RFC 6749 section 5.1). `issuer` names the issuer in errors. Entra writes `expires_in` as a number,
/// the instance metadata service everything as text, other versions and the Azure CLI only `expires_on`. A body
/// that may hold a token is never quoted.
pub(super) fn token_response(body: &[u8], issuer: &str) -> Result<Issued, TokenError> {
    let unreadable = |what: &str| TokenError::unreadable(format!("{issuer} answered {what}"));
    let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(body) else {
        return Err(unreadable("with something else than a JSON object"));
    };
    let token = members.get("access_token").or_else(|| members.get("accessToken")).and_then(Value::as_str);
    let token = token.ok_or_else(|| unreadable("without a token"))?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unreadable("with a token that no HTTP header could carry"));
    }
    // The relative lifetime does not depend on this machine's clock, so it is preferred.
    let relative = members.get("expires_in").and_then(seconds);
    let until = || members.get("expires_on").and_then(seconds).map(|until| until.saturating_sub(unix_time()));
    let lifetime = relative.or_else(until).ok_or_else(|| unreadable("without saying when its token expires"))?;
    if lifetime == 0 {
        return Err(unreadable("with a token that has expired").with_hint("check that the clocks are right"));
    }
    Ok(Issued { token: Secret::new(token), lifetime: Duration::from_secs(lifetime.min(MAX_LIFETIME)) })
}

/// Whole seconds, as a number or as text; below zero is zero.
fn seconds(value: &Value) -> Option<u64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok()?,
        value => value.as_f64()?,
    };
    // Saturating: what is below zero, and no number at all, becomes 0.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some(number as u64)
}

/// Seconds since 1970 by the machine's clock.
pub(super) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(fields: &str) -> Result<u64, String> {
        let body = format!(r#"{{"access_token":"geheim"{fields}}}"#);
        token_response(body.as_bytes(), "issuer").map(|issued| issued.lifetime.as_secs()).map_err(|error| error.message)
    }

    #[test]
    fn lifetimes_are_numbers_or_text_and_relative_ones_win() {
        for fields in [r#","expires_in":3599"#, r#","expires_in":"3599""#, r#","expires_in":3599.7,"expires_on":"1""#] {
            assert_eq!(lifetime(fields), Ok(3599), "{fields}");
        }
        let until = unix_time() + 1000;
        for fields in [format!(r#","expires_on":{until}"#), format!(r#","expires_on":"{until}","expires_in":"soon""#)] {
            assert!((990..=1000).contains(&lifetime(&fields).unwrap()), "{fields}");
        }
        assert_eq!(lifetime(r#","expires_in":1e300"#), Ok(MAX_LIFETIME));
    }

    #[test]
    fn a_response_without_a_valid_token_is_unreadable_and_not_shown() {
        for (fields, text) in [
            ("", "without saying when"),
            (r#","expires_in":"soon","expires_on":null"#, "without saying when"),
            (r#","expires_in":0"#, "has expired"),
            (r#","expires_in":-5"#, "has expired"),
            (r#","expires_on":"1500000000""#, "has expired"),
            (r#","expires_in":"NaN""#, "has expired"),
        ] {
            let error = lifetime(fields).unwrap_err();
            assert!(error.contains(text) && !error.contains("geheim"), "{fields}: {error}");
        }
        for body in [
            "",
            "geheim",
            "[\"geheim\"]",
            r#"{"access_token":7}"#,
            r#"{"access_token":"","expires_in":9}"#,
            "{\"access_token\":\"a\\nb\",\"expires_in\":9}",
            "{\"access_token\":\"geheim\"",
            "\u{0}",
        ] {
            let error = token_response(body.as_bytes(), "issuer").err().unwrap();
            assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        }
    }

    fn error_of(status: u16, body: &str) -> TokenError {
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))].into_iter().collect();
        let response =
            Response { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_owned().into() };
        oauth_error(&response, "host", &[&Secret::new("geheim")], "check it")
    }

    #[test]
    fn a_status_has_a_meaning_only_in_an_oauth_error_of_the_issuer() {
        use TokenErrorKind::{Refused, Unavailable, Unreadable};
        let own = r#"{"error":"invalid_client"}"#;
        for (status, body, kind) in [
            (400, own, Refused),
            (401, own, Refused),
            (403, own, Refused),
            (400, r#"{"error":"temporarily_unavailable"}"#, Unavailable),
            (403, "<html>", Unreadable),
            (400, r#"{"error":""}"#, Unreadable),
            (404, own, Unreadable),
            (302, "", Unreadable),
            (408, own, Unavailable),
            (429, "", Unavailable),
            (500, "<html>", Unavailable),
            (599, own, Unavailable),
        ] {
            assert_eq!(error_of(status, body).kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn an_oauth_error_is_shown_without_what_was_sent() {
        let error = error_of(
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid geheim provided.\r\nTrace ID: 1","trace_id":"t-1"}"#,
        );
        assert_eq!(
            error.message,
            "host answered 401 invalid_client: AADSTS7000215: Invalid … provided. (trace id t-1)"
        );
        assert!(error.hint.unwrap().contains("the secret's value"));
        let error = error_of(400, r#"{"error":"invalid_request","error_description":"AADSTS1: ?"}"#);
        assert_eq!(error.hint.unwrap(), "check it");
        let error = error_of(502, "<html>geheim</html>");
        assert_eq!(
            (error.message.as_str(), error.hint),
            ("host answered 502 with 19 bytes of text/html and no reason", None)
        );
    }
}
