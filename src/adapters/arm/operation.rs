//! [`ArmOperation`]: the operations of ARM's REST API that the driver calls, one constant each: the permission that each
//! needs, and the hint where a resource does not exist.
//!
//! The constants name the operation ids of azure-rest-api-specs (`storagecache` 2024-03-01, `network` 2024-03-01), which
//! <https://learn.microsoft.com/rest/api/storagecache> describes. Permissions are actions of the resource providers:
//! <https://learn.microsoft.com/azure/role-based-access-control/permissions/storage#microsoftstoragecache> and
//! <https://learn.microsoft.com/azure/role-based-access-control/permissions/networking#microsoftnetwork>.

/// Whether an operation reads, creates or deletes; hints depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Read,
    Create,
    Delete,
}

/// An operation, for messages and hints.
#[derive(Debug, Clone, Copy)]
pub(super) struct ArmOperation {
    /// As errors name it; the resource follows.
    pub(super) name: &'static str,
    pub(super) verb: Verb,
    /// Namespace of the resource provider.
    pub(super) provider: &'static str,
    /// The actions that a role must allow.
    pub(super) permission: &'static str,
    /// What to do if a resource that it refers to does not exist; may be empty.
    pub(super) not_found_hint: &'static str,
}

impl ArmOperation {
    const fn read(name: &'static str, permission: &'static str, not_found_hint: &'static str) -> Self {
        Self { name, verb: Verb::Read, provider: "Microsoft.StorageCache", permission, not_found_hint }
    }
}

const CHECK_SUBSCRIPTION: &str = "check subscriptionId in the cloud settings";

/// Not an operation of ARM: the discovery of an Azure Stack's endpoints.
pub(super) const CONNECT: ArmOperation =
    ArmOperation::read("connect to", "", "check resourceManagerEndpoint in the cloud settings");

/// Not an operation of ARM: the exchange of the credential for a token.
pub(super) const GET_TOKEN: ArmOperation = ArmOperation::read("get a token for", "", "");

/// `amlFilesystems_Get`.
pub(super) const GET_FILESYSTEM: ArmOperation = ArmOperation::read(
    "read file system",
    "Microsoft.StorageCache/amlFilesystems/read",
    "check subscriptionId and resourceManagerEndpoint in the cloud settings: ARM does not report that the file system is gone",
);

/// `amlFilesystems_ListByResourceGroup`.
pub(super) const LIST_FILESYSTEMS: ArmOperation =
    ArmOperation::read("list file systems of", "Microsoft.StorageCache/amlFilesystems/read", "");

/// `amlFilesystems_CreateOrUpdate`.
pub(super) const CREATE_FILESYSTEM: ArmOperation = ArmOperation {
    verb: Verb::Create,
    ..ArmOperation::read(
        "create file system",
        "Microsoft.StorageCache/amlFilesystems/write and Microsoft.Network/virtualNetworks/subnets/join/action",
        "check the names of resource group, network, subnet and identities in the StorageClass",
    )
};

/// `amlFilesystems_Delete`.
pub(super) const DELETE_FILESYSTEM: ArmOperation = ArmOperation {
    verb: Verb::Delete,
    ..ArmOperation::read("delete file system", "Microsoft.StorageCache/amlFilesystems/delete", "")
};

/// `Skus_List`.
pub(super) const LIST_SKUS: ArmOperation =
    ArmOperation::read("list SKUs of", "Microsoft.StorageCache/skus/read", CHECK_SUBSCRIPTION);

/// `getRequiredAmlFSSubnetsSize`.
pub(super) const GET_REQUIRED_SUBNET_SIZE: ArmOperation = ArmOperation::read(
    "ask for the required subnet size of",
    "Microsoft.StorageCache/getRequiredAmlFSSubnetsSize/action",
    CHECK_SUBSCRIPTION,
);

/// `VirtualNetworks_ListUsage`.
pub(super) const LIST_SUBNET_USAGE: ArmOperation = ArmOperation {
    provider: "Microsoft.Network",
    ..ArmOperation::read(
        "read the addresses in use of",
        "Microsoft.Network/virtualNetworks/usages/read and Microsoft.Network/virtualNetworks/subnets/read",
        "create the network, or name another one (vnet-name, vnet-resource-group)",
    )
};
