//! The command `probe`: calls Probe of a running driver, for exec probes of pods that hold no other client.

#[cfg(feature = "kernel")]
use std::io::Write;
use std::time::Duration;

use super::{CommandError, ProbeOptions, serve};
use crate::app::settings::{Endpoint, ServeSettings, of_running_driver};
use crate::app::wiring::running_driver;
use crate::domain::problem::Problem;
#[cfg(feature = "kernel")]
use crate::ports::node_faults::NodeFault;

/// One line if the driver is ready; an error if it is not, or does not answer. Faults of its node go to stderr.
pub(super) fn run(options: &ProbeOptions) -> Result<String, CommandError> {
    let endpoint = of_running_driver(ServeSettings::ENDPOINT, options.endpoint.as_deref(), Endpoint::parse);
    let endpoint = endpoint.map_err(CommandError::usage)?;
    let seconds = options.timeout.parse().ok().filter(|seconds| (1..=600).contains(seconds));
    let limit = seconds.map(Duration::from_secs).ok_or_else(|| {
        let problem =
            Problem::new(format!("--timeout: `{}` is not a number of seconds", options.timeout.escape_debug()));
        CommandError::usage(problem.with_hint("give a whole number from 1 to 600"))
    })?;
    let hint = "check that it runs, with this --endpoint";
    let failed =
        |message: String| CommandError::failure(Problem::new(format!("{endpoint}: {message}")).with_hint(hint));
    serve::runtime()?.block_on(async {
        let answer = match tokio::time::timeout(limit, running_driver::probe(&endpoint)).await {
            Err(_) => Err(failed(format!("no answer within {} s", limit.as_secs()))),
            Ok(Err(message)) => Err(failed(message)),
            Ok(Ok(true)) => Ok("ready\n".to_owned()),
            Ok(Ok(false)) => {
                let problem = Problem::new(format!("{endpoint}: the driver is not ready"));
                Err(CommandError::failure(problem.with_hint("see its log, and `azurelustre-csi doctor node`")))
            }
        };
        #[cfg(feature = "kernel")]
        warn_of_faults(&endpoint, limit).await;
        answer
    })
}

/// Prints the faults of the driver's node to stderr. They do not change the exit code: kubelet would kill a driver that can
/// still unmount. A driver that serves no node reports none.
#[cfg(feature = "kernel")]
async fn warn_of_faults(endpoint: &Endpoint, limit: Duration) {
    let Ok(status) = running_driver::node_status(endpoint, limit).await else { return };
    for NodeFault { message, hint } in status.faults {
        // The exit code counts, also where stderr is closed.
        drop(writeln!(std::io::stderr(), "warning: {message}\nhint: {hint}"));
    }
}
