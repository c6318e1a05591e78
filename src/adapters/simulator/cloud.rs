//! The simulated Azure Resource Manager: file systems that are made, fail, and go, in their time.
//!
//! Everything that the driver may meet in Azure can be met here, deterministically: Creating with an empty
//! address, Failed creations that stay and hold quota and addresses, Deleting that is still visible. A synchronous state
//! under one lock; the async port only delegates.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::record::{Lifecycle, Record};
use super::rules::{CREATE, no_group, refusal, required_addresses};
use super::servers::Servers;
use super::world::{AML_FILESYSTEMS, SkuEntry, World};
use crate::domain::filesystem::{Filesystem, FilesystemSpec, Observed};
use crate::domain::mount_source::FsName;
use crate::domain::names::{FilesystemId, Location};
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
    records: BTreeMap<(String, String), Record>,
    accepted: BTreeMap<String, u64>,
    requests: Requests,
    next_server: u32,
}

/// Requests that the cloud has answered, refused ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// Observes a file system.
    pub observe: u64,
    /// Creations.
    pub create: u64,
    /// Deletions.
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
            records: BTreeMap::new(),
            accepted: BTreeMap::new(),
            requests: Requests::default(),
            next_server: u32::from(Ipv4Addr::new(10, 225, 0, 4)),
        };
        Self { clock, servers, state: Mutex::new(state) }
    }

    /// Reads the world.
    pub fn world<T>(&self, read: impl FnOnce(&World) -> T) -> T {
        read(&self.settled().world)
    }

    /// Changes the world; file systems that exist stay as they are.
    pub fn edit_world(&self, edit: impl FnOnce(&mut World)) {
        edit(&mut self.settled().world);
    }

    /// Puts a file system in place that the driver did not make, as it is shown. It holds no addresses.
    pub fn place(&self, id: FilesystemId, filesystem: Filesystem) {
        let mut state = self.settled();
        state.records.insert(key(&id), Record::placed(id, filesystem));
    }

    /// All file systems that the cloud holds now, Failed and Deleting ones included.
    pub fn filesystems(&self) -> Vec<(FilesystemId, Filesystem)> {
        self.settled().records.values().map(|record| (record.id.clone(), record.shown())).collect()
    }

    /// How many creations made a file system, by name. A repeated request for one that is there makes none.
    pub fn accepted_creations(&self) -> BTreeMap<String, u64> {
        self.settled().accepted.clone()
    }

    /// Requests so far.
    pub fn requests(&self) -> Requests {
        self.settled().requests
    }

    /// One page of the SKU list, as ARM would send it. Pages count from 0; one past the end is empty.
    pub fn sku_page(&self, page: usize) -> SkuPage {
        let mut state = self.settled();
        state.requests.sku_pages += 1;
        let size = state.world.sku_page_size.max(1);
        let entries: Vec<SkuEntry> =
            state.world.skus.iter().skip(page.saturating_mul(size)).take(size).cloned().collect();
        let more = page.saturating_add(1).saturating_mul(size) < state.world.skus.len();
        SkuPage { entries, next: more.then(|| page + 1) }
    }

    /// The state at this moment: everything whose time has come has happened.
    fn settled(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle(self.clock.now(), &self.servers);
        state
    }
}

fn key(id: &FilesystemId) -> (String, String) {
    (id.resource_group.as_str().to_lowercase(), id.name.as_str().to_ascii_lowercase())
}

impl State {
    fn settle(&mut self, now: Duration, servers: &Servers) {
        let next_server = &mut self.next_server;
        self.records.retain(|_, record| match record.life.clone() {
            Lifecycle::Creating { until, failure: None } if until <= now => {
                let server = Ipv4Addr::from(*next_server);
                *next_server += 1;
                record.finish(server);
                if let Some(capacity) = record.view.capacity {
                    servers.start(server, &FsName::default(), capacity);
                }
                true
            }
            Lifecycle::Creating { until, failure: Some(reason) } if until <= now => {
                record.life = Lifecycle::Failed { reason };
                true
            }
            Lifecycle::Deleting { until } if until <= now => {
                if let Some(Err(error)) = record.server.map(|server| servers.stop(server)) {
                    tracing::warn!(%error, filesystem = %record.id, "files of a deleted simulated file system are left");
                }
                false
            }
            Lifecycle::Creating { .. } | Lifecycle::Deleting { .. } | Lifecycle::Succeeded | Lifecycle::Failed { .. } => true,
        });
    }

    fn create(&mut self, spec: &FilesystemSpec, now: Duration) -> Result<(), CloudError> {
        self.requests.create += 1;
        if let Some(record) = self.records.get_mut(&key(&spec.id)) {
            return repeat(record, spec);
        }
        let there: Vec<&Record> = self.records.values().collect();
        let (size, addresses) = self.world.admit(spec, &there)?;
        let failure = self.planned_failure().or_else(|| self.no_room(spec, addresses));
        let seconds = failure.as_ref().map_or(self.world.create_seconds, |(after, _)| *after);
        let until = now.saturating_add(Duration::from_secs(seconds));
        let spec = FilesystemSpec { capacity: size, ..spec.clone() };
        let record =
            Record::new(&spec, addresses, Lifecycle::Creating { until, failure: failure.map(|(_, reason)| reason) });
        self.records.insert(key(&spec.id), record);
        *self.accepted.entry(spec.id.name.to_string()).or_default() += 1;
        Ok(())
    }

    /// Uses up a failure that the world has planned: seconds and reason.
    fn planned_failure(&mut self) -> Option<(u64, String)> {
        let planned = self.world.failing_creations.iter_mut().find(|planned| planned.times > 0)?;
        planned.times -= 1;
        Some((planned.after_seconds, format!("{}: {}", planned.code, planned.message)))
    }

    /// A creation for which the subnet has no room fails at once, but stays: the check before it is only advice.
    fn no_room(&self, spec: &FilesystemSpec, addresses: u64) -> Option<(u64, String)> {
        let free = self.free(&SubnetCapacityRequest {
            subnet: spec.subnet.clone(),
            sku_name: spec.sku_name.clone(),
            capacity: spec.capacity,
        });
        (free? < addresses).then(|| (0, format!("DeploymentFailed: subnet {} has not enough addresses", spec.subnet)))
    }

    fn free(&self, request: &SubnetCapacityRequest) -> Option<u64> {
        let here = |record: &&Record| record.view.subnet.as_ref().is_some_and(|subnet| subnet.is(&request.subnet));
        let taken: u64 = self.records.values().filter(here).map(|record| record.addresses).sum();
        self.world.free_in(&request.subnet).map(|free| free.saturating_sub(taken))
    }

    fn delete(&mut self, id: &FilesystemId, now: Duration) {
        self.requests.delete += 1;
        let until = now.saturating_add(Duration::from_secs(self.world.delete_seconds));
        if let Some(record) = self.records.get_mut(&key(id))
            && !matches!(record.life, Lifecycle::Deleting { .. })
        {
            record.life = Lifecycle::Deleting { until };
        }
    }

    fn subnet_capacity(&mut self, request: &SubnetCapacityRequest) -> Result<SubnetCapacity, CloudError> {
        self.requests.subnet_capacity += 1;
        let resource = request.subnet.to_string();
        let missing = |message: &str| refusal(CloudErrorKind::NotFound, "read subnet", &resource, "NotFound", message);
        let available = self.free(request).ok_or_else(|| missing("the subnet or its network was not found"))?;
        let entry = self.world.skus.iter().find(|entry| entry.name.eq_ignore_ascii_case(&request.sku_name));
        let sku = entry.and_then(|entry| entry.to_domain(Vec::new()).ok()).ok_or_else(|| {
            refusal(CloudErrorKind::Invalid, "read subnet", &resource, "InvalidParameter", "unknown SKU")
        })?;
        Ok(SubnetCapacity { required: required_addresses(&sku, request.capacity), available })
    }
}

/// A PUT for a file system that is there: tags change, everything else must be the same. One that is going or has failed
/// takes none.
fn repeat(record: &mut Record, spec: &FilesystemSpec) -> Result<(), CloudError> {
    let resource = spec.id.to_string();
    let busy = |message: &str| refusal(CloudErrorKind::Busy, CREATE, &resource, "Conflict", message);
    match &record.life {
        Lifecycle::Deleting { .. } => Err(busy("another operation (delete) is in progress")),
        Lifecycle::Failed { .. } => Err(busy("its creation failed; delete this amlfilesystem and try again")),
        Lifecycle::Creating { .. } | Lifecycle::Succeeded => {
            let wanted = Record::new(spec, record.addresses, record.life.clone()).view;
            let same =
                |view: &Filesystem| (view.sku_name.clone(), view.zones.clone(), view.capacity, view.location.clone());
            let same_subnet = record.view.subnet.as_ref().is_none_or(|subnet| subnet.is(&spec.subnet));
            if same(&wanted) != same(&record.view) || !same_subnet {
                let message = "properties that cannot change differ from the existing file system's";
                return Err(refusal(CloudErrorKind::Invalid, CREATE, &resource, "InvalidParameter", message));
            }
            record.view.tags.clone_from(&spec.tags);
            Ok(())
        }
    }
}

#[async_trait]
impl Cloud for SimulatedCloud {
    fn is_simulated(&self) -> bool {
        true
    }

    async fn observe(&self, id: &FilesystemId) -> Result<Observed, CloudError> {
        let mut state = self.settled();
        state.requests.observe += 1;
        let record = state.records.get(&key(id));
        Ok(record.map_or(Observed::Absent, |record| Observed::Present(Box::new(record.shown()))))
    }

    async fn begin_create(&self, spec: &FilesystemSpec) -> Result<(), CloudError> {
        self.settled().create(spec, self.clock.now())
    }

    async fn begin_delete(&self, id: &FilesystemId) -> Result<(), CloudError> {
        let mut state = self.settled();
        if !state.world.group_exists(&id.resource_group) && !state.records.contains_key(&key(id)) {
            tracing::debug!(error = %no_group("delete file system", id), "absent");
        }
        state.delete(id, self.clock.now());
        Ok(())
    }

    async fn skus(&self, location: &Location) -> Result<SkuCatalog, CloudError> {
        let mut entries = Vec::new();
        let mut next = Some(0);
        while let Some(page) = next {
            let page = self.sku_page(page);
            entries.extend(page.entries);
            next = page.next;
        }
        let zones = self.world(|world| world.zones_of(location));
        let offered =
            entries.iter().filter(|entry| entry.resource_type == AML_FILESYSTEMS && entry.offered_in(location));
        let skus = zones.map(|zones| offered.map(|entry| entry.to_domain(zones.clone())).collect::<Vec<_>>());
        Ok(SkuCatalog::new(location.clone(), skus.unwrap_or_default()))
    }

    async fn subnet_capacity(&self, request: &SubnetCapacityRequest) -> Result<SubnetCapacity, CloudError> {
        self.settled().subnet_capacity(request)
    }
}
