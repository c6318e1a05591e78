//! The one place that names concrete adapters: which of them stand behind the ports, as the settings ask.
//!
//! Why it exists: everything else is written against the ports, so that this file alone changes when an adapter arrives.

use std::any::Any;

use tonic::service::Routes;

use super::problem::Problem;
use super::settings::{CloudKind, MounterKind, Settings};

/// The driver, ready to be served.
#[derive(Debug)]
pub struct Wired {
    /// The CSI services.
    pub routes: Routes,
    /// Whatever must live as long as they do. Dropping it ends background work.
    pub keep: Box<dyn Any + Send>,
}

/// Why the driver cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// The settings ask for an adapter that this build does not have.
    #[error("{setting}: this build cannot {ability} yet")]
    Unavailable {
        /// The setting and its value, such as `--cloud=arm`.
        setting: &'static str,
        /// What the adapter would do.
        ability: &'static str,
        /// What to choose instead.
        hint: &'static str,
    },
    /// An adapter could not be made.
    #[error("{0}")]
    Failed(String),
}

impl From<WiringError> for Problem {
    fn from(error: WiringError) -> Self {
        let problem = Self::from_error(&error);
        match error {
            WiringError::Unavailable { hint, .. } => problem.with_hint(hint),
            WiringError::Failed(_) => problem,
        }
    }
}

/// Puts the driver together. It must be quick and wait for nothing outside the process: the socket is bound after it, and
/// what takes time belongs behind Probe.
#[expect(clippy::unused_async, reason = "stub: the adapters that need a runtime are wired when they arrive")]
pub async fn build(settings: &Settings) -> Result<Wired, WiringError> {
    check(settings)?;
    Err(WiringError::Failed("stub: the simulator is not wired yet".to_owned()))
}

/// Whether this build has every adapter that the settings need. A controller needs no mounter, a node no cloud.
fn check(settings: &Settings) -> Result<(), WiringError> {
    if settings.mode.has_controller() && settings.cloud == CloudKind::Arm {
        let hint = "say `--cloud simulator` to try the driver without Azure, in a build with the simulator";
        return Err(WiringError::Unavailable {
            setting: "--cloud=arm",
            ability: "talk to Azure Resource Manager",
            hint,
        });
    }
    if settings.mode.node_id().is_some() && settings.mounter == MounterKind::Kernel {
        let hint = "say `--mounter simulator` to try the driver without Lustre, in a build with the simulator";
        return Err(WiringError::Unavailable {
            setting: "--mounter=kernel",
            ability: "mount Lustre through the kernel",
            hint,
        });
    }
    Ok(())
}
