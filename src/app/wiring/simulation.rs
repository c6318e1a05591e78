//! The simulator's adapters: a simulated world, its clock, and a directory for its files. The demo reads the world while it
//! serves the same adapters as `serve`.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::adapters::{Adapters, CloudAdapters, NodeAdapters};
use crate::adapters::clock::ScaledClock;
use crate::adapters::simulator::lustre::SimulatedLustre;
use crate::adapters::simulator::{Simulator, World};
use crate::app::command_error::CommandError;
use crate::app::settings::Settings;
use crate::domain::placement::Placement;
use crate::domain::problem::Problem;
use crate::ports::clock::Clock;

/// A simulated world. Dropping it takes its mounts and files away.
#[derive(Debug)]
pub struct Simulation {
    /// The world.
    pub simulator: Simulator,
    /// Its time.
    pub clock: Arc<dyn Clock>,
    lustre: Arc<SimulatedLustre>,
    defaults: Placement,
    // Last, so that mounts are gone before the files under them.
    _files: TempDir,
}

impl Simulation {
    /// Begins a world as the settings describe it. Its files lie below the working directory.
    pub fn begin(settings: &Settings) -> Result<Self, CommandError> {
        let world = settings.values.simulator_world.as_deref().map_or_else(|| Ok(World::default()), read)?;
        let below = &settings.values.working_mount_dir;
        let failed = |error| failure(format!("cannot make a directory below {}: {error}", below.display()));
        std::fs::create_dir_all(below).map_err(failed)?;
        let files = tempfile::Builder::new().prefix("azurelustre-simulator-").tempdir_in(below).map_err(failed)?;
        let clock: Arc<dyn Clock> = Arc::new(ScaledClock::new(settings.values.simulator_speed));
        let simulator = Simulator::new(world, Arc::clone(&clock), files.path());
        let lustre = SimulatedLustre::new(simulator.servers()).with_sub_dir_mode(settings.values.sub_dir_mode);
        let lustre = Arc::new(lustre);
        let defaults = settings.cloud_settings.defaults.clone().or(simulator.defaults());
        Ok(Self { simulator, clock, lustre, defaults, _files: files })
    }

    /// The world behind the driven ports.
    pub fn adapters(&self) -> Adapters {
        Adapters {
            cloud: Some(self.cloud_adapters()),
            node: Some(NodeAdapters {
                mounter: Arc::clone(&self.lustre) as _,
                operations: None,
                faults: None,
                guards: Box::new(()),
                mounted_at_start: false,
            }),
            orchestrator: self.simulator.orchestrator(),
            removes_taint: true,
        }
    }

    /// Its cloud alone.
    pub fn cloud_adapters(&self) -> CloudAdapters {
        CloudAdapters {
            cloud: self.simulator.cloud(),
            clock: Arc::clone(&self.clock),
            defaults: self.defaults.clone(),
            tasks: TaskTracker::new(),
            #[cfg(feature = "arm")]
            azure: None,
            guards: Box::new(()),
        }
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.lustre.close();
    }
}

fn read(path: &Path) -> Result<World, CommandError> {
    let failed = |error: &dyn std::fmt::Display| failure(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    World::from_yaml(&text).map_err(|error| failed(&error))
}

fn failure(message: String) -> CommandError {
    CommandError::failure(Problem::new(message))
}
