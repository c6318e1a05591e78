//! `doctor node`: everything that Lustre on this node stands on, without a running driver.

use super::{CliError, DoctorOptions, Exit, print, serve};
use crate::app::problem::Problem;
use crate::app::wiring;
use crate::domain::mount_source::MgsAddress;

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
    let (text, healthy) = serve::runtime()?.block_on(wiring::node::report(options.mountinfo.clone(), mgs, json));
    print(&format!("{}\n", text.trim_end()))?;
    // The reasons are in the report; only the exit code is left to say.
    if healthy { Ok(()) } else { Err(CliError::new(Exit::Failure, Vec::new())) }
}
