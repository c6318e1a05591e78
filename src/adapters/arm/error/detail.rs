//! [`ErrorDetail`]: code, message, target, details, inner errors and additional information of an ARM error.
//!
//! The outermost code and message often say only "see details": what a user needs is in `details[]`, in `innererror`, in
//! `additionalInfo`, or in JSON that one service quotes inside the message of another. The forms that are read: ARM's
//! envelope (`{"error": {…}}`), the bare error that gateways of Azure write (`{"code": …, "message": …}`,
//! `{"Message": …}`), and that of `OData` (`{"odata.error": …}`). Source: `ErrorDetail` of common-types v5,
//! <https://github.com/Azure/azure-rest-api-specs/blob/main/specification/common-types/resource-management/v5/types.json>.

use std::fmt;

use serde_json::{Map, Value};

use crate::adapters::arm::text::{one_line, words};

/// Longest text that is shown, in characters; fits a gRPC status.
const LONGEST: usize = 3000;
/// Depth of errors within errors that is read.
const DEEPEST: usize = 8;
/// Longest additional information of an unknown type, in characters.
const LONGEST_INFO: usize = 400;

/// An error with its details and inner errors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct ErrorDetail {
    code: String,
    message: String,
    target: String,
    /// Such as a policy assignment.
    additional_info: Vec<String>,
    /// Entries of `details`, inner errors, and an error quoted in the message.
    details: Vec<Self>,
}

impl ErrorDetail {
    /// Reads the body of an error response. `None` if it is not JSON or names neither a code nor a message.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let members = body.as_object()?;
        let wrapped = member(members, &["error", "odata.error"]);
        wrapped.and_then(Self::of).or_else(|| Self::of(&body))
    }

    /// Reads the error itself. `None` if it names neither a code nor a message, at no depth.
    pub(in super::super) fn of(error: &Value) -> Option<Self> {
        Self::at(error, 0)
    }

    fn at(error: &Value, depth: usize) -> Option<Self> {
        if depth > DEEPEST {
            return None;
        }
        let members = match error {
            Value::Object(members) => members,
            Value::String(text) => return Self::quoted(text, depth),
            _ => return None,
        };
        let message = text(member(members, &["message", "error_description", "errordetail"]));
        // One service's error inside the message of another.
        let quoted = Self::quoted_json(&message, depth);
        let listed = member(members, &["details", "errors"]).and_then(Value::as_array).into_iter().flatten();
        let inner = member(members, &["innererror"]);
        let details = quoted.iter().cloned().chain(listed.chain(inner).filter_map(|error| Self::at(error, depth + 1)));
        let info = member(members, &["additionalInfo"]).and_then(Value::as_array).into_iter().flatten();
        let detail = Self {
            code: text(member(members, &["code"])),
            message: if quoted.is_some() { String::new() } else { message },
            target: text(member(members, &["target"])),
            additional_info: info.filter_map(additional).collect(),
            details: details.collect(),
        };
        (!detail.is_empty()).then_some(detail)
    }

    fn quoted(text: &str, depth: usize) -> Option<Self> {
        let plain = || Self { message: words(text), ..Self::default() };
        Some(Self::quoted_json(text, depth).unwrap_or_else(plain)).filter(|detail| !detail.is_empty())
    }

    fn quoted_json(text: &str, depth: usize) -> Option<Self> {
        let json: Value = text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok())??;
        let wrapped = json.as_object().and_then(|members| member(members, &["error", "odata.error"]));
        Self::at(wrapped.unwrap_or(&json), depth + 1)
    }

    fn is_empty(&self) -> bool {
        self.code.is_empty() && self.message.is_empty() && self.additional_info.is_empty() && self.details.is_empty()
    }

    /// All codes, outermost first.
    pub(super) fn codes(&self) -> Vec<String> {
        let own = Some(self.code.clone()).filter(|code| !code.is_empty());
        own.into_iter().chain(self.details.iter().flat_map(Self::codes)).collect()
    }

    /// Whether a quota is used up: a code is `QuotaExceeded` or ends with it, or is `OperationNotAllowed` with "quota
    /// limits" in its text (AMLFS's form; alone the code means an operation in progress).
    pub(super) fn is_quota(&self) -> bool {
        let code = self.code.to_ascii_lowercase();
        let exceeds = code == "operationnotallowed" && self.message.to_ascii_lowercase().contains("quota limits");
        code.ends_with("quotaexceeded") || exceeds || self.details.iter().any(Self::is_quota)
    }

    /// The parts in the order in which they are shown. What an outer message contains is not repeated.
    fn parts(&self, shown: &mut String) -> Vec<String> {
        let message = if shown.contains(&self.message) { "" } else { self.message.as_str() };
        let target = Some(&self.target).filter(|target| !target.is_empty() && !shown.contains(target.as_str()));
        let code = match target {
            Some(target) => format!("{} ({target})", self.code).trim_start().to_owned(),
            None => self.code.clone(),
        };
        let own = match (code.is_empty(), message.is_empty()) {
            (false, false) => format!("{code}: {message}"),
            (true, _) => message.to_owned(),
            (false, true) => code,
        };
        shown.push_str(&own);
        shown.push('\n');
        let own = Some(own).filter(|own| !own.is_empty()).into_iter().chain(self.additional_info.iter().cloned());
        own.chain(self.details.iter().flat_map(|detail| detail.parts(shown))).collect()
    }
}

impl fmt::Display for ErrorDetail {
    /// One line: `Code (target): message; Code of a detail: its message; …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.parts(&mut String::new());
        parts.dedup();
        f.write_str(&one_line(&parts.join("; "), LONGEST))
    }
}

/// A member by one of its names, in order, without regard to case: Azure's services differ in it.
fn member<'a>(members: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| {
        let found = members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    })
}

/// Text, a number, or `OData`'s `{"lang": …, "value": …}`.
fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => words(text),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Object(members)) => text(member(members, &["value"])),
        _ => String::new(),
    }
}

/// An entry of `additionalInfo`; of Azure Policy the assignment, from which a resource can be exempted.
fn additional(entry: &Value) -> Option<String> {
    let members = entry.as_object()?;
    let info = member(members, &["info"])?;
    let of = |names: &[&str]| info.as_object().map(|info| text(member(info, names))).unwrap_or_default();
    let (name, id) = (of(&["policyAssignmentName"]), of(&["policyAssignmentId"]));
    if name.is_empty() && id.is_empty() {
        let kind = text(member(members, &["type"]));
        let shown = one_line(&format!("{kind} {info}"), LONGEST_INFO);
        return Some(shown);
    }
    let display = Some(of(&["policyAssignmentDisplayName"])).filter(|display| !display.is_empty());
    let definition = of(&["policyDefinitionDisplayName", "policyDefinitionName"]);
    let mut shown = format!("policy assignment {name}");
    for extra in display.into_iter().chain([id]).filter(|extra| !extra.is_empty()) {
        shown = format!("{shown} ({extra})");
    }
    Some(if definition.is_empty() { shown } else { format!("{shown} of policy {definition}") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(body: &Value) -> String {
        ErrorDetail::read(body.to_string().as_bytes()).map(|detail| detail.to_string()).unwrap_or_default()
    }

    #[test]
    fn details_and_inner_errors_are_shown_with_code_target_and_message() {
        let body = json!({ "error": {
            "code": "MultipleErrorsOccurred", "message": "Multiple errors occurred. See details.",
            "details": [
                { "code": "SubnetIsDelegated", "target": "filesystemSubnet", "message": "Subnet a is delegated." },
                { "code": "Outer", "message": "", "details": [{ "code": "Leaf", "message": "The\n leaf." }] },
            ],
            "innererror": { "code": "NetworkDenied", "message": "NSG rule x", "innererror": { "code": "Root" } },
        } });
        assert_eq!(
            shown(&body),
            "MultipleErrorsOccurred: Multiple errors occurred. See details.; SubnetIsDelegated (filesystemSubnet): Subnet a is \
             delegated.; Outer; Leaf: The leaf.; NetworkDenied: NSG rule x; Root"
        );
        let detail = ErrorDetail::read(body.to_string().as_bytes()).unwrap();
        let codes = ["MultipleErrorsOccurred", "SubnetIsDelegated", "Outer", "Leaf", "NetworkDenied", "Root"];
        assert_eq!(detail.codes(), codes);
    }

    #[test]
    fn a_policy_is_shown_with_its_assignment() {
        let info = json!({
            "policyDefinitionDisplayName": "Allowed locations", "policyAssignmentName": "deny-1",
            "policyAssignmentDisplayName": "Only Europe",
            "policyAssignmentId": "/subscriptions/s/providers/Microsoft.Authorization/policyAssignments/deny-1",
        });
        let additional = json!([{ "type": "PolicyProblem", "info": info }, { "type": "Other", "info": { "a": 1 } }]);
        let body =
            json!({ "error": { "code": "RequestDisallowedByPolicy", "message": "no", "additionalInfo": additional } });
        assert_eq!(
            shown(&body),
            "RequestDisallowedByPolicy: no; policy assignment deny-1 (Only Europe) \
             (/subscriptions/s/providers/Microsoft.Authorization/policyAssignments/deny-1) of policy Allowed locations; \
             Other {\"a\":1}"
        );
    }

    #[test]
    fn every_form_of_an_error_is_read() {
        let quoted = r#"{"error":{"code":"Inner","message":"the cause"}}"#;
        for (body, expected) in [
            (json!({ "error": { "code": "A", "message": "b" } }), "A: b"),
            (
                json!({ "error": { "code": "", "message": "", "details": [{ "code": "L", "message": "leaf" }] } }),
                "L: leaf",
            ),
            (json!({ "code": "A", "message": "b" }), "A: b"),
            (json!({ "Code": "A", "Message": "b" }), "A: b"),
            (json!({ "Message": "b" }), "b"),
            (json!({ "odata.error": { "code": "A", "message": { "lang": "en", "value": "b" } } }), "A: b"),
            (json!({ "error": "A", "error_description": "b" }), "A"),
            (json!({ "error": { "code": "A", "message": quoted } }), "A; Inner: the cause"),
            (
                json!({ "error": { "code": "A", "message": "see: why", "details": [{ "message": "why" }] } }),
                "A: see: why",
            ),
            (json!({ "error": null, "message": "b" }), "b"),
        ] {
            assert_eq!(shown(&body), expected, "{body}");
        }
        for nothing in [json!({}), json!([]), json!({ "error": {} }), json!({ "error": null }), json!("text"), json!(7)]
        {
            assert_eq!(ErrorDetail::read(nothing.to_string().as_bytes()), None, "{nothing}");
        }
        assert_eq!(ErrorDetail::read(b"<html>"), None);
    }

    #[test]
    fn quota_is_a_code_at_any_depth_or_the_message_of_amlfs() {
        let quota = |error: Value| ErrorDetail::of(&error).is_some_and(|detail| detail.is_quota());
        assert!(quota(json!({ "code": "QuotaExceeded" })) && quota(json!({ "code": "SubscriptionQuotaExceeded" })));
        assert!(quota(json!({ "code": "Conflict", "details": [{ "code": "AmlfsQuotaExceeded", "message": "x" }] })));
        let words = "Operation results in exceeding quota limits of resource type AmlFilesystem.";
        assert!(quota(json!({ "code": "OperationNotAllowed", "message": words })));
        assert!(!quota(json!({ "code": "OperationNotAllowed", "message": "Another operation is in progress." })));
        assert!(!quota(json!({ "code": "Conflict", "message": words })));
        assert!(!quota(json!({ "code": "QuotaExceededSoon" })));
    }

    #[test]
    fn texts_beyond_the_limit_lose_their_middle() {
        let body =
            |length: usize| json!({ "error": { "code": "A", "message": format!("begin {} end", "ä".repeat(length)) } });
        assert!(!shown(&body(1990)).contains("[…]"));
        let long = shown(&body(100_000));
        assert!(long.starts_with("A: begin ä") && long.ends_with("ä end") && long.contains("[…]"), "{long}");
        assert!(long.chars().count() <= LONGEST, "{}", long.chars().count());
    }

    #[test]
    fn nesting_is_read_to_a_limited_depth() {
        let mut error = json!({ "code": "Leaf" });
        for _ in 0..100 {
            error = json!({ "code": "N", "innererror": error });
        }
        assert_eq!(shown(&json!({ "error": error })), "N");
    }
}
