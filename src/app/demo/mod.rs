//! `azurelustre-csi demo`: one claim's whole life on the embedded simulator, through the real gRPC server.
//!
//! A newcomer sees in half a minute what the driver does, and a user can try a `StorageClass`, a claim and
//! a pod before they cost anything. Every step is checked; the exit code is 0 only if all of them held.

mod calls;
mod manifests;
mod objects;
mod quantity;
mod schema;
mod screen;
mod stage;
mod steps;
mod storage;
mod workload;

use super::cli::{CliError, DemoOptions, Exit};
use super::server::ServerError;
use super::settings::DEFAULT_DRIVER_NAME;
use super::shutdown::StopSignals;
use super::wiring::WiringError;
use crate::domain::problem::{Problem, Problems};

/// Why the demo ended early: a step that did not hold, or a stage that could not be set.
#[derive(Debug)]
struct DemoError(CliError);

impl DemoError {
    fn new(message: impl Into<String>) -> Self {
        Self(CliError::failure(Problem::new(message)))
    }

    /// Everything that is wrong with the user's files.
    fn in_files(problems: Vec<String>) -> Self {
        let hint = "give files that `kubectl apply` would take and that belong together, or none to see the examples";
        let last = problems.len().saturating_sub(1);
        let reported = problems.into_iter().enumerate().map(|(at, message)| {
            let problem = Problem::new(message);
            if at == last { problem.with_hint(hint) } else { problem }
        });
        Self(CliError::new(Exit::Usage, reported.collect()))
    }
}

impl From<Problems> for DemoError {
    fn from(problems: Problems) -> Self {
        Self(problems.into())
    }
}

impl From<WiringError> for DemoError {
    fn from(error: WiringError) -> Self {
        Self(error.into())
    }
}

impl From<ServerError> for DemoError {
    fn from(error: ServerError) -> Self {
        Self(CliError::failure(error))
    }
}

/// Runs the demo. Ends with an error at the first step that does not hold.
pub async fn run(options: DemoOptions) -> Result<(), CliError> {
    walk(&options).await.map_err(|error| error.0)
}

async fn walk(options: &DemoOptions) -> Result<(), DemoError> {
    let manifests = manifests::Manifests::load(options, DEFAULT_DRIVER_NAME)?;
    let mut screen = screen::Screen::new();
    let mut signals =
        StopSignals::listen().map_err(|error| DemoError::new(format!("cannot catch signals: {error}")))?;
    let stage = stage::Stage::set(options).await?;
    // However the walk ends, by a signal too, nothing of it stays.
    let walked = tokio::select! {
        walked = steps::walk(&stage, &manifests, &mut screen) => walked,
        signal = signals.next() => Err(DemoError::new(format!("stopped by {signal}"))),
    };
    if options.keep && walked.is_ok() {
        stage.show_calls(&screen);
        signals.next().await;
    }
    let cleared = stage.clear().await;
    walked.and(cleared)?;
    screen.title("Every step held, and nothing is left: no file system, no mount, no file, no socket.");
    Ok(())
}
