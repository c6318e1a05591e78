//! Worlds for laws of clouds: what a law may arrange, for the simulator and for the ARM adapter. Time is a manual clock.

use std::io;
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

/// A cloud under test, and what a law may arrange in the simulated cloud that it is or stands in front of.
pub(crate) struct CloudWorld {
    cloud: Arc<dyn Cloud>,
    clock: Arc<ManualClock>,
    simulator: Simulator,
    _files: TempDir,
    #[cfg(feature = "arm")]
    _server: Option<wiremock::MockServer>,
}

impl CloudWorld {
    /// The simulator in a fresh default world.
    pub(crate) fn simulated() -> io::Result<Box<Self>> {
        let files = tempfile::tempdir()?;
        let clock = Arc::new(ManualClock::default());
        let simulator = Simulator::new(World::default(), Arc::clone(&clock) as _, files.path());
        let cloud = simulator.cloud();
        Ok(Box::new(Self {
            cloud,
            clock,
            simulator,
            _files: files,
            #[cfg(feature = "arm")]
            _server: None,
        }))
    }

    /// The ARM adapter with its real HTTP client, against ARM's REST interface in front of the simulator.
    #[cfg(feature = "arm")]
    pub(crate) fn arm() -> io::Result<Box<Self>> {
        use azurelustre_csi::adapters::arm::http::client::ReqwestClient;

        let simulated = Self::simulated()?;
        let serving = crate::fakes::arm::server::serve(simulated.simulator.cloud(), Arc::clone(&simulated.clock));
        let (server, stub) = crate::harness::runtime()?.block_on(serving);
        let client = Arc::new(ReqwestClient::new().map_err(io::Error::other)?);
        let clock = Arc::clone(&simulated.clock) as _;
        let adapter = crate::fakes::arm::faults::adapter(client, &stub.endpoint, clock);
        Ok(Box::new(Self { cloud: Arc::new(adapter), _server: Some(server), ..*simulated }))
    }

    /// The cloud under test.
    pub(crate) fn cloud(&self) -> &dyn Cloud {
        &*self.cloud
    }

    /// Lets time pass in the cloud.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Lets every operation in progress come to its end.
    pub(crate) fn finish_pending(&self) {
        self.advance(Duration::from_hours(1));
    }

    fn edit(&self, edit: impl FnOnce(&mut World)) {
        self.simulator.cloud().edit_world(edit);
    }

    /// Lets this many file systems exist in a region.
    pub(crate) fn given_quota(&self, quota: usize) {
        self.edit(|world| world.quota = quota);
    }

    /// Gives the subnet of [`spec`] this many free addresses.
    pub(crate) fn given_free_addresses(&self, free: i64) {
        let (resource_group, vnet, subnet) = ("RG".to_owned(), "VNET".to_owned(), "Subnet".to_owned());
        self.edit(|world| world.subnets.push(Subnet { resource_group, vnet, subnet, limit: free, used: 0 }));
    }

    /// Lets only this resource group exist.
    pub(crate) fn given_only_group(&self, group: &str) {
        self.edit(|world| world.resource_groups = Some(vec![group.to_owned()]));
    }

    /// Lets only the subnets exist that a law named with [`CloudWorld::given_free_addresses`].
    pub(crate) fn given_only_known_subnets(&self) {
        self.edit(|world| world.any_subnet_exists = false);
    }

    /// Makes the next creation fail.
    pub(crate) fn given_failing_creation(&self, code: &str) {
        let failing =
            FailingCreation { times: 1, after_seconds: 60, code: code.to_owned(), message: "said so".to_owned() };
        self.edit(|world| world.failing_creations.push(failing));
    }

    /// Adds an entry of this name without a readable size to the SKU list.
    pub(crate) fn given_unreadable_sku(&self, name: &str) {
        self.edit(|world| {
            let mut unreadable = world.skus[1].clone();
            name.clone_into(&mut unreadable.name);
            unreadable.capabilities.values_mut().for_each(|value| "lots".clone_into(value));
            world.skus.insert(0, unreadable);
        });
    }
}

/// A valid name.
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
pub(crate) async fn present(world: &CloudWorld, name: &str) -> Result<Filesystem, Failed> {
    match world.cloud().observe(&id(name)?).await? {
        Observed::Present(filesystem) => Ok(*filesystem),
        Observed::Absent => Err(format!("{name} is absent").into()),
    }
}
