//! The command `doctor node`: a report of Lustre on this node, with the status of the running driver if one answers.

use std::time::Duration;

use super::{CommandError, DoctorOptions, Exit, print, serve};
use crate::app::settings::{Endpoint, ServeSettings, absolute_path, of_running_driver};
use crate::app::wiring::node::ReportRequest;
use crate::app::wiring::{self, running_driver};
use crate::domain::mount_source::MgsAddress;
use crate::domain::problem::Problem;

/// Time limit of the running driver's answer; it answers at once or not at all.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Prints the report; the exit code is 0 if the node is healthy.
pub(super) fn run(options: &DoctorOptions) -> Result<(), CommandError> {
    let usage = |message: String, hint: &str| CommandError::usage(Problem::new(message).with_hint(hint));
    let json = match options.output.as_str() {
        "text" => false,
        "json" => true,
        other => {
            let message = format!("--output: `{}` is neither `text` nor `json`", other.escape_debug());
            return Err(usage(message, "give one of the two"));
        }
    };
    let mgs = options.mgs.as_deref().map(MgsAddress::parse).transpose();
    let mgs = mgs.map_err(|error| usage(format!("--mgs: {error}"), "give an address such as 10.0.0.4"))?;
    let endpoint = of_running_driver(ServeSettings::ENDPOINT, options.endpoint.as_deref(), Endpoint::parse)
        .map_err(CommandError::usage)?;
    let directory = |key, flag: &Option<String>| {
        of_running_driver(key, flag.as_deref(), absolute_path).map_err(CommandError::usage)
    };
    let report = wiring::node::report(&ReportRequest {
        mountinfo: options.mountinfo.clone(),
        mgs,
        driver: serve::runtime()?.block_on(running_driver::node_status(&endpoint, ANSWER_LIMIT)),
        node_setup: wiring::node::last_setup(),
        driver_name: of_running_driver(ServeSettings::DRIVER_NAME, options.drivername.as_deref(), |name| {
            Ok(name.to_owned())
        })
        .map_err(CommandError::usage)?,
        kubelet_dir: directory(ServeSettings::KUBELET_DIR, &options.kubelet_dir)?,
        working_dir: directory(ServeSettings::WORKING_MOUNT_DIR, &options.working_mount_dir)?,
    });
    let text = if json {
        let failed =
            |error| CommandError::failure(Problem::new(format!("the report cannot be written as JSON: {error}")));
        report.json().map_err(failed)? + "\n"
    } else {
        report.to_string()
    };
    print(&text)?;
    // The reasons are in the report; only the exit code is left.
    if report.healthy { Ok(()) } else { Err(CommandError::new(Exit::Failure, Vec::new())) }
}
