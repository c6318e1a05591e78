//! Events on claims as the Kubernetes API takes them (`core/v1` Event, which `kubectl describe` shows).

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::api::NAME_MAX;
use crate::ports::orchestrator::{ClaimEvent, EventKind};

/// Length of a UID: a UUID with dashes.
const UID_LENGTH: usize = 36;

/// The wall clock.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// The component that writes events (`source`, `reportingComponent`, `reportingInstance`).
#[derive(Debug, Clone)]
pub struct Reporter {
    /// The driver's name; shown in the column "From" of `kubectl describe`.
    pub component: String,
    /// The pod's name, which distinguishes replicas.
    pub instance: String,
}

impl Reporter {
    /// A first event of its kind and reason, to be created under `name`.
    pub fn event(&self, event: &ClaimEvent, name: &str, now: Timestamp) -> Event {
        let happened = happened(event, now);
        Event {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(event.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: claim(event),
            type_: Some(kind(event.kind).to_owned()),
            reason: Some(event.reason.to_owned()),
            message: Some(event.note().into_owned()),
            count: Some(1),
            first_timestamp: Some(happened.clone()),
            last_timestamp: Some(happened),
            source: Some(EventSource { component: Some(self.component.clone()), host: None }),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

/// A merge patch (RFC 7386) of an event that happened again.
pub fn update(event: &ClaimEvent, count: i32, now: Timestamp) -> Value {
    json!({"count": count, "lastTimestamp": happened(event, now), "message": event.note()})
}

/// Name of a new event: the claim's, and a number that no other event has. As client-go makes it.
pub fn name(claim: &str, number: i128) -> String {
    let suffix = format!(".{number:x}");
    let claim = &claim[..claim.floor_char_boundary(NAME_MAX - suffix.len())];
    format!("{}{suffix}", claim.trim_end_matches(['.', '-']))
}

/// The claim's UID, which external-provisioner writes into the volume's name (`pvc-<uid>`; its flag
/// `--volume-name-prefix` changes the part before it). `None` where the name ends otherwise.
pub fn claim_uid(volume_name: &str) -> Option<&str> {
    let uid = volume_name.get(volume_name.len().checked_sub(UID_LENGTH)?..)?;
    let valid = uid.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    valid.then_some(uid)
}

fn claim(event: &ClaimEvent) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: Some(event.namespace.clone()),
        name: Some(event.claim.clone()),
        uid: claim_uid(&event.volume_name).map(str::to_owned),
        ..ObjectReference::default()
    }
}

fn happened(event: &ClaimEvent, now: Timestamp) -> Time {
    let age = SignedDuration::try_from(event.age).unwrap_or_default();
    Time(now.checked_sub(age).unwrap_or(now))
}

fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Normal => "Normal",
        EventKind::Warning => "Warning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uid_of_a_claim_is_at_the_end_of_the_volumes_name() {
        let uid = "0b5ad9ea-5f5d-4f0e-9f5e-0d1f7e3b6c21";
        assert_eq!(claim_uid(&format!("pvc-{uid}")), Some(uid));
        assert_eq!(claim_uid(&format!("lustre-prod-{uid}")), Some(uid));
        assert_eq!(claim_uid(uid), Some(uid));
        for other in ["", "pvc-1", "pvc-0b5ad9ea5f5d4f0e9f5e0d1f7e3b6c21", &format!("{uid}x"), &"字".repeat(20)] {
            assert_eq!(claim_uid(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_events_are_valid_and_short_enough() {
        assert_eq!(name("claim", 0xabc), "claim.abc");
        let long = name(&format!("{}.{}", "a".repeat(245), "b".repeat(7)), 0x00ab_cdef);
        assert_eq!(long, format!("{}.abcdef", "a".repeat(245)));
        assert!(name(&"a".repeat(253), i128::MAX).len() <= NAME_MAX);
    }
}
