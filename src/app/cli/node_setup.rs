//! `node-setup`: makes the Lustre client of a node ready, or prints the steps that this takes.

use clap::Args;

use super::setting_flags::{OfNodeSetup, SettingFlags};
use super::{CommandError, print};
use crate::app::settings::{RawSettings, load_node_setup};
use crate::app::wiring::node_setup;
use crate::domain::problem::Problems;

pub(super) const AFTER_HELP: &str = "\
Settings come from, each over the one before: defaults; the file of --config, whose keys are the flags' names; variables,
AZURELUSTRE_CSI_ and the flag's name in capitals (AZURELUSTRE_CSI_REPLACE_CLIENT); flags. The Go driver's LUSTRE_VERSION
and CLIENT_SHA_SUFFIX are read too; http_proxy, https_proxy and no_proxy are passed to the package tools.

Exit codes: 0 ready; 1 the next try may succeed (network, package not published yet); 2 a setting is wrong; 3 the node has
to be changed by hand (signature, Secure Boot, operating system, architecture). The result is also the container's
termination message, and is written to /var/lib/azurelustre-csi/node-setup.json for `doctor node`.";

/// Options of `node-setup`.
#[derive(Debug, Clone, Default, Args)]
pub struct NodeSetupOptions {
    /// Print each step with its command and its reason, and do nothing; exit code 0 if a plan can be made
    #[arg(long)]
    pub dry_run: bool,
    /// Settings.
    #[command(flatten)]
    settings: SettingFlags<OfNodeSetup>,
}

/// Runs node-setup. Progress goes to stderr, the result to stdout.
pub(super) fn run(options: &NodeSetupOptions) -> Result<(), CommandError> {
    let loaded = load_node_setup(&RawSettings::with_process_environment(options.settings.given.clone()));
    let publish = |problems: &Problems| {
        if !options.dry_run {
            node_setup::publish_problems(problems, None);
        }
    };
    let (settings, notes) = loaded.inspect_err(publish)?;
    let run = if options.dry_run { node_setup::dry_run } else { node_setup::run };
    print(&run(&settings, &notes)?)
}
