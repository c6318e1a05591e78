//! What an issuer says in place of a token, and what to do about it.

use serde_json::Value;

use super::error::{TokenError, TokenErrorKind};
use super::http::Answer;
use super::secret::{Secret, presentable};

/// What to do about Entra's codes (`AADSTS…`), those that a driver meets.
const CURES: [(&[u32], &str); 18] = [
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

/// What an answer without a token means. `who` names issuer and identity; `secrets` were sent and must not come back out.
pub(super) fn explain(answer: &Answer, who: &str, secrets: &[&Secret], otherwise: &str) -> TokenError {
    let told = Told::read(&answer.body, secrets);
    let kind = match answer.status {
        408 | 429 | 500..=599 => TokenErrorKind::Unavailable,
        400 | 401 | 403 => match told.as_ref().map(|told| told.error.as_str()) {
            Some("temporarily_unavailable" | "server_error") => TokenErrorKind::Unavailable,
            Some(_) => TokenErrorKind::Refused,
            // Whoever spoke, it was not the issuer.
            None => TokenErrorKind::Unreadable,
        },
        _ => TokenErrorKind::Unreadable,
    };
    let status = answer.status;
    let Some(told) = told else {
        let message = format!("{who} answered {status} with {} and no reason", answer.form());
        let error = TokenError::new(kind, message);
        return match kind {
            TokenErrorKind::Unavailable => error,
            _ => error.with_hint("check the authority's address, and whether a proxy answers in its place"),
        };
    };
    let error = TokenError::new(kind, format!("{who} answered {status} {told}"));
    let cure = CURES.iter().find(|(codes, _)| told.code.is_some_and(|code| codes.contains(&code)));
    match (cure, kind) {
        (Some((_, cure)), _) => error.with_hint(*cure),
        (None, TokenErrorKind::Refused) => error.with_hint(otherwise),
        (None, _) => error,
    }
}

/// The issuer's words, fit to be shown.
struct Told {
    error: String,
    description: String,
    code: Option<u32>,
    trace_id: String,
}

impl Told {
    fn read(body: &[u8], secrets: &[&Secret]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
        let error = Some(presentable(text("error"), secrets)).filter(|error| !error.is_empty())?;
        // Ids and a time stamp follow on further lines, or further on in this one.
        let description = text("error_description");
        let end = description.find("Trace ID:").unwrap_or(description.len());
        let description = presentable(&description[..end], secrets);
        let digits = description.split_once("AADSTS").map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()));
        let code = digits.and_then(|mut parts| parts.next()?.parse().ok());
        Some(Self { error, description, code, trace_id: presentable(text("trace_id"), secrets) })
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.error)?;
        if !self.description.is_empty() {
            write!(f, ": {}", self.description)?;
        }
        if !self.trace_id.is_empty() {
            write!(f, " (trace id {})", self.trace_id)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(status: u16, body: &str) -> TokenError {
        let answer = Answer { status, body: body.into(), content_type: "text/html; charset=utf-8".to_owned() };
        explain(&answer, "host", &[&Secret::new("geheim")], "look around")
    }

    #[test]
    fn statuses_have_meanings_where_the_issuer_itself_speaks() {
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
            assert_eq!(explained(status, body).kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn the_issuers_words_are_told_without_what_was_sent() {
        let error = explained(
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid geheim provided.\r\nTrace ID: 1","trace_id":"t-1"}"#,
        );
        assert_eq!(
            error.message,
            "host answered 401 invalid_client: AADSTS7000215: Invalid … provided. (trace id t-1)"
        );
        assert!(error.hint.unwrap().contains("the secret's value"));
        let error = explained(400, r#"{"error":"invalid_request","error_description":"AADSTS1: ?"}"#);
        assert_eq!(error.hint.unwrap(), "look around");
        let error = explained(502, "<html>geheim</html>");
        assert_eq!(
            (error.message.as_str(), error.hint),
            ("host answered 502 with 19 bytes of text/html and no reason", None)
        );
    }
}
