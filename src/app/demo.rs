//! The guided tour: the real server on the simulator, and a claim's life through it.
//!
//! Stub; the tour itself takes its place.

use super::cli::{CliError, DemoOptions};
use super::problem::Problem;

/// Walks a `StorageClass`, a claim and a pod through a driver of its own.
#[expect(clippy::unused_async, reason = "stub")]
pub async fn run(options: DemoOptions) -> Result<(), CliError> {
    drop(options);
    Err(CliError::failure(Problem::new("stub: the demo is not here yet")))
}
