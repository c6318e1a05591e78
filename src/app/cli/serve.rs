//! `serve`: from settings to a process that ends in order.

use tokio::runtime::{Builder, Runtime};

use super::{CliError, Exit};
use crate::app::problem::Problem;
use crate::app::server::{self, Bound, DRAIN};
use crate::app::settings::Settings;
use crate::app::shutdown::StopSignals;
use crate::app::telemetry;
use crate::app::wiring::{self, WiringError};

/// Worker threads of the runtime. One would do for the load, which is network and waiting; the second keeps Probe answered
/// when a call holds the first. The default, one a core, would be 120 threads on a large node.
const WORKERS: usize = 2;

/// Runs the driver until SIGTERM or SIGINT. A second signal ends it without waiting for calls.
pub(super) fn serve(settings: &Settings) -> Result<(), CliError> {
    telemetry::init(&settings.log).map_err(|error| CliError::failure(Problem::from_error(&error)))?;
    let runtime = runtime()?;
    let result = runtime.block_on(run(settings));
    // Threads that hang in the kernel must not hold the process.
    runtime.shutdown_background();
    result
}

/// The runtime of all commands that need one.
pub(super) fn runtime() -> Result<Runtime, CliError> {
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    runtime.map_err(|error| CliError::failure(Problem::new(format!("cannot start threads: {error}"))))
}

async fn run(settings: &Settings) -> Result<(), CliError> {
    let (mut first, mut any) = (signals()?, signals()?);
    let wired = wiring::build(settings)?;
    let bound = Bound::bind(&settings.endpoint).await.map_err(CliError::failure)?;
    let stop = async {
        let signal = first.next().await;
        tracing::info!(signal, "stopping");
    };
    let hurry = async {
        any.next().await;
        any.next().await
    };
    tokio::select! {
        ended = server::serve(bound, wired.routes, wired.tasks, stop, DRAIN) => ended.map_err(CliError::failure)?,
        signal = hurry => tracing::warn!(signal, "stopping at once"),
    }
    drop(wired.keep);
    tracing::info!("stopped");
    Ok(())
}

fn signals() -> Result<StopSignals, CliError> {
    StopSignals::listen().map_err(|error| CliError::failure(Problem::new(format!("cannot catch signals: {error}"))))
}

impl From<WiringError> for CliError {
    fn from(error: WiringError) -> Self {
        let exit = match error {
            WiringError::Unusable(_) => Exit::Usage,
            WiringError::Failed(_) => Exit::Failure,
        };
        Self::new(exit, error.into_problems())
    }
}
