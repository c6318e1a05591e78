//! The cloud of a process without complete cloud settings: every call fails and says what is missing.

use async_trait::async_trait;

use crate::domain::filesystem::{FilesystemSpec, Observed};
use crate::domain::names::{FilesystemId, Location};
use crate::domain::sku::SkuCatalog;
use crate::ports::cloud::{Cloud, CloudError, CloudErrorKind, SubnetCapacity, SubnetCapacityRequest};

/// What an operator can do about it.
const HINT: &str = "mount the cluster's azure.json into the controller's container (or name it by AZURE_CONFIG_FILE), or \
    set AZURE_SUBSCRIPTION_ID and credentials, and restart it; until then only classes with mgs-ip-address work";

/// A cloud that cannot be asked. No call has an effect, and none says that anything is absent.
#[derive(Debug)]
pub struct NoCloud {
    reason: String,
}

impl NoCloud {
    /// A cloud that cannot be asked for `reason`, which names the settings file and what is missing in it.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    fn error(&self, operation: &'static str, resource: impl std::fmt::Display) -> CloudError {
        let error = CloudError::new(CloudErrorKind::Unavailable, operation, resource.to_string(), self.reason.clone());
        CloudError { hint: Some(HINT.to_owned()), ..error }
    }
}

#[async_trait]
impl Cloud for NoCloud {
    fn configured(&self) -> Result<(), CloudError> {
        Err(self.error("reach", "Azure"))
    }

    async fn observe(&self, id: &FilesystemId) -> Result<Observed, CloudError> {
        Err(self.error("observe file system", id))
    }

    async fn begin_create(&self, spec: &FilesystemSpec) -> Result<(), CloudError> {
        Err(self.error("create file system", &spec.id))
    }

    async fn begin_delete(&self, id: &FilesystemId) -> Result<(), CloudError> {
        Err(self.error("delete file system", id))
    }

    async fn skus(&self, location: &Location) -> Result<SkuCatalog, CloudError> {
        Err(self.error("list SKUs of", location))
    }

    async fn subnet_capacity(&self, request: &SubnetCapacityRequest) -> Result<SubnetCapacity, CloudError> {
        Err(self.error("observe subnet", &request.subnet))
    }
}
