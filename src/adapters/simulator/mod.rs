//! The simulator: Azure Resource Manager, Lustre and Kubernetes in memory, behind the ports.
//!
//! The driver can be tried, tested and measured without an Azure subscription and without a kernel module. It is held to the
//! same contract tests as the real adapters. How it behaves is data (a [`World`]), never a special name, and faults are
//! wrappers in the tests. Release images do not contain it.
//!
//! ```text
//!   World ──> SimulatedCloud ──starts and stops──> Servers <──finds file systems── SimulatedLustre
//!             (Cloud port)                                                         (Mounter port)
//!             SimulatedOrchestrator (Orchestrator port)
//! ```

use std::path::Path;
use std::sync::Arc;

pub mod cloud;
pub mod lustre;
pub mod orchestrator;
mod resource;
pub mod servers;
mod validation;
pub mod world;

pub use cloud::SimulatedCloud;
pub use orchestrator::SimulatedOrchestrator;
pub use servers::Servers;
pub use world::World;

use crate::domain::placement::Placement;
use crate::ports::clock::Clock;

/// One simulated world: cloud, Lustre servers, cluster.
#[derive(Debug)]
pub struct Simulator {
    cloud: Arc<SimulatedCloud>,
    servers: Arc<Servers>,
    orchestrator: Arc<SimulatedOrchestrator>,
}

impl Simulator {
    /// A world that begins now. `clock` is its time; `root` is the directory for the files of its file systems.
    pub fn new(world: World, clock: Arc<dyn Clock>, root: &Path) -> Self {
        let servers = Arc::new(Servers::new(root, world.any_mgs_address_answers));
        let cloud = Arc::new(SimulatedCloud::new(world, clock, Arc::clone(&servers)));
        Self { cloud, servers, orchestrator: Arc::default() }
    }

    /// Its cloud.
    pub fn cloud(&self) -> Arc<SimulatedCloud> {
        Arc::clone(&self.cloud)
    }

    /// Its Lustre servers, for a [`lustre::SimulatedLustre`].
    pub fn servers(&self) -> Arc<Servers> {
        Arc::clone(&self.servers)
    }

    /// Its cluster.
    pub fn orchestrator(&self) -> Arc<SimulatedOrchestrator> {
        Arc::clone(&self.orchestrator)
    }

    /// Defaults for new volumes, as the cloud settings of a cluster in this world have them.
    pub fn defaults(&self) -> Placement {
        self.cloud.world(|world| world.defaults.to_domain())
    }
}
