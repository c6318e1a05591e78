//! The simulated Azure Resource Manager: `amlFilesystems` that are created, fail and are deleted, in the cloud's time.
//!
//! A file system is Creating without an address, a Failed one stays and holds quota and addresses, a Deleting one is still
//! listed. The state is synchronous, under one lock; the async port only delegates.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::resource::{Operation, Resource, creating};
use super::servers::Servers;
use super::validation::{error, required_addresses};
use super::world::{SkuEntry, World};
use crate::domain::filesystem::{Filesystem, FilesystemSpec, Observed, ProvisioningState};
use crate::domain::mount_source::FsName;
use crate::domain::names::{FilesystemId, Location, SubnetId};
use crate::domain::sku::SkuCatalog;
use crate::ports::clock::Clock;
use crate::ports::cloud::{Cloud, CloudError, CloudErrorKind, SubnetCapacity, SubnetCapacityRequest};

/// The cloud port in memory.
#[derive(Debug)]
pub struct SimulatedCloud {
    clock: Arc<dyn Clock>,
    servers: Arc<Servers>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    world: World,
    /// By resource group and name in lower case, since ARM compares both without case.
    resources: BTreeMap<(String, String), Resource>,
    accepted_creations: BTreeMap<String, u64>,
    requests: Requests,
    next_server: u32,
}

/// Requests that the cloud has answered, refused ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// GETs of a file system.
    pub observe: u64,
    /// PUTs.
    pub create: u64,
    /// DELETEs.
    pub delete: u64,
    /// Pages of the SKU list.
    pub sku_pages: u64,
    /// Questions about a subnet; two requests each in the real cloud.
    pub subnet_capacity: u64,
}

/// A page of the SKU list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkuPage {
    /// Its entries, other products and all regions included.
    pub entries: Vec<SkuEntry>,
    /// Number of the next page, if there is one.
    pub next: Option<usize>,
}

impl SimulatedCloud {
    /// A cloud that begins now and starts and stops these servers.
    pub fn new(world: World, clock: Arc<dyn Clock>, servers: Arc<Servers>) -> Self {
        let state = State {
            world,
            resources: BTreeMap::new(),
            accepted_creations: BTreeMap::new(),
            requests: Requests::default(),
            next_server: u32::from(Ipv4Addr::new(10, 225, 0, 4)),
        };
        Self { clock, servers, state: Mutex::new(state) }
    }

    /// Reads the world.
    pub fn world<T>(&self, read: impl FnOnce(&World) -> T) -> T {
        read(&self.state().world)
    }

    /// Changes the world; file systems that exist stay as they are.
    pub fn edit_world(&self, edit: impl FnOnce(&mut World)) {
        edit(&mut self.state().world);
    }

    /// Adds a file system that the driver did not create and that stays in its state. It holds no addresses.
    pub fn add_existing(&self, id: FilesystemId, filesystem: Filesystem) {
        self.state().resources.insert(key(&id), Resource::new(id, filesystem));
    }

    /// All file systems that the cloud holds now, Failed and Deleting ones included.
    pub fn filesystems(&self) -> Vec<(FilesystemId, Filesystem)> {
        self.state().resources.values().map(|resource| (resource.id.clone(), resource.filesystem.clone())).collect()
    }

    /// How many PUTs created a file system, by name. A repeated PUT for one that exists creates none.
    pub fn accepted_creations(&self) -> BTreeMap<String, u64> {
        self.state().accepted_creations.clone()
    }

    /// Requests so far.
    pub fn requests(&self) -> Requests {
        self.state().requests
    }

    /// One page of the SKU list, as ARM would send it. Pages count from 0; one past the end is empty.
    pub fn sku_page(&self, page: usize) -> SkuPage {
        let mut state = self.state();
        state.requests.sku_pages += 1;
        let (skus, size) = (&state.world.skus, state.world.sku_page_size.max(1));
        let entries = skus.iter().skip(page.saturating_mul(size)).take(size).cloned().collect();
        let more = page.saturating_add(1).saturating_mul(size) < skus.len();
        SkuPage { entries, next: more.then(|| page + 1) }
    }

    /// The state now: operations whose time has come are complete.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.complete_operations(self.clock.now(), &self.servers);
        state
    }
}

fn key(id: &FilesystemId) -> (String, String) {
    (id.resource_group.as_str().to_lowercase(), id.name.as_str().to_ascii_lowercase())
}

impl State {
    fn complete_operations(&mut self, now: Duration, servers: &Servers) {
        let next_server = &mut self.next_server;
        self.resources.retain(|_, resource| match resource.take_due(now) {
            None => true,
            Some(Operation::Create { failure: None }) => {
                let server = Ipv4Addr::from(*next_server);
                *next_server += 1;
                resource.created(server);
                if let Some(capacity) = resource.filesystem.capacity {
                    servers.start(server, &FsName::default(), capacity);
                }
                true
            }
            Some(Operation::Create { failure }) => {
                resource.filesystem.state = ProvisioningState::Failed;
                resource.filesystem.failure = failure;
                true
            }
            Some(Operation::Delete) => {
                if let Some(Err(error)) = resource.server.map(|server| servers.stop(server)) {
                    tracing::warn!(%error, filesystem = %resource.id, "files of a deleted simulated file system are left");
                }
                false
            }
        });
    }

    fn create(&mut self, spec: &FilesystemSpec, now: Duration) -> Result<(), CloudError> {
        self.requests.create += 1;
        if let Some(resource) = self.resources.get_mut(&key(&spec.id)) {
            return resource.update(spec);
        }
        let in_region = |resource: &&Resource| resource.filesystem.location.as_ref() == Some(&spec.location);
        let (capacity, addresses) = self.world.validate(spec, self.resources.values().filter(in_region).count())?;
        let failure = self.planned_failure().or_else(|| self.address_failure(&spec.subnet, addresses));
        let (seconds, failure) = failure.unzip();
        let until = now.saturating_add(Duration::from_secs(seconds.unwrap_or(self.world.create_seconds)));
        let filesystem = creating(&FilesystemSpec { capacity, ..spec.clone() });
        let pending = Some((Operation::Create { failure }, until));
        let resource = Resource { pending, addresses, ..Resource::new(spec.id.clone(), filesystem) };
        self.resources.insert(key(&spec.id), resource);
        *self.accepted_creations.entry(spec.id.name.to_string()).or_default() += 1;
        Ok(())
    }

    /// Uses up a failure that the world has planned: seconds and error.
    fn planned_failure(&mut self) -> Option<(u64, String)> {
        let planned = self.world.failing_creations.iter_mut().find(|planned| planned.times > 0)?;
        planned.times -= 1;
        Some((planned.after_seconds, format!("{}: {}", planned.code, planned.message)))
    }

    /// A creation that needs more addresses than the subnet has fails at once, and its resource stays, since checkAmlFSSubnets
    /// reserves nothing.
    fn address_failure(&self, subnet: &SubnetId, required: u64) -> Option<(u64, String)> {
        let available = self.available_addresses(subnet)?;
        (available < required).then(|| (0, format!("DeploymentFailed: subnet {subnet} has not enough addresses")))
    }

    /// Addresses of a subnet that no file system holds; `None` if it does not exist.
    fn available_addresses(&self, subnet: &SubnetId) -> Option<u64> {
        let here = |resource: &&Resource| resource.filesystem.subnet.as_ref().is_some_and(|own| own.is(subnet));
        let held: u64 = self.resources.values().filter(here).map(|resource| resource.addresses).sum();
        self.world.free_addresses(subnet).map(|free| free.saturating_sub(held))
    }

    fn subnet_capacity(&mut self, request: &SubnetCapacityRequest) -> Result<SubnetCapacity, CloudError> {
        self.requests.subnet_capacity += 1;
        let refused = |kind, code, message| error(kind, "read subnet", &request.subnet, code, message);
        let available = self
            .available_addresses(&request.subnet)
            .ok_or_else(|| refused(CloudErrorKind::NotFound, "NotFound", "the subnet or its network was not found"))?;
        let entry = self.world.skus.iter().find(|entry| entry.name.eq_ignore_ascii_case(&request.sku_name));
        let sku = entry
            .and_then(|entry| entry.to_domain(Vec::new()).ok())
            .ok_or_else(|| refused(CloudErrorKind::Invalid, "InvalidParameter", "unknown SKU"))?;
        Ok(SubnetCapacity { required: required_addresses(&sku, request.capacity), available })
    }
}

#[async_trait]
impl Cloud for SimulatedCloud {
    fn is_simulated(&self) -> bool {
        true
    }

    async fn observe(&self, id: &FilesystemId) -> Result<Observed, CloudError> {
        let mut state = self.state();
        state.requests.observe += 1;
        let found = state.resources.get(&key(id));
        Ok(found.map_or(Observed::Absent, |resource| Observed::Present(Box::new(resource.filesystem.clone()))))
    }

    async fn begin_create(&self, spec: &FilesystemSpec) -> Result<(), CloudError> {
        self.state().create(spec, self.clock.now())
    }

    async fn begin_delete(&self, id: &FilesystemId) -> Result<(), CloudError> {
        let mut state = self.state();
        state.requests.delete += 1;
        let until = self.clock.now().saturating_add(Duration::from_secs(state.world.delete_seconds));
        if let Some(resource) = state.resources.get_mut(&key(id)) {
            resource.delete(until);
        }
        Ok(())
    }

    async fn skus(&self, location: &Location) -> Result<SkuCatalog, CloudError> {
        let mut page = Some(0);
        while let Some(number) = page {
            page = self.sku_page(number).next;
        }
        Ok(SkuCatalog::new(location.clone(), self.world(|world| world.filesystem_skus(location))))
    }

    async fn subnet_capacity(&self, request: &SubnetCapacityRequest) -> Result<SubnetCapacity, CloudError> {
        self.state().subnet_capacity(request)
    }
}
