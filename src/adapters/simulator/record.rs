//! One file system of the simulated cloud: what was asked for and where it is in its life.
//!
//! The state is a function of what happened and of the time; no task runs in the background, so a test that
//! turns the clock sees exactly what the cloud would show then.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::domain::filesystem::{Filesystem, FilesystemSpec, ProvisioningState, ReportedMgsAddress};
use crate::domain::mount_source::FsName;
use crate::domain::names::FilesystemId;

/// Where a file system is in its life. Times are when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lifecycle {
    Creating { until: Duration, failure: Option<String> },
    Succeeded,
    Failed { reason: String },
    Deleting { until: Duration },
}

/// A file system that the simulated cloud holds.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) id: FilesystemId,
    pub(super) view: Filesystem,
    pub(super) life: Lifecycle,
    /// Addresses of the subnet that it holds until it is gone.
    pub(super) addresses: u64,
    pub(super) server: Option<Ipv4Addr>,
}

impl Record {
    /// A file system that begins to be made.
    pub(super) fn new(spec: &FilesystemSpec, addresses: u64, life: Lifecycle) -> Self {
        let view = Filesystem {
            location: Some(spec.location.clone()),
            sku_name: Some(spec.sku_name.clone()),
            zones: spec.zone.iter().cloned().collect(),
            capacity: Some(spec.capacity.bytes()),
            subnet: Some(spec.subnet.clone()),
            state: ProvisioningState::Creating,
            mgs_address: ReportedMgsAddress::NeverReported,
            fs_name: Some(FsName::default()),
            tags: spec.tags.clone(),
            failure: None,
        };
        Self { id: spec.id.clone(), view, life, addresses, server: None }
    }

    /// A file system that was there before the driver, in the state that its view shows.
    pub(super) fn placed(id: FilesystemId, view: Filesystem) -> Self {
        let life = match view.state {
            ProvisioningState::Failed => Lifecycle::Failed { reason: view.failure.clone().unwrap_or_default() },
            ProvisioningState::Creating => Lifecycle::Creating { until: Duration::MAX, failure: None },
            ProvisioningState::Deleting => Lifecycle::Deleting { until: Duration::MAX },
            _ => Lifecycle::Succeeded,
        };
        Self { id, view, life, addresses: 0, server: None }
    }

    /// What the cloud shows now. A placed file system's own state stays where the life has no better word.
    pub(super) fn shown(&self) -> Filesystem {
        let mut view = self.view.clone();
        match &self.life {
            Lifecycle::Creating { .. } => view.state = ProvisioningState::Creating,
            Lifecycle::Deleting { .. } => view.state = ProvisioningState::Deleting,
            Lifecycle::Succeeded => {}
            Lifecycle::Failed { reason } => {
                view.state = ProvisioningState::Failed;
                view.failure = Some(reason.clone());
            }
        }
        view
    }

    /// The creation is over.
    pub(super) fn finish(&mut self, server: Ipv4Addr) {
        self.life = Lifecycle::Succeeded;
        self.view.state = ProvisioningState::Succeeded;
        self.view.mgs_address = ReportedMgsAddress::parse(&server.to_string());
        self.server = Some(server);
    }
}
