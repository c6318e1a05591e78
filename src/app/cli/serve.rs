//! `serve`: runs the driver until a signal stops it.

use tokio::runtime::{Builder, Runtime};

use crate::app::command_error::CommandError;
use crate::app::server::{self, Bound, DRAIN};
use crate::app::settings::{Mode, Settings};
use crate::app::shutdown::StopSignals;
use crate::app::telemetry;
use crate::app::wiring;
use crate::domain::problem::Problem;

/// Runs the driver until SIGTERM or SIGINT. A second signal ends it without waiting for calls.
pub(super) fn serve(settings: &Settings) -> Result<(), CommandError> {
    telemetry::init(&settings.log()).map_err(|error| CommandError::failure(Problem::from_error(&error)))?;
    announce(settings);
    let runtime = runtime()?;
    let result = runtime.block_on(run(settings));
    // Threads that hang in the kernel must not hold the process.
    runtime.shutdown_background();
    result
}

/// Logs what an operator has to know about the settings in effect: one line each.
fn announce(settings: &Settings) {
    if settings.mode == Mode::ControllerByDefault {
        tracing::info!("neither --mode nor --nodeid is given: serving controller and identity; node calls are refused");
    }
    let cloud = &settings.cloud_settings;
    if !cloud.effective_values.is_empty() {
        let shown =
            cloud.effective_values.iter().map(|origin| format!("{} {} ({})", origin.key, origin.value, origin.source));
        tracing::info!("cloud settings: {}", shown.collect::<Vec<_>>().join(", "));
    }
    if let Some(reason) = cloud.reason_for_static_only() {
        tracing::warn!("only static volumes are served, and no file system can be created or deleted: {reason}");
    }
}

/// The runtime of all commands that need one: a single thread. The load is network and waiting, and nothing that blocks
/// runs on it. More threads would cost half a megabyte on every node, and calls that go back and forth between them.
pub(super) fn runtime() -> Result<Runtime, CommandError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CommandError::failed(format!("cannot start threads: {error}")))
}

async fn run(settings: &Settings) -> Result<(), CommandError> {
    let (mut first, mut any) = (signals()?, signals()?);
    let wired = wiring::build(settings)?;
    let bound = Bound::bind(&settings.values.endpoint).await.map_err(CommandError::failure)?;
    let stop = async {
        let signal = first.next().await;
        tracing::info!(signal, "stopping");
    };
    let hurry = async {
        any.next().await;
        any.next().await
    };
    tokio::select! {
        ended = server::serve(bound, wired.routes, wired.calls, stop, DRAIN) => ended.map_err(CommandError::failure)?,
        signal = hurry => tracing::warn!(signal, "stopping at once"),
    }
    drop(wired.guards);
    tracing::info!("stopped");
    Ok(())
}

fn signals() -> Result<StopSignals, CommandError> {
    StopSignals::listen().map_err(|error| CommandError::failed(format!("cannot catch signals: {error}")))
}
