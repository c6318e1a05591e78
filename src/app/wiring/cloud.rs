//! The adapters behind CSI's Controller service: Azure, the simulator, or [`NoCloud`] where the cloud settings are incomplete.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::adapters::CloudAdapters;
#[cfg(feature = "simulator")]
use super::simulation::Simulation;
use crate::adapters::clock::SystemClock;
use crate::adapters::no_cloud::NoCloud;
use crate::app::command_error::{CommandError, Exit};
use crate::app::settings::{CloudKind, Settings};
use crate::domain::problem::Problem;
#[cfg(feature = "arm")]
use crate::ports::clock::Clock;

/// The cloud alone, for commands that only send requests to it: incomplete cloud settings are an error here.
pub fn cloud(settings: &Settings) -> Result<CloudAdapters, CommandError> {
    if let Some(problem) = unavailable(settings) {
        return Err(CommandError::usage(problem));
    }
    if !settings.cloud_settings.missing.is_empty() {
        return Err(CommandError::new(Exit::Usage, settings.cloud_settings.missing.clone()));
    }
    #[cfg(feature = "simulator")]
    if settings.values.cloud == CloudKind::Simulator {
        let simulation = Simulation::begin(settings)?;
        let cloud = simulation.cloud_adapters();
        return Ok(CloudAdapters { guards: Box::new(simulation), ..cloud });
    }
    azure(settings)
}

/// The cloud of a controller that does not run on the simulator.
pub(super) fn real(settings: &Settings) -> Result<CloudAdapters, CommandError> {
    no_cloud(settings).map_or_else(|| azure(settings), Ok)
}

/// What stands in Azure's place where the cloud settings are absent or incomplete.
fn no_cloud(settings: &Settings) -> Option<CloudAdapters> {
    let reason = settings.cloud_settings.reason_for_static_only()?;
    Some(CloudAdapters {
        cloud: Arc::new(NoCloud::new(reason.clone())),
        clock: Arc::new(SystemClock::new()),
        defaults: settings.cloud_settings.defaults.clone(),
        tasks: TaskTracker::new(),
        #[cfg(feature = "arm")]
        azure: None,
        guards: Box::new(()),
    })
}

#[cfg(feature = "arm")]
fn azure(settings: &Settings) -> Result<CloudAdapters, CommandError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let tasks = TaskTracker::new();
    let cloud = super::azure::cloud(&settings.cloud_settings, &clock, &tasks)
        .map_err(|problems| CommandError::new(Exit::Usage, problems))?;
    let cloud = Arc::new(cloud);
    Ok(CloudAdapters {
        cloud: Arc::clone(&cloud) as _,
        clock,
        defaults: settings.cloud_settings.defaults.clone(),
        tasks,
        azure: Some(cloud),
        guards: Box::new(()),
    })
}

/// Fails: [`unavailable`] reports it before.
#[cfg(not(feature = "arm"))]
fn azure(_: &Settings) -> Result<CloudAdapters, CommandError> {
    Err(CommandError::failed("this build has no adapter for Azure"))
}

/// The problem of settings that ask for a cloud that this build does not have. A node needs none.
pub(super) fn unavailable(settings: &Settings) -> Option<Problem> {
    let missing = settings.mode.has_controller() && settings.values.cloud == CloudKind::Arm && !cfg!(feature = "arm");
    let hint = "say `--cloud simulator` to try the driver without Azure, in a build with the simulator";
    missing.then(|| Problem::new("--cloud=arm: this build cannot talk to Azure Resource Manager").with_hint(hint))
}
