//! `doctor node`: a report of Lustre on this node, with what a running driver reports about itself if one answers.

use std::path::PathBuf;
use std::time::Duration;

use super::{CliError, DoctorOptions, Exit, print, probe, serve};
use crate::app::problem::Problem;
use crate::app::settings::{DEFAULT_DRIVER_NAME, PREFIX};
use crate::app::wiring::node::ReportRequest;
use crate::app::wiring::{self, ask};
use crate::domain::mount_source::MgsAddress;

/// How long the running driver may take to answer; it answers at once or not at all.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Prints the report; the exit code says whether the node is healthy.
pub(super) fn node(options: &DoctorOptions) -> Result<(), CliError> {
    let usage = |message: String, hint: &str| CliError::usage(Problem::new(message).with_hint(hint));
    let json = match options.output.as_str() {
        "text" => false,
        "json" => true,
        other => {
            let message = format!("--output: `{}` is neither text nor json", other.escape_debug());
            return Err(usage(message, "use one of these"));
        }
    };
    let mgs = options.mgs.as_deref().map(MgsAddress::parse).transpose();
    let mgs = mgs.map_err(|error| usage(format!("--mgs: {error}"), "give an address such as 10.0.0.4"))?;
    let endpoint = probe::endpoint(options.endpoint.as_deref())?;
    let driver = serve::runtime()?.block_on(ask::node_status(&endpoint, ANSWER_LIMIT));
    let request = ReportRequest {
        mountinfo: options.mountinfo.clone(),
        mgs,
        driver,
        driver_name: driver_name(options.drivername.as_deref()),
        kubelet_dir: directory("--kubelet-dir", options.kubelet_dir.as_ref(), "KUBELET_DIR", "/var/lib/kubelet")?,
        working_dir: directory("--working-mount-dir", options.working_mount_dir.as_ref(), "WORKING_MOUNT_DIR", "/tmp")?,
        json,
    };
    let (text, healthy) = wiring::node::report(request);
    print(&format!("{}\n", text.trim_end()))?;
    // The reasons are in the report; the exit code is all that is left to say.
    if healthy { Ok(()) } else { Err(CliError::new(Exit::Failure, Vec::new())) }
}

/// The driver's name as the flag says, else as the driver's variable in the same pod does.
fn driver_name(given: Option<&str>) -> String {
    let variable = std::env::var(format!("{PREFIX}DRIVERNAME")).ok().filter(|name| !name.is_empty());
    given.map(str::to_owned).or(variable).unwrap_or_else(|| DEFAULT_DRIVER_NAME.to_owned())
}

/// A directory as the flag says, else as the driver's variable in the same pod does.
fn directory(flag: &str, given: Option<&PathBuf>, variable: &str, default: &str) -> Result<PathBuf, CliError> {
    let variable = std::env::var_os(format!("{PREFIX}{variable}")).filter(|value| !value.is_empty());
    let directory = given.cloned().or(variable.map(PathBuf::from)).unwrap_or_else(|| PathBuf::from(default));
    if directory.is_absolute() {
        return Ok(directory);
    }
    let problem = Problem::new(format!("{flag}: `{}` is not an absolute path", directory.display()));
    Err(CliError::usage(problem.with_hint("begin it with /")))
}
