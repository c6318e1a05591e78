//! `node-setup`: makes the Lustre client of a node ready, or prints the steps that this takes.

use super::{CliError, Exit, NodeSetupOptions, print};
use crate::app::problem::Problems;
use crate::app::settings::{Given, NodeSetupSettings, load_node_setup};
use crate::app::wiring::node_setup::{self, SetupFailure};

/// Runs node-setup. Progress goes to stderr, the result to stdout.
pub(super) fn run(options: &NodeSetupOptions) -> Result<(), CliError> {
    let settings = load_node_setup(&Given::with_process_environment(options.given()));
    let settings = settings.inspect_err(|problems| leave_problems(options, problems, None))?;
    let run = if options.dry_run { node_setup::dry_run } else { node_setup::run };
    let result = run(&settings);
    if let Err(SetupFailure::Settings(problems)) = &result {
        leave_problems(options, problems, Some(&settings));
    }
    print(&result?)
}

fn leave_problems(options: &NodeSetupOptions, problems: &Problems, settings: Option<&NodeSetupSettings>) {
    if !options.dry_run {
        node_setup::leave_problems(problems, settings);
    }
}

impl From<SetupFailure> for CliError {
    fn from(failure: SetupFailure) -> Self {
        match failure {
            SetupFailure::Settings(problems) => problems.into(),
            SetupFailure::NotReady { problem, exit } => Self::new(Exit::Code(exit.code()), vec![problem]),
        }
    }
}
