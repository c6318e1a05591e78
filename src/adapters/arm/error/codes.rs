//! ARM's error codes: one table with a hint for each, and whether repeating the request can help.
//!
//! Whether a response is a refusal is decided by its status, not here. Codes and texts:
//! <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors>.

use crate::adapters::arm::operation::{ArmOperation, Verb};
use crate::ports::cloud::CloudErrorKind;

/// Codes with one cause, whether repeating the same request cannot help until that is fixed, and what to do about it.
type Row = (&'static [&'static str], bool, Hint);

const LASTING: bool = true;
const TRANSIENT: bool = false;

/// What to do. In its text `{namespace}` is the resource provider that the message names.
enum Hint {
    /// Whatever the operation.
    Any(&'static str),
    /// For a creation, a deletion, a read.
    By([&'static str; 3]),
    /// Grant the permission of the operation.
    Grant,
    /// The operation's own hint for a resource that does not exist.
    NotFound,
}

use Hint::{Any, By, Grant, NotFound};

// One row for each cause; rustfmt would spread it over twice the lines.
#[rustfmt::skip]
const CODES: [Row; 18] = [
    (&["ScopeLocked", "ResourceLocked"], LASTING, By([
        "remove the read-only lock that the message names (`az lock list`), or name a resource group without one \
         (resource-group-name)",
        "remove the lock that the message names (`az lock list`), or keep the file system: set the reclaim policy of the \
         PersistentVolume to Retain",
        "remove the read-only lock that the message names (`az lock list`)",
    ])),
    (&["ReadOnlyDisabledSubscription", "SubscriptionDisabled", "DisabledSubscription", "SubscriptionNotActive"],
     LASTING, Any(
        "the subscription is disabled, which no role changes: enable it again (spending limit, billing) in the Azure portal, \
         or name another one (subscriptionId in the cloud settings)",
    )),
    (&["MissingSubscriptionRegistration", "SubscriptionNotRegistered"], LASTING, Any(
        "register the resource provider: `az provider register --namespace {namespace}`",
    )),
    (&["SubscriptionNotRegisteredForFeature", "FeatureNotRegistered", "UnregisteredFeature"], LASTING, Any(
        "register the feature that the message names (`az feature register`)",
    )),
    (&["ResourceGroupBeingDeleted"], LASTING, By([
        "the resource group is being deleted: wait for its end and create it again, or name another one \
         (resource-group-name)",
        "the resource group is being deleted, and its file systems with it: wait for its end",
        "the resource group is being deleted",
    ])),
    (&["SkuNotAvailable", "SKUNotAvailable", "InvalidSku", "SkuNotSupported", "SkuNotAvailableInZone"], LASTING, Any(
        "choose a SKU, zone or location that is offered to this subscription (`azurelustre-csi skus`), or ask Azure support \
         for it",
    )),
    (&["InvalidResourceLocation"], LASTING, Any(
        "a resource of this name exists in another location of the resource group: delete it, or correct `location` or \
         resource-group-name",
    )),
    (&["LocationNotAvailableForResourceType", "NoRegisteredProviderFound", "InvalidLocation", "LocationNotSupported"],
     LASTING, Any(
        "choose a location that has Azure Managed Lustre (`location` in the StorageClass or cloud settings)",
    )),
    (&["RequestDisallowedByPolicy", "RequestDisallowedByAzure", "DisallowedByPolicy", "PolicyProblem"], LASTING, By([
        "an Azure Policy forbids it, not a missing permission: choose what the policy allows (location, tags, SKU), or exempt \
         the resource group from the policy",
        "an Azure Policy forbids the deletion, not a missing permission: exempt the file system from the policy, or keep it: \
         set the reclaim policy of the PersistentVolume to Retain",
        "an Azure Policy forbids it, not a missing permission: exempt the resource group from the policy",
    ])),
    (&["DenyAssignmentAuthorizationFailed"], LASTING, By([
        "a deny assignment (deployment stack, managed application) forbids it, which no role changes: exclude the driver's \
         identity from it, or name another resource group (resource-group-name)",
        "a deny assignment (deployment stack, managed application) forbids it, which no role changes: exclude the driver's \
         identity from it, or keep the file system: set the reclaim policy of the PersistentVolume to Retain",
        "a deny assignment forbids it, which no role changes: exclude the driver's identity from it",
    ])),
    (&["AuthorizationFailed", "LinkedAuthorizationFailed"], TRANSIENT, Grant),
    (&["SubscriptionNotFound", "InvalidSubscriptionId", "LinkedSubscriptionNotFound"], LASTING, Any(
        "check subscriptionId in the cloud settings, and that the driver's identity may see it",
    )),
    (&["InvalidAuthenticationTokenTenant"], LASTING, Any(
        "the subscription belongs to another tenant: correct tenantId or subscriptionId in the cloud settings",
    )),
    (&["InvalidAuthenticationTokenAudience"], LASTING, Any(
        "the token is for another cloud: correct `cloud` in the cloud settings",
    )),
    (&["ExpiredAuthenticationToken"], TRANSIENT, Any(
        "check the clock of the node: ARM takes the token for an expired one",
    )),
    (&["ResourceGroupNotFound"], TRANSIENT, By([
        "create the resource group, or name another one (resource-group-name)",
        "",
        "create the resource group, or name another one (resource-group-name, vnet-resource-group)",
    ])),
    (&["ResourceNotFound", "NotFound", "ParentResourceNotFound", "LinkedResourceNotFound", "InvalidResourceReference"],
     TRANSIENT, NotFound),
    (&["AllocationFailed", "ZonalAllocationFailed", "OverconstrainedAllocationRequest", "InsufficientCapacity"],
     TRANSIENT, Any(
        "Azure has no capacity for it now: wait, or choose another zone, location or SKU",
    )),
];

/// Whether a code names a cause that repeating the request does not fix. Codes compare without case.
pub(super) fn is_lasting(code: &str) -> bool {
    row(code).is_some_and(|(_, lasting, _)| *lasting)
}

fn row(code: &str) -> Option<&'static Row> {
    CODES.iter().find(|(codes, ..)| codes.iter().any(|known| known.eq_ignore_ascii_case(code)))
}

/// What to do about an error of ARM itself: by its codes, innermost first, else by its kind.
pub(super) fn hint(kind: CloudErrorKind, codes: &[String], message: &str, operation: &ArmOperation) -> Option<String> {
    let named = codes.iter().rev().find_map(|code| row(code)).map(|(.., hint)| match (hint, operation.verb) {
        (Any(text), _)
        | (By([text, _, _]), Verb::Create)
        | (By([_, text, _]), Verb::Delete)
        | (By([.., text]), Verb::Read) => text.replace("{namespace}", namespace(message).unwrap_or(operation.provider)),
        (Grant, _) => grant(codes, operation),
        (NotFound, _) => operation.not_found_hint.to_owned(),
    });
    named.or_else(|| by_kind(kind, codes, operation)).filter(|hint| !hint.is_empty())
}

/// The provider that a message such as "… is not registered to use namespace 'Microsoft.X'" names.
fn namespace(message: &str) -> Option<&str> {
    let name = message.get(message.find("Microsoft.")?..)?;
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(name.len());
    name.get(..end).map(|name| name.trim_end_matches('.'))
}

fn grant(codes: &[String], operation: &ArmOperation) -> String {
    let linked = codes.iter().any(|code| code.eq_ignore_ascii_case("LinkedAuthorizationFailed"));
    let permission = if linked && operation.verb != Verb::Delete {
        "Microsoft.Network/virtualNetworks/subnets/join/action and, with identities, \
         Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
    } else {
        operation.permission
    };
    format!("grant the driver's identity {permission}; a new role assignment takes some minutes")
}

fn by_kind(kind: CloudErrorKind, codes: &[String], operation: &ArmOperation) -> Option<String> {
    let hint = match (kind, operation.verb) {
        (CloudErrorKind::Denied, Verb::Delete) => {
            let retain = "or keep the file system: set the reclaim policy of the PersistentVolume to Retain";
            return Some(format!("{}; {retain}", grant(codes, operation)));
        }
        (CloudErrorKind::Denied, _) => return Some(grant(codes, operation)),
        (CloudErrorKind::Unauthenticated, _) => {
            "check tenant, cloud and clock: ARM does not accept the token of the driver's credentials (tenantId, cloud in the \
             cloud settings)"
        }
        (CloudErrorKind::NotFound, _) => operation.not_found_hint,
        (CloudErrorKind::QuotaExceeded, Verb::Create | Verb::Read) => {
            "ask for more quota of Azure Managed Lustre in this region (`az quota`, or a support request), or delete file \
             systems that are not needed"
        }
        (CloudErrorKind::Invalid, Verb::Create) => {
            "correct what the message names in the StorageClass; a claim gets a new one under a new name"
        }
        (CloudErrorKind::Unreadable, _) => {
            "this driver does not understand this answer of ARM: report it with its request id"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hinted(verb: Verb, kind: CloudErrorKind, code: &str, message: &str) -> String {
        let operation = ArmOperation {
            name: "x",
            verb,
            provider: "Microsoft.StorageCache",
            permission: "the-permission",
            not_found_hint: "the-not-found-hint",
        };
        hint(kind, &[code.to_owned()], message, &operation).unwrap_or_default()
    }

    /// The hint of a creation is about creations, that of a deletion about deletions.
    #[test]
    fn a_hint_fits_code_and_operation() {
        use CloudErrorKind::{Busy, Denied, NotFound, QuotaExceeded};
        use Verb::{Create, Delete, Read};
        for (verb, kind, code, has, lacks) in [
            (Create, Busy, "ReadOnlyDisabledSubscription", "subscription is disabled", "grant"),
            (Delete, Denied, "ReadOnlyDisabledSubscription", "subscription is disabled", "grant"),
            (Create, Denied, "RequestDisallowedByPolicy", "location, tags, SKU", "Retain"),
            (Delete, Denied, "RequestDisallowedByPolicy", "exempt the file system", "SKU"),
            (Delete, Denied, "requestdisallowedbypolicy", "Retain", "SKU"),
            (Create, Busy, "ScopeLocked", "resource-group-name", "Retain"),
            (Delete, Busy, "ScopeLocked", "Retain", "resource-group-name"),
            (Delete, Denied, "AuthorizationFailed", "the-permission", "subnets/join"),
            (Delete, Denied, "LinkedAuthorizationFailed", "the-permission", "subnets/join"),
            (Create, Denied, "LinkedAuthorizationFailed", "subnets/join", "the-permission"),
            (Create, NotFound, "SomethingNotFound", "the-not-found-hint", "grant"),
            (Create, Busy, "ResourceGroupBeingDeleted", "name another one", "Retain"),
            (Delete, Busy, "ResourceGroupBeingDeleted", "with it", "name another"),
            (Create, Busy, "SkuNotAvailable", "azurelustre-csi skus", "grant"),
            (Create, Busy, "InvalidResourceLocation", "another location", "grant"),
            (Create, QuotaExceeded, "QuotaExceeded", "more quota", "grant"),
        ] {
            let hint = hinted(verb, kind, code, "no");
            assert!(hint.contains(has) && !hint.contains(lacks), "{has} / {lacks}: {hint}");
        }
        for (verb, message, namespace) in [
            (
                Read,
                "The subscription is not registered to use namespace 'Microsoft.Network'. See x.",
                "Microsoft.Network`",
            ),
            (Create, "not registered", "Microsoft.StorageCache`"),
        ] {
            let hint = hinted(verb, Busy, "MissingSubscriptionRegistration", message);
            assert!(hint.contains(&format!("--namespace {namespace}")), "{hint}");
        }
    }

    #[test]
    fn lasting_codes_are_known_without_case() {
        for code in
            ["ScopeLocked", "ReadOnlyDisabledSubscription", "MissingSubscriptionRegistration", "skunotavailable"]
        {
            assert!(is_lasting(code), "{code}");
        }
        for code in ["AnotherOperationInProgress", "Conflict", "OperationNotAllowed", "AuthorizationFailed", ""] {
            assert!(!is_lasting(code), "{code}");
        }
    }
}
