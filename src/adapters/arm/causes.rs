//! ARM's error codes with a hint, and whether their cause lasts: one table.
//!
//! Only what a response means for the user is here; whether it is a refusal is decided by its status. Codes and texts:
//! <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors>.

use super::answer::ArmAnswer;
use super::failure::{Call, Intent};
use crate::ports::cloud::CloudErrorKind;

/// Codes with one cause.
struct Cause {
    codes: &'static [&'static str],
    /// Whether repeating the same request cannot help before somebody acts.
    lasting: bool,
    hint: Hint,
}

/// What to do, by what was asked for.
enum Hint {
    /// The same whatever was asked for.
    Any(&'static str),
    /// For a creation, for a deletion, for everything else.
    By { create: &'static str, delete: &'static str, read: &'static str },
    /// The namespace of the resource provider that the message names is to be registered.
    Register,
    /// A role with the call's own permissions is to be granted.
    Grant,
    /// What the call says about a missing resource.
    Missing,
}

const RETAIN: &str = "or keep the file system: set the reclaim policy of the PersistentVolume to Retain";

const CAUSES: [Cause; 18] = [
    Cause {
        codes: &["ScopeLocked", "ResourceLocked"],
        lasting: true,
        hint: Hint::By {
            create: "remove the read-only lock that the message names (`az lock list`), or name a resource group without one \
                     (resource-group-name)",
            delete: "remove the lock that the message names (`az lock list`), or keep the file system: set the reclaim policy \
                     of the PersistentVolume to Retain",
            read: "remove the read-only lock that the message names (`az lock list`)",
        },
    },
    Cause {
        codes: &[
            "ReadOnlyDisabledSubscription",
            "SubscriptionDisabled",
            "DisabledSubscription",
            "SubscriptionNotActive",
        ],
        lasting: true,
        hint: Hint::Any(
            "the subscription is disabled, which no role changes: enable it again (spending limit, billing) in the Azure \
             portal, or name another one (subscriptionId in the cloud settings)",
        ),
    },
    Cause {
        codes: &["MissingSubscriptionRegistration", "SubscriptionNotRegistered"],
        lasting: true,
        hint: Hint::Register,
    },
    Cause {
        codes: &["SubscriptionNotRegisteredForFeature", "FeatureNotRegistered", "UnregisteredFeature"],
        lasting: true,
        hint: Hint::Any("register the feature that the message names (`az feature register`)"),
    },
    Cause {
        codes: &["ResourceGroupBeingDeleted"],
        lasting: true,
        hint: Hint::By {
            create: "the resource group is being deleted: wait for its end and create it again, or name another one \
                     (resource-group-name)",
            delete: "the resource group is being deleted, and its file systems with it: wait for its end",
            read: "the resource group is being deleted",
        },
    },
    Cause {
        codes: &["SkuNotAvailable", "SKUNotAvailable", "InvalidSku", "SkuNotSupported", "SkuNotAvailableInZone"],
        lasting: true,
        hint: Hint::Any(
            "choose a SKU, zone or location that is offered to this subscription (`azurelustre-csi skus`), or ask Azure \
             support for it",
        ),
    },
    Cause {
        codes: &["InvalidResourceLocation"],
        lasting: true,
        hint: Hint::Any(
            "a resource of this name exists in another location of the resource group: delete it, or correct `location` or \
             resource-group-name",
        ),
    },
    Cause {
        codes: &[
            "LocationNotAvailableForResourceType",
            "NoRegisteredProviderFound",
            "InvalidLocation",
            "LocationNotSupported",
        ],
        lasting: true,
        hint: Hint::Any(
            "choose a location that has Azure Managed Lustre (`location` in the StorageClass or cloud settings)",
        ),
    },
    Cause {
        codes: &["RequestDisallowedByPolicy", "RequestDisallowedByAzure", "DisallowedByPolicy", "PolicyViolation"],
        lasting: true,
        hint: Hint::By {
            create: "an Azure Policy forbids it, not a missing permission: choose what the policy allows (location, tags, SKU), \
                     or exempt the resource group from the policy",
            delete: "an Azure Policy forbids the deletion, not a missing permission: exempt the file system from the policy, or \
                     keep it: set the reclaim policy of the PersistentVolume to Retain",
            read: "an Azure Policy forbids it, not a missing permission: exempt the resource group from the policy",
        },
    },
    Cause {
        codes: &["DenyAssignmentAuthorizationFailed"],
        lasting: true,
        hint: Hint::By {
            create: "a deny assignment (deployment stack, managed application) forbids it, which no role changes: exclude the \
                     driver's identity from it, or name another resource group (resource-group-name)",
            delete: "a deny assignment (deployment stack, managed application) forbids it, which no role changes: exclude the \
                     driver's identity from it, or keep the file system: set the reclaim policy of the PersistentVolume to \
                     Retain",
            read: "a deny assignment forbids it, which no role changes: exclude the driver's identity from it",
        },
    },
    Cause { codes: &["AuthorizationFailed", "LinkedAuthorizationFailed"], lasting: false, hint: Hint::Grant },
    Cause {
        codes: &["SubscriptionNotFound", "InvalidSubscriptionId", "LinkedSubscriptionNotFound"],
        lasting: true,
        hint: Hint::Any("check subscriptionId in the cloud settings, and that the driver's identity may see it"),
    },
    Cause {
        codes: &["InvalidAuthenticationTokenTenant"],
        lasting: true,
        hint: Hint::Any(
            "the subscription belongs to another tenant: correct tenantId or subscriptionId in the cloud settings",
        ),
    },
    Cause {
        codes: &["InvalidAuthenticationTokenAudience"],
        lasting: true,
        hint: Hint::Any("the token is for another cloud: correct `cloud` in the cloud settings"),
    },
    Cause {
        codes: &["ExpiredAuthenticationToken"],
        lasting: false,
        hint: Hint::Any("check the clock of the node: ARM takes the token for an expired one"),
    },
    Cause {
        codes: &["ResourceGroupNotFound"],
        lasting: false,
        hint: Hint::By {
            create: "create the resource group, or name another one (resource-group-name)",
            delete: "",
            read: "create the resource group, or name another one (resource-group-name, vnet-resource-group)",
        },
    },
    Cause {
        codes: &[
            "ResourceNotFound",
            "NotFound",
            "ParentResourceNotFound",
            "LinkedResourceNotFound",
            "InvalidResourceReference",
        ],
        lasting: false,
        hint: Hint::Missing,
    },
    Cause {
        codes: &[
            "AllocationFailed",
            "ZonalAllocationFailed",
            "OverconstrainedAllocationRequest",
            "InsufficientCapacity",
        ],
        lasting: false,
        hint: Hint::Any("Azure has no capacity for it now: wait, or choose another zone, location or SKU"),
    },
];

/// Whether a code names a cause that repeating the request does not hint. Codes compare without regard to case.
pub(super) fn is_lasting(code: &str) -> bool {
    cause(code).is_some_and(|cause| cause.lasting)
}

fn cause(code: &str) -> Option<&'static Cause> {
    CAUSES.iter().find(|cause| cause.codes.iter().any(|known| known.eq_ignore_ascii_case(code)))
}

/// What to do about an answer of ARM itself: by its codes, innermost cause first, else by its kind.
pub(super) fn hint(answer: &ArmAnswer, call: &Call) -> Option<String> {
    let named = answer.codes.iter().rev().find_map(|code| cause(code));
    let hint = named.map(|cause| text(&cause.hint, answer, call));
    hint.or_else(|| by_kind(answer, call)).filter(|hint| !hint.is_empty())
}

fn text(hint: &Hint, answer: &ArmAnswer, call: &Call) -> String {
    match hint {
        Hint::Any(hint) => (*hint).to_owned(),
        Hint::By { create, delete, read } => {
            let hint = match call.intent {
                Intent::Create => create,
                Intent::Delete => delete,
                Intent::Read => read,
            };
            (*hint).to_owned()
        }
        Hint::Register => {
            let namespace = namespace(&answer.message).unwrap_or(call.provider);
            format!("register the resource provider: `az provider register --namespace {namespace}`")
        }
        Hint::Grant => grant(answer, call),
        Hint::Missing => call.missing.to_owned(),
    }
}

/// The provider that a message such as "… is not registered to use namespace 'Microsoft.X'" names.
fn namespace(message: &str) -> Option<&str> {
    let at = message.find("Microsoft.")?;
    let name = message.get(at..)?;
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(name.len());
    name.get(..end).map(|name| name.trim_end_matches('.'))
}

fn grant(answer: &ArmAnswer, call: &Call) -> String {
    let linked = answer.codes.iter().any(|code| code.eq_ignore_ascii_case("LinkedAuthorizationFailed"));
    let action = match call.intent {
        Intent::Create | Intent::Read if linked => {
            "Microsoft.Network/virtualNetworks/subnets/join/action and, with identities, \
             Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
        }
        _ => call.action,
    };
    format!("grant the driver's identity {action}; a new role assignment takes some minutes")
}

fn by_kind(answer: &ArmAnswer, call: &Call) -> Option<String> {
    let quota = "ask for more quota of Azure Managed Lustre in this region (`az quota`, or a support request), or delete file \
                 systems that nobody needs";
    match (answer.kind(), call.intent) {
        (CloudErrorKind::Denied, Intent::Delete) => Some(format!("{}; {RETAIN}", grant(answer, call))),
        (CloudErrorKind::Denied, _) => Some(grant(answer, call)),
        (CloudErrorKind::Unauthenticated, _) => Some(
            "check tenant, cloud and clock: ARM does not accept the token of the driver's credentials (tenantId, cloud in the \
             cloud settings)"
                .to_owned(),
        ),
        (CloudErrorKind::NotFound, _) => Some(call.missing.to_owned()),
        (CloudErrorKind::QuotaExceeded, Intent::Create | Intent::Read) => Some(quota.to_owned()),
        (CloudErrorKind::Invalid, Intent::Create) => {
            Some("correct what the message names in the StorageClass; a claim gets a new one under a new name".to_owned())
        }
        (CloudErrorKind::Unreadable, _) => {
            Some("this is an answer of ARM that this driver does not understand: report it with its request id".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::arm::wire::{Response, StatusCode};

    fn hinted(intent: Intent, status: u16, code: &str, message: &str) -> String {
        let body = serde_json::json!({ "error": { "code": code, "message": message } }).to_string();
        let headers = [(http::HeaderName::from_static("x-ms-request-id"), http::HeaderValue::from_static("1"))];
        let answer = ArmAnswer::read(&Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.into_iter().collect(),
            body: body.into(),
        });
        let call = Call {
            operation: "x",
            resource: String::new(),
            intent,
            provider: "Microsoft.StorageCache",
            action: "the-action",
            missing: "the-missing",
        };
        hint(&answer, &call).unwrap_or_default()
    }

    /// The hint of a creation is about creations, that of a deletion about deletions.
    #[test]
    fn a_hint_fits_code_and_operation() {
        let creation = |status, code| hinted(Intent::Create, status, code, "no");
        let deletion = |status, code| hinted(Intent::Delete, status, code, "no");
        for (hint, has, lacks) in [
            (creation(409, "ReadOnlyDisabledSubscription"), "subscription is disabled", "grant"),
            (deletion(403, "ReadOnlyDisabledSubscription"), "subscription is disabled", "grant"),
            (creation(403, "RequestDisallowedByPolicy"), "location, tags, SKU", "Retain"),
            (deletion(403, "RequestDisallowedByPolicy"), "exempt the file system", "SKU"),
            (deletion(403, "requestdisallowedbypolicy"), "Retain", "SKU"),
            (creation(409, "ScopeLocked"), "resource-group-name", "Retain"),
            (deletion(409, "ScopeLocked"), "Retain", "resource-group-name"),
            (deletion(403, "AuthorizationFailed"), "the-action", "subnets/join"),
            (deletion(403, "LinkedAuthorizationFailed"), "the-action", "subnets/join"),
            (creation(403, "LinkedAuthorizationFailed"), "subnets/join", "the-action"),
            (creation(404, "SomethingNotFound"), "the-missing", "grant"),
            (creation(409, "ResourceGroupBeingDeleted"), "name another one", "Retain"),
            (deletion(409, "ResourceGroupBeingDeleted"), "with it", "name another"),
            (creation(409, "SkuNotAvailable"), "azurelustre-csi skus", "grant"),
            (creation(409, "InvalidResourceLocation"), "another location", "grant"),
            (creation(409, "QuotaExceeded"), "more quota", "grant"),
        ] {
            assert!(hint.contains(has) && !hint.contains(lacks), "{has} / {lacks}: {hint}");
        }
        let registration =
            "The subscription is not registered to use namespace 'Microsoft.Network'. See https://aka.ms/x.";
        let hint = hinted(Intent::Read, 409, "MissingSubscriptionRegistration", registration);
        assert!(hint.contains("--namespace Microsoft.Network`"), "{hint}");
        let hint = hinted(Intent::Create, 409, "MissingSubscriptionRegistration", "not registered");
        assert!(hint.contains("--namespace Microsoft.StorageCache`"), "{hint}");
    }

    #[test]
    fn codes_that_last_are_known() {
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
