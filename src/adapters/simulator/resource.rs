//! One `amlFilesystems` resource of the simulated cloud and the asynchronous operation in progress on it.
//!
//! An operation completes when a request is handled after its time, not in a background task: what is seen follows from
//! what was requested and from the clock.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::validation::{CREATE, error};
use crate::domain::filesystem::{Filesystem, FilesystemSpec, ProvisioningState, ReportedMgsAddress};
use crate::domain::mount_source::FsName;
use crate::domain::names::FilesystemId;
use crate::ports::cloud::{CloudError, CloudErrorKind};

/// A long-running operation that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    /// A creation, and the error that it ends with if it fails.
    Create {
        failure: Option<String>,
    },
    Delete,
}

/// A file system that the simulated cloud holds.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) id: FilesystemId,
    /// As a GET shows it.
    pub(super) filesystem: Filesystem,
    /// The operation in progress and the time at which it completes.
    pub(super) pending: Option<(Operation, Duration)>,
    /// Addresses of the subnet that it holds until it is deleted.
    pub(super) addresses: u64,
    /// Its MGS once it was ready.
    pub(super) server: Option<Ipv4Addr>,
}

impl Resource {
    /// A resource in this state, with no operation in progress and no addresses.
    pub(super) fn new(id: FilesystemId, filesystem: Filesystem) -> Self {
        Self { id, filesystem, pending: None, addresses: 0, server: None }
    }

    /// The operation whose time has come.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Operation> {
        self.pending.take_if(|(_, until)| *until <= now).map(|(operation, _)| operation)
    }

    /// Completes a creation.
    pub(super) fn created(&mut self, server: Ipv4Addr) {
        self.filesystem.state = ProvisioningState::Succeeded;
        self.filesystem.mgs_address = ReportedMgsAddress::parse(&server.to_string());
        self.server = Some(server);
    }

    /// Begins a deletion; one that is in progress takes no longer.
    pub(super) fn delete(&mut self, until: Duration) {
        if self.filesystem.state != ProvisioningState::Deleting {
            self.filesystem.state = ProvisioningState::Deleting;
            self.pending = Some((Operation::Delete, until));
        }
    }

    /// A PUT for an existing resource: tags may differ, all else must be the same. One that is Deleting or Failed takes none.
    pub(super) fn update(&mut self, spec: &FilesystemSpec) -> Result<(), CloudError> {
        let busy = |message| Err(error(CloudErrorKind::Busy, CREATE, &spec.id, "Conflict", message));
        match self.filesystem.state {
            ProvisioningState::Deleting => return busy("another operation (delete) is in progress"),
            ProvisioningState::Failed => return busy("its creation failed; delete this amlfilesystem and try again"),
            _ => {}
        }
        let immutable =
            |shown: &Filesystem| (shown.sku_name.clone(), shown.zones.clone(), shown.capacity, shown.location.clone());
        let is_same_subnet = self.filesystem.subnet.as_ref().is_none_or(|subnet| subnet.is(&spec.subnet));
        if immutable(&creating(spec)) != immutable(&self.filesystem) || !is_same_subnet {
            let message = "properties that cannot change differ from the existing file system's";
            return Err(error(CloudErrorKind::Invalid, CREATE, &spec.id, "InvalidParameter", message));
        }
        self.filesystem.tags.clone_from(&spec.tags);
        Ok(())
    }
}

/// What a GET shows after a PUT was accepted.
pub(super) fn creating(spec: &FilesystemSpec) -> Filesystem {
    Filesystem { fs_name: Some(FsName::default()), ..Filesystem::of(spec, ProvisioningState::Creating) }
}
