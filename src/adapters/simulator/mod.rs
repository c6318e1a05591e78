//! The simulator: an Azure and a Lustre in memory, complete in behaviour.
//!
//! The driver can be tried, tested and measured without an Azure subscription and without a kernel module.
//! It is under the same contract tests as the real adapters and never switches on magic names: how it behaves is data
//! (a [`World`]), and faults are wrappers in the tests. Release images do not contain it.
//!
//! ```text
//!   World ──> SimulatedCloud ──starts and stops──> Servers <──asks who answers── SimulatedLustre
//!             (Cloud port)                                                       (Mounter port)
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

/// One simulated world with everything that lives in it.
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

    /// Its Azure.
    pub fn cloud(&self) -> Arc<SimulatedCloud> {
        Arc::clone(&self.cloud)
    }

    /// Its Lustre servers; what a [`lustre::SimulatedLustre`] is built on.
    pub fn servers(&self) -> Arc<Servers> {
        Arc::clone(&self.servers)
    }

    /// Its Kubernetes.
    pub fn orchestrator(&self) -> Arc<SimulatedOrchestrator> {
        Arc::clone(&self.orchestrator)
    }

    /// What the cloud settings of a cluster in this world say.
    pub fn defaults(&self) -> Placement {
        self.cloud.world(|world| world.defaults.to_domain())
    }
}
