//! A simulated Azure that outlives the driver's process, and the driver as Kubernetes calls it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::adapters::simulator::{Simulator, World};
use azurelustre_csi::app::usecase::provision::Provision;
use azurelustre_csi::domain::access::{AccessMode, AccessType, Capability};
use azurelustre_csi::domain::capacity::RequestedCapacity;
use azurelustre_csi::domain::filesystem::{
    Filesystem, FilesystemSpec, Observed, ProvisioningState, ReportedMgsAddress,
};
use azurelustre_csi::domain::names::{FilesystemId, FilesystemName, Location, ResourceGroup, Zone};
use azurelustre_csi::domain::provisioning::{Volume, VolumeRequest};
use azurelustre_csi::domain::sku::SkuCatalog;
use azurelustre_csi::domain::tags::{CREATED_BY, CREATED_BY_US};
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::{Cloud, CloudError, CloudErrorKind, SubnetCapacity, SubnetCapacityRequest};
use azurelustre_csi::ports::inbound::{Caller, Failure, Provisioning};
use futures_lite::future::or;
use tempfile::TempDir;

use crate::fakes::clock::ManualClock;
use crate::fakes::faulty::{Fault, Faults, FaultyCloud, Killed, RecordedCall};

/// The provisioner's `--timeout`.
pub(crate) const BUDGET: Option<Duration> = Some(Duration::from_mins(15));
/// Calls after which a case is taken for endless.
const MANY: u32 = 300;

/// A caller that waits as long as the provisioner does, and never leaves before.
pub(crate) fn patient() -> Caller {
    Caller::staying(BUDGET)
}

/// The volume of most cases.
pub(crate) const NAME: &str = "pvc-1";

/// What outlives the driver's process.
pub(crate) struct Azure {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) simulator: Simulator,
    _files: TempDir,
}

impl Azure {
    pub(crate) fn new() -> Self {
        Self::with(World::default())
    }

    pub(crate) fn with(world: World) -> Self {
        let files = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let simulator = Simulator::new(world, clock.clone(), files.path());
        Self { clock, simulator, _files: files }
    }

    /// A process of the driver that has just started, with faults between it and the cloud.
    pub(crate) fn driver(&self, faults: Faults<CloudErrorKind>) -> Driver {
        self.driver_over(self.simulator.cloud(), faults)
    }

    /// The same, over another way to the same cloud.
    pub(crate) fn driver_over(&self, cloud: Arc<dyn Cloud>, faults: Faults<CloudErrorKind>) -> Driver {
        let cloud = Arc::new(FaultyCloud::new(cloud, faults));
        let (orchestrator, clock) = (self.simulator.orchestrator(), self.clock.clone());
        let provision = Provision::new(cloud.clone(), orchestrator, clock.clone(), clock, self.simulator.defaults());
        Driver { cloud, provision, clock: self.clock.clone() }
    }

    /// One without faults.
    pub(crate) fn healthy(&self) -> Driver {
        self.driver(Faults::none(self.clock.clone()))
    }

    /// One whose calls `first`, `first + 1`, … (`times` of them) meet this fault.
    pub(crate) fn faulty(&self, fault: Fault<CloudErrorKind>, first: u32, times: u32) -> Driver {
        let plan = move |call: u32, _: &str| (first..first + times).contains(&call).then_some(fault);
        self.driver(Faults::new(self.clock.clone(), Box::new(plan)))
    }

    /// Calls as external-provisioner does: again after 1, 2, 4 … seconds, at most 5 minutes, after any failure, until it
    /// succeeds. `each` sees every failure.
    pub(crate) fn retried<T>(
        &self,
        mut call: impl FnMut() -> Result<T, Failure>,
        mut each: impl FnMut(&Failure),
    ) -> Option<T> {
        let mut pause = Duration::from_secs(1);
        for _ in 0..MANY {
            match call() {
                Ok(done) => return Some(done),
                Err(failure) => each(&failure),
            }
            self.pass(pause);
            pause = (pause * 2).min(Duration::from_mins(5));
        }
        None
    }

    /// The failures of repeated calls until the first that is final, and when it came.
    pub(crate) fn until_final<T>(&self, mut call: impl FnMut() -> Result<T, Failure>) -> (Vec<Failure>, Duration) {
        let mut failures: Vec<Failure> = Vec::new();
        for _ in 0..MANY {
            match call() {
                Ok(_) => panic!("it succeeded after {failures:?}"),
                Err(failure) => failures.push(failure),
            }
            if failures.last().is_some_and(|failure| failure.kind.is_final()) {
                return (failures, self.clock.now());
            }
            self.pass(Duration::from_secs(1));
        }
        panic!("never final: {:?}", failures.last())
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Names of all file systems that are billed now.
    pub(crate) fn billed(&self) -> Vec<String> {
        self.simulator.cloud().filesystems().into_iter().map(|(id, _)| id.name.to_string()).collect()
    }

    /// How many creations made a file system of this name.
    pub(crate) fn made(&self, name: &str) -> u64 {
        self.simulator.cloud().accepted_creations().get(name).copied().unwrap_or(0)
    }

    /// Deletes a file system behind the driver's back, as a person does with `az amlfs delete`; returns once it is gone.
    pub(crate) fn remove(&self, name: &str) {
        self.clock.run(self.simulator.cloud().begin_delete(&id(name))).unwrap();
        self.pass(Duration::from_mins(30));
        assert!(!self.billed().contains(&name.to_owned()));
    }

    /// Puts a file system there that has these tags, in this state.
    pub(crate) fn place(&self, name: &str, tags: &[(&str, &str)], state: ProvisioningState, mgs_address: &str) {
        let filesystem = Filesystem {
            zones: vec![Zone::parse("1").unwrap()],
            mgs_address: ReportedMgsAddress::parse(mgs_address),
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            failure: Some("UpdateFailed: said so".to_owned()),
            ..Filesystem::new(state)
        };
        self.simulator.cloud().add_existing(id(name), filesystem);
    }

    /// A finished volume of the usual name.
    pub(crate) fn volume(&self) -> Volume {
        self.healthy().create(NAME).unwrap()
    }
}

/// The same cloud, which does not say that it is simulated.
#[derive(Debug)]
pub(crate) struct Real(pub(crate) Arc<dyn Cloud>);

#[async_trait]
impl Cloud for Real {
    async fn observe(&self, id: &FilesystemId) -> Result<Observed, CloudError> {
        self.0.observe(id).await
    }

    async fn begin_create(&self, spec: &FilesystemSpec) -> Result<(), CloudError> {
        self.0.begin_create(spec).await
    }

    async fn begin_delete(&self, id: &FilesystemId) -> Result<(), CloudError> {
        self.0.begin_delete(id).await
    }

    async fn skus(&self, location: &Location) -> Result<SkuCatalog, CloudError> {
        self.0.skus(location).await
    }

    async fn subnet_capacity(&self, request: &SubnetCapacityRequest) -> Result<SubnetCapacity, CloudError> {
        self.0.subnet_capacity(request).await
    }
}

/// Our tag.
pub(crate) const OURS: [(&str, &str); 1] = [(CREATED_BY, CREATED_BY_US)];

/// The id of a file system in the default group.
pub(crate) fn id(name: &str) -> FilesystemId {
    let resource_group = ResourceGroup::parse("MC_hpc_aks_eastus").unwrap();
    FilesystemId { resource_group, name: FilesystemName::parse(name).unwrap() }
}

/// A request for the smallest file system.
pub(crate) fn request(name: &str) -> VolumeRequest {
    let parameters = [
        ("sku-name", "AMLFS-Durable-Premium-500"),
        ("zone", "1"),
        ("maintenance-day-of-week", "Monday"),
        ("maintenance-time-of-day-utc", "03:00"),
        ("csi.storage.k8s.io/pvc/name", "claim"),
        ("csi.storage.k8s.io/pvc/namespace", "team"),
    ];
    VolumeRequest {
        name: name.to_owned(),
        capacity: RequestedCapacity::default(),
        capabilities: vec![Capability {
            access: Some(AccessType::Mount { flags: vec![] }),
            mode: Some(AccessMode::MultiNodeMultiWriter),
        }],
        parameters: parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    }
}

/// One process of the driver.
pub(crate) struct Driver {
    cloud: Arc<FaultyCloud>,
    pub(crate) provision: Provision,
    clock: Arc<ManualClock>,
}

/// How a call ended that may have killed the process.
pub(crate) type Ended<T> = Result<T, Killed>;

impl Driver {
    pub(crate) fn create(&self, name: &str) -> Result<Volume, Failure> {
        self.create_as(request(name), BUDGET)
    }

    pub(crate) fn create_as(&self, request: VolumeRequest, timeout: Option<Duration>) -> Result<Volume, Failure> {
        // As in a process, events are written in the background.
        let events = self.provision.claim_events();
        let background = async {
            events.run().await;
            std::future::pending().await
        };
        let created = self.clock.run(or(self.provision.create(request, Caller::staying(timeout)), background));
        self.clock.run(events.write_due());
        created
    }

    pub(crate) fn delete(&self, volume_id: &str) -> Result<(), Failure> {
        self.clock.run(self.provision.delete(volume_id, patient()))
    }

    /// The calls that reached the cloud.
    pub(crate) fn calls(&self) -> Vec<RecordedCall> {
        self.cloud.faults.calls()
    }

    /// How often this operation reached the cloud.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.operations().iter().filter(|made| **made == operation).count()
    }

    /// The operations of these calls.
    pub(crate) fn operations(&self) -> Vec<&'static str> {
        self.calls().into_iter().map(|made| made.operation).collect()
    }

    pub(crate) fn call_count(&self) -> u32 {
        u32::try_from(self.calls().len()).unwrap()
    }
}

/// Runs something that may meet a deadly fault. Any other panic continues.
pub(crate) fn mortal<T>(work: impl FnOnce() -> T) -> Ended<T> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| match payload.downcast::<Killed>() {
        Ok(killed) => *killed,
        Err(other) => std::panic::resume_unwind(other),
    })
}

/// [`request`] of the usual name with other parameters.
pub(crate) fn request_with(parameters: &[(&str, &str)]) -> VolumeRequest {
    let mut changed = request(NAME);
    for (key, value) in parameters {
        changed.parameters.insert((*key).to_owned(), (*value).to_owned());
    }
    changed
}
