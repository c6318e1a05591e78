//! `azurelustre-csi demo`: one claim's whole life on the embedded simulator, through the real gRPC server.
//!
//! A newcomer sees in half a minute what the driver does, and a user can try a `StorageClass`, a claim and
//! a pod before they cost anything. Every step is checked; the exit code is 0 only if all of them held.

mod calls;
mod manifests;
mod objects;
mod options;
mod quantity;
mod schema;
mod screen;
mod simulated_driver;
mod steps;
mod storage;
mod workload;

pub use options::DemoOptions;

use super::command_error::CommandError;
use super::settings::DEFAULT_DRIVER_NAME;
use super::shutdown::StopSignals;

/// Runs the demo. Ends with an error at the first step that fails.
pub async fn run(options: DemoOptions) -> Result<(), CommandError> {
    let manifests = manifests::Manifests::load(&options, DEFAULT_DRIVER_NAME)?;
    let mut screen = screen::Screen::new();
    let mut signals =
        StopSignals::listen().map_err(|error| CommandError::failed(format!("cannot catch signals: {error}")))?;
    let driver = simulated_driver::SimulatedDriver::set(&options).await?;
    // However the walk ends, by a signal too, nothing of it stays.
    let walked = tokio::select! {
        walked = steps::walk(&driver, &manifests, &mut screen) => walked,
        signal = signals.next() => Err(CommandError::failed(format!("stopped by {signal}"))),
    };
    if options.keep && walked.is_ok() {
        driver.show_calls(&screen);
        signals.next().await;
    }
    let cleared = driver.clear().await;
    walked.and(cleared)?;
    screen.title("Every step held, and nothing is left: no file system, no mount, no file, no socket.");
    Ok(())
}
