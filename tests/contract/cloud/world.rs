//! Worlds for laws of clouds: what a law may arrange, for the simulator and for the ARM adapter. Time is a manual clock.

use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::simulator::world::{FailingCreation, Subnet};
use azurelustre_csi::adapters::simulator::{Simulator, World};
use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::filesystem::{Filesystem, FilesystemSpec, Observed};
use azurelustre_csi::domain::names::{
    FilesystemId, FilesystemName, Location, NetworkName, ResourceGroup, SubnetId, Zone,
};
use azurelustre_csi::domain::parameters::MaintenanceWindow;
use azurelustre_csi::domain::tags::{CREATED_BY, CREATED_BY_US};
use azurelustre_csi::ports::cloud::Cloud;
use libtest_mimic::Failed;
use tempfile::TempDir;

use crate::fakes::clock::ManualClock;

/// A cloud under test, and what a law may arrange in it.
pub(crate) trait CloudWorld: Send + Sync {
    /// The cloud.
    fn cloud(&self) -> Arc<dyn Cloud>;

    /// Lets time pass in the cloud.
    fn advance(&self, by: Duration);

    /// Lets every operation in progress come to its end.
    fn finish_pending(&self) {
        self.advance(Duration::from_hours(1));
    }

    /// Lets this many file systems exist in a region.
    fn given_quota(&self, quota: usize);

    /// Gives the subnet of [`spec`] this many free addresses.
    fn given_free_addresses(&self, free: i64);

    /// Lets only this resource group exist, or any.
    fn given_only_group(&self, group: &str);

    /// Lets only the subnets exist that a law named with [`CloudWorld::given_free_addresses`].
    fn given_only_known_subnets(&self);

    /// Makes the next creation fail.
    fn given_failing_creation(&self, code: &str);

    /// Makes the SKU list hold an entry of this name without a readable size.
    fn given_unreadable_sku(&self, name: &str);
}

/// The simulator on a manual clock.
pub(crate) struct SimulatedWorld {
    clock: Arc<ManualClock>,
    simulator: Simulator,
    _files: TempDir,
}

impl SimulatedWorld {
    /// A fresh default world.
    pub(crate) fn boxed() -> std::io::Result<Box<dyn CloudWorld>> {
        Ok(Box::new(Self::new()?))
    }

    fn new() -> std::io::Result<Self> {
        let files = tempfile::tempdir()?;
        let clock = Arc::new(ManualClock::default());
        let simulator = Simulator::new(World::default(), Arc::clone(&clock) as _, files.path());
        Ok(Self { clock, simulator, _files: files })
    }

    fn edit(&self, edit: impl FnOnce(&mut World)) {
        self.simulator.cloud().edit_world(edit);
    }
}

impl CloudWorld for SimulatedWorld {
    fn cloud(&self) -> Arc<dyn Cloud> {
        self.simulator.cloud()
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn given_quota(&self, quota: usize) {
        self.edit(|world| world.quota = quota);
    }

    fn given_free_addresses(&self, free: i64) {
        let (resource_group, vnet, subnet) = ("RG".to_owned(), "VNET".to_owned(), "Subnet".to_owned());
        self.edit(|world| world.subnets.push(Subnet { resource_group, vnet, subnet, limit: free, used: 0 }));
    }

    fn given_only_group(&self, group: &str) {
        self.edit(|world| world.resource_groups = Some(vec![group.to_owned()]));
    }

    fn given_only_known_subnets(&self) {
        self.edit(|world| world.any_subnet_exists = false);
    }

    fn given_failing_creation(&self, code: &str) {
        let failing =
            FailingCreation { times: 1, after_seconds: 60, code: code.to_owned(), message: "said so".to_owned() };
        self.edit(|world| world.failing_creations.push(failing));
    }

    fn given_unreadable_sku(&self, name: &str) {
        self.edit(|world| {
            let mut odd = world.skus[1].clone();
            name.clone_into(&mut odd.name);
            odd.capabilities.values_mut().for_each(|value| "lots".clone_into(value));
            world.skus.insert(0, odd);
        });
    }
}

/// The ARM adapter with its real HTTP client, against ARM's REST interface in front of the simulator.
#[cfg(feature = "arm")]
pub(crate) struct ArmWorld {
    behind: SimulatedWorld,
    adapter: Arc<azurelustre_csi::adapters::arm::cloud::ArmCloud>,
    _server: wiremock::MockServer,
}

#[cfg(feature = "arm")]
impl ArmWorld {
    /// A fresh default world behind a server of its own.
    pub(crate) fn boxed() -> std::io::Result<Box<dyn CloudWorld>> {
        use azurelustre_csi::adapters::arm::http::client::ReqwestClient;

        let behind = SimulatedWorld::new()?;
        let serving = crate::fakes::arm::server::serve(behind.simulator.cloud(), Arc::clone(&behind.clock));
        let (server, stub) = crate::harness::runtime()?.block_on(serving);
        let wire = Arc::new(ReqwestClient::new().map_err(std::io::Error::other)?);
        let clock = Arc::clone(&behind.clock) as _;
        let adapter = Arc::new(crate::fakes::arm::faults::adapter(wire, &stub.endpoint, clock));
        Ok(Box::new(Self { behind, adapter, _server: server }))
    }
}

#[cfg(feature = "arm")]
impl CloudWorld for ArmWorld {
    fn cloud(&self) -> Arc<dyn Cloud> {
        Arc::clone(&self.adapter) as _
    }

    fn advance(&self, by: Duration) {
        self.behind.advance(by);
    }

    fn given_quota(&self, quota: usize) {
        self.behind.given_quota(quota);
    }

    fn given_free_addresses(&self, free: i64) {
        self.behind.given_free_addresses(free);
    }

    fn given_only_group(&self, group: &str) {
        self.behind.given_only_group(group);
    }

    fn given_only_known_subnets(&self) {
        self.behind.given_only_known_subnets();
    }

    fn given_failing_creation(&self, code: &str) {
        self.behind.given_failing_creation(code);
    }

    fn given_unreadable_sku(&self, name: &str) {
        self.behind.given_unreadable_sku(name);
    }
}

/// A name that is valid; laws know theirs.
macro_rules! name {
    ($kind:ident, $text:expr) => {
        $kind::parse($text).map_err(|error| Failed::from(error.to_string()))?
    };
}

/// The id of a file system.
pub(crate) fn id(name: &str) -> Result<FilesystemId, Failed> {
    Ok(FilesystemId { resource_group: name!(ResourceGroup, "rg"), name: name!(FilesystemName, name) })
}

/// The subnet of [`spec`].
pub(crate) fn subnet() -> Result<SubnetId, Failed> {
    Ok(SubnetId {
        resource_group: name!(ResourceGroup, "rg"),
        vnet: name!(NetworkName, "vnet"),
        subnet: name!(NetworkName, "subnet"),
    })
}

/// A region by its name.
pub(crate) fn location(name: &str) -> Result<Location, Failed> {
    Ok(name!(Location, name))
}

/// A file system that every cloud accepts: the smallest of the fastest SKU, in zone 1 of eastus.
pub(crate) fn spec(name: &str) -> Result<FilesystemSpec, Failed> {
    Ok(FilesystemSpec {
        id: id(name)?,
        location: location("eastus")?,
        sku_name: "AMLFS-Durable-Premium-500".to_owned(),
        zone: Some(name!(Zone, "1")),
        capacity: Tib(4),
        subnet: subnet()?,
        maintenance: MaintenanceWindow { day_of_week: "Friday", time_of_day_utc: "22:00".to_owned() },
        identities: Vec::new(),
        tags: [(CREATED_BY.to_owned(), CREATED_BY_US.to_owned()), ("team".to_owned(), "hpc".to_owned())].into(),
    })
}

/// The file system, which must be there.
pub(crate) async fn present(world: &dyn CloudWorld, name: &str) -> Result<Filesystem, Failed> {
    match world.cloud().observe(&id(name)?).await? {
        Observed::Present(filesystem) => Ok(*filesystem),
        Observed::Absent => Err(format!("{name} is absent").into()),
    }
}
