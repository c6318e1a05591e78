//! `node-setup`: makes the Lustre client of a node ready, or prints the steps that this takes.

use super::{CliError, Exit, NodeSetupOptions, print};
use crate::app::settings::{Given, load_node_setup};
use crate::app::wiring::node_setup::{self, SetupFailure};

/// Runs node-setup. Progress goes to stderr, the result to stdout.
pub(super) fn run(options: &NodeSetupOptions) -> Result<(), CliError> {
    let settings = load_node_setup(&Given::with_process_environment(options.given()))?;
    let run = if options.dry_run { node_setup::dry_run } else { node_setup::run };
    print(&run(&settings)?)
}

impl From<SetupFailure> for CliError {
    fn from(failure: SetupFailure) -> Self {
        match failure {
            SetupFailure::Settings(problems) => problems.into(),
            SetupFailure::NotReady { problem, exit } => Self::new(Exit::Code(exit.code()), vec![problem]),
        }
    }
}
