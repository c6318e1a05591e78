//! `probe`: asks a running driver whether it is ready, for exec probes of pods that hold no other client.

use std::time::Duration;

use super::{CliError, ProbeOptions, serve};
use crate::app::problem::Problem;
use crate::app::settings::{DEFAULT_ENDPOINT, Endpoint};
use crate::app::wiring::ask;

/// One line if the driver is ready; an error if it is not, or does not answer.
pub(super) fn ask(options: &ProbeOptions) -> Result<String, CliError> {
    let endpoint = Endpoint::parse(options.endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT));
    let endpoint = endpoint.map_err(|problem| CliError::usage(problem.at("--endpoint")))?;
    let seconds = options.timeout.parse().ok().filter(|seconds| (1..=600).contains(seconds));
    let limit = seconds.map(Duration::from_secs).ok_or_else(|| {
        let problem = Problem::new(format!("--timeout: `{}` is no number of seconds", options.timeout.escape_debug()));
        CliError::usage(problem.with_hint("give a whole number from 1 to 600"))
    })?;
    let hint = "is it running, with this --endpoint?";
    let failed = |message: String| CliError::failure(Problem::new(format!("{endpoint}: {message}")).with_hint(hint));
    serve::runtime()?.block_on(async {
        match tokio::time::timeout(limit, ask::probe(&endpoint)).await {
            Err(_) => Err(failed(format!("no answer within {} s", limit.as_secs()))),
            Ok(Err(message)) => Err(failed(message)),
            Ok(Ok(true)) => Ok("ready\n".to_owned()),
            Ok(Ok(false)) => {
                let problem = Problem::new(format!("{endpoint}: the driver is not ready"));
                Err(CliError::failure(problem.with_hint("its log, and `azurelustre-csi doctor node`, say why")))
            }
        }
    })
}
