//! `node-setup`: makes the Lustre client of a node ready, or prints the steps that this takes.

use clap::Args;

use super::{CliError, Exit, print};
use crate::app::problem::Problems;
use crate::app::settings::{Given, NODE_SETUP_KEYS, NodeSetupSettings, load_node_setup};
use crate::app::wiring::node_setup::{self, SetupFailure};

pub(super) const AFTER_HELP: &str = "\
Settings come from, each over the one before: defaults; variables, AZURELUSTRE_CSI_ and the flag's name in capitals
(AZURELUSTRE_CSI_REPLACE_CLIENT); flags. The Go driver's LUSTRE_VERSION and CLIENT_SHA_SUFFIX are read too; http_proxy,
https_proxy and no_proxy are handed to the package tools.

Exit codes: 0 ready; 1 the next try may succeed (network, package not published yet); 2 a setting is wrong; 3 the node
needs a human (signature, Secure Boot, operating system, architecture). The result also goes to the container's
termination message, and to /var/lib/azurelustre-csi/node-setup.json for `doctor node`.";

/// How a node is made ready, as text.
#[derive(Debug, Clone, Default, Args)]
pub struct NodeSetupOptions {
    /// Print each step with its command and its reason, and do nothing; exit code 0 if a plan can be made
    #[arg(long)]
    pub dry_run: bool,
    /// A directory in the place of the host's root: nothing is chrooted, programs come from PATH, facts from files below it
    /// [default: /host, chrooted]
    #[arg(long, value_name = "DIR")]
    host_root: Option<String>,
    /// Version of the client, for all or by operating system: `jammy=2.15.8-39-g2d32b59,noble=2.17.0-24-gf517bc4`
    /// [default: built in for jammy, noble and azurelinux3]
    #[arg(long, value_name = "VERSION")]
    client_version: Option<String>,
    /// Fetch the client's modules if they are not on the node; with no, only what is there is loaded [default: yes]
    #[arg(long, value_name = "yes|no")]
    install_lustre_client: Option<String>,
    /// Interfaces of LNet: that of the default route, all of the VM's, or these [default: auto]
    #[arg(long, value_name = "auto|all|NAMES")]
    lnet_interfaces: Option<String>,
    /// What is done about a loaded client of another version: replace it while nothing uses it, or keep it until the node is
    /// rebooted [default: idle]
    #[arg(long, value_name = "idle|never")]
    replace_client: Option<String>,
    /// Mirror of the package repository [default: Microsoft's]
    #[arg(long, value_name = "URL")]
    package_url: Option<String>,
    /// Further OpenPGP keys that may sign packages
    #[arg(long, value_name = "FILE")]
    package_key_file: Option<String>,
    /// SHA-256 of a `.deb` in `/var/lib/azurelustre-csi/packages`, which is then used
    #[arg(long, value_name = "HEX")]
    package_sha256: Option<String>,
    /// Parameter `ptlrpcd_per_cpt_max` of module ptlrpc [default: the client's]
    #[arg(long, value_name = "N")]
    ptlrpcd_per_cpt_max: Option<String>,
    /// Parameter `credits` of module ksocklnd [default: the client's]
    #[arg(long, value_name = "N")]
    ksocklnd_credits: Option<String>,
    /// How LNet is configured; simulated only in builds that have the simulator [default: ioctl]
    #[arg(long, value_name = "ioctl|simulated")]
    lnet: Option<String>,
    /// Where the result is left for Kubernetes [default: /dev/termination-log]
    #[arg(long, value_name = "FILE")]
    termination_message_path: Option<String>,
}

impl NodeSetupOptions {
    /// The flags that were given, by name.
    pub(super) fn given(&self) -> Vec<(&'static str, String)> {
        let values = [
            &self.host_root,
            &self.client_version,
            &self.install_lustre_client,
            &self.lnet_interfaces,
            &self.replace_client,
            &self.package_url,
            &self.package_key_file,
            &self.package_sha256,
            &self.ptlrpcd_per_cpt_max,
            &self.ksocklnd_credits,
            &self.lnet,
            &self.termination_message_path,
        ];
        let all = NODE_SETUP_KEYS.into_iter().zip(values);
        all.filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

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
