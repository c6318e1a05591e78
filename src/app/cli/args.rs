//! Commands and flags, and the help text that comes of them.
//!
//! Values of `serve`'s flags stay text here: the settings check them together with file and variables, so that all mistakes
//! are reported at once. No flag has a default here either, since an absent flag must not hide a variable.

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "kernel")]
use super::node_setup::{AFTER_HELP as AFTER_NODE_SETUP, NodeSetupOptions};
use super::setting_flags::{OfServe, OfSkus, SettingFlags};
#[cfg(feature = "simulator")]
use crate::app::demo::DemoOptions;
use crate::app::settings::DEFAULT_DRIVER_NAME;

const ABOUT: &str = "Kubernetes CSI driver for Azure Managed Lustre.\n\nWithout a command it runs `serve`.";

const AFTER_HELP: &str = "\
Flags may have one dash or two, and `=` or a blank before the value. Booleans: 1, t, true, 0, f, false; without a value,
true; a value needs `=`.

Settings come from, each over the one before: defaults; the file of --config, whose keys are the flags' names
(`log-level: debug`); variables, AZURELUSTRE_CSI_ and the flag's name in capitals (AZURELUSTRE_CSI_LOG_LEVEL); flags.

Exit codes: 0 done or stopped by a signal; 1 failed while running; 2 the command line or the settings are wrong, or ask
for what this build does not have. Errors go to stderr as `error:` and `hint:` lines, data to stdout.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "azurelustre-csi", about = ABOUT, after_help = AFTER_HELP)]
#[command(disable_version_flag = true, disable_help_subcommand = true, args_override_self = true)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `serve` where absent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `serve`.
    #[command(flatten)]
    pub flags: Flags,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the driver (the default)
    #[command(args_override_self = true, after_help = AFTER_HELP)]
    Serve(Box<Flags>),
    /// Check all settings and print those in effect with their sources; takes the flags of `serve`
    #[command(args_override_self = true, after_help = AFTER_HELP)]
    CheckConfig(Box<CheckOptions>),
    /// Print the SKUs of a region with throughput, size steps, largest size and zones
    #[command(args_override_self = true)]
    Skus(Box<SkusOptions>),
    /// Check StorageClasses and PersistentVolumes by the driver's rules; exit code 1 if one would be refused
    #[command(args_override_self = true)]
    CheckObjects(CheckObjectsOptions),
    /// Ask a running driver whether it is ready: one line, exit code 0 or 1; for exec probes
    #[command(args_override_self = true)]
    Probe(ProbeOptions),
    /// Examine what the driver depends on
    #[cfg(feature = "kernel")]
    Doctor(DoctorOptions),
    /// Make the Lustre client of this node ready: the init container of the node's pod
    #[cfg(feature = "kernel")]
    #[command(args_override_self = true, after_help = AFTER_NODE_SETUP)]
    NodeSetup(Box<NodeSetupOptions>),
    /// Print what this build is, as YAML
    Version,
    /// See a volume's life: the real server on the simulator, with progress on screen
    #[cfg(feature = "simulator")]
    #[command(args_override_self = true)]
    Demo(DemoOptions),
}

/// The flags of `serve`, as text.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Settings.
    #[command(flatten)]
    pub(super) settings: SettingFlags<OfServe>,
    /// Print what this build is, as YAML, and exit
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) version: Option<String>,
}

/// What is checked.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckOptions {
    /// Also ask Azure: get a token, list the region's SKUs, check the subnet, and say what is missing
    #[arg(long)]
    pub online: bool,
    /// The flags of `serve`.
    #[command(flatten)]
    pub flags: Flags,
}

/// Which SKUs are printed, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct SkusOptions {
    /// Region [default: `location` of the cloud settings]
    #[arg(long, short = 'L', value_name = "REGION")]
    pub location: Option<String>,
    /// Form of the output
    #[arg(long, short, value_name = "table|json", default_value = "table")]
    pub output: String,
    /// Settings.
    #[command(flatten)]
    pub(super) settings: SettingFlags<OfSkus>,
}

/// The arguments of `check-objects`.
#[derive(Debug, Clone, Args)]
pub struct CheckObjectsOptions {
    /// Files of Kubernetes objects, YAML or JSON, also lists as `kubectl get -o json` prints them; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Name of the driver; objects of others are passed over
    #[arg(long, value_name = "NAME", default_value = DEFAULT_DRIVER_NAME)]
    pub drivername: String,
}

/// Which driver is asked.
#[derive(Debug, Clone, Default, Args)]
pub struct ProbeOptions {
    /// Its socket: `unix:///path` or `tcp://host:port` [default: as of `serve`, `AZURELUSTRE_CSI_ENDPOINT`, else
    /// `unix:///tmp/csi.sock`]
    #[arg(long, value_name = "ENDPOINT")]
    pub endpoint: Option<String>,
    /// Seconds to wait for its answer
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    pub timeout: String,
}

/// What is reported.
#[cfg(feature = "kernel")]
#[derive(Debug, Clone, Args)]
pub struct DoctorOptions {
    /// `node`: module, LNet, mounts, connections, the way to each MGS, operations of a running driver if one answers
    #[arg(value_name = "node", value_parser = ["node"])]
    pub what: String,
    /// Form of the output
    #[arg(long, short, value_name = "text|json", default_value = "text")]
    pub output: String,
    /// Mounts to list; the host's from a container that sees its processes
    #[arg(long, value_name = "FILE", default_value = "/proc/self/mountinfo")]
    pub mountinfo: std::path::PathBuf,
    /// The running driver's socket: `unix:///path` or `tcp://host:port` [default: as of `serve`,
    /// `AZURELUSTRE_CSI_ENDPOINT`, else `unix:///tmp/csi.sock`]
    #[arg(long, value_name = "ENDPOINT")]
    pub endpoint: Option<String>,
    /// Name under which the driver registers, as of `serve`
    /// [default: `AZURELUSTRE_CSI_DRIVERNAME`, else `azurelustre.csi.azure.com`]
    #[arg(long, value_name = "NAME")]
    pub drivername: Option<String>,
    /// kubelet's directory, as of `serve`; counts where no driver answers
    /// [default: `AZURELUSTRE_CSI_KUBELET_DIR`, else `/var/lib/kubelet`]
    #[arg(long, value_name = "DIR")]
    pub kubelet_dir: Option<String>,
    /// Directory for private mounts, as of `serve`; counts where no driver answers
    /// [default: `AZURELUSTRE_CSI_WORKING_MOUNT_DIR`, else `/tmp`]
    #[arg(long, value_name = "DIR")]
    pub working_mount_dir: Option<String>,
    /// An MGS to try besides those of the mounts
    #[arg(long, value_name = "ADDRESS")]
    pub mgs: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::setting_flags::FlagSet;
    use super::*;

    #[test]
    fn every_setting_has_its_flag() {
        for setting in OfServe::settings() {
            let argument = format!("--{}=x", setting.key);
            let cli = Cli::try_parse_from(["azurelustre-csi", &argument]).unwrap();
            assert_eq!(cli.flags.settings.given, [(setting.key, "x".to_owned())]);
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
