//! Commands and flags, and the help text that comes of them.
//!
//! Values of `serve`'s flags stay text here: the settings judge them together with file and variables, so that all mistakes
//! are told at once. No flag has a default here either, since an absent flag must not hide a variable.

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "kernel")]
use super::node_setup::{AFTER_HELP as AFTER_NODE_SETUP, NodeSetupOptions};
use crate::app::settings::{CONFIG, DEFAULT_DRIVER_NAME, KEYS, MOCK_MOUNT, MOCK_PROVISIONING, VERBOSITY};

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
    /// Look at what the driver stands on
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
    /// CSI services to run [default: all with a node id, controller without]
    #[arg(long, value_name = "controller|node|all")]
    mode: Option<String>,
    /// The node's name in Kubernetes; needed for the modes node and all
    #[arg(long, value_name = "NAME")]
    nodeid: Option<String>,
    /// Where to listen: `unix:///path` (also `unix:/path`, `/path`) or `tcp://host:port` [default: `unix:///tmp/csi.sock`]
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<String>,
    /// Where file systems come from; the simulator only in builds that have it [default: arm]
    #[arg(long, value_name = "arm|simulator")]
    cloud: Option<String>,
    /// Cloud settings, JSON or YAML [default: `AZURE_CONFIG_FILE`, else `/etc/kubernetes/azure.json`, except for the simulator]
    #[arg(long, value_name = "FILE")]
    cloud_config: Option<String>,
    /// Credentials for Azure: what the cloud settings and the usual variables hold, or the Azure CLI's [default: auto]
    #[arg(long, value_name = "auto|cli")]
    auth: Option<String>,
    /// How volumes are mounted; the simulator only in builds that have it [default: kernel]
    #[arg(long, value_name = "kernel|simulator")]
    mounter: Option<String>,
    /// Directory for private mounts [default: /tmp]
    #[arg(long, value_name = "DIR")]
    working_mount_dir: Option<String>,
    /// Kubelet's directory as kubelet itself spells it [default: /var/lib/kubelet]
    #[arg(long, value_name = "DIR")]
    kubelet_dir: Option<String>,
    /// Permissions of sub-directories that are made, octal [default: 0775]
    #[arg(long, value_name = "MODE")]
    sub_dir_mode: Option<String>,
    /// Most mounts under way at one time for one MGS [default: 64]
    #[arg(long, value_name = "N")]
    mounts_per_mgs: Option<String>,
    /// How long a mount is waited for; it goes on, and the next call meets it [default: 90s]
    #[arg(long, value_name = "TIME")]
    mount_timeout: Option<String>,
    /// How long an unmount runs before its servers are examined [default: 30s]
    #[arg(long, value_name = "TIME")]
    unmount_timeout: Option<String>,
    /// How long a statfs is waited for [default: 20s]
    #[arg(long, value_name = "TIME")]
    stat_timeout: Option<String>,
    /// Type of the mounts; anything but lustre is for benchmarks and tests [default: lustre]
    #[arg(long, value_name = "TYPE")]
    mount_fs_type: Option<String>,
    /// What is done when a `volumeAttributes` key is nearly one of the driver's: refuse the mount, or warn [default: refuse]
    #[arg(long, value_name = "refuse|warn")]
    unknown_volume_attributes: Option<String>,
    /// Remove the node's startup taint once the driver is ready [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    remove_not_ready_taint: Option<String>,
    /// Name under which the driver registers [default: azurelustre.csi.azure.com]
    #[arg(long, value_name = "NAME")]
    pub(super) drivername: Option<String>,
    /// Simulated seconds per second [default: 600]
    #[arg(long, value_name = "N")]
    simulator_speed: Option<String>,
    /// The simulator's regions, SKUs and networks [default: a built-in world]
    #[arg(long, value_name = "FILE")]
    simulator_world: Option<String>,
    /// Settings file, TOML or YAML by its extension
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// off, error, warn, info, debug, trace, or directives such as `info,azurelustre_csi=debug` [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Form of log lines, which go to stderr [default: text]
    #[arg(long, value_name = "text|json")]
    log_format: Option<String>,
    /// klog verbosity, also -v=N: from 4 on debug, from 6 on trace, unless a log level is given
    #[arg(long, value_name = "N")]
    v: Option<String>,
    /// Mount by the simulator, as the Go driver's switch; =true only in builds that have it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_azurelustre_mock_mount: Option<String>,
    /// Create in the simulator, as the Go driver's switch; =true only in builds that have it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_azurelustre_mock_dyn_prov: Option<String>,
    /// Print what this build is, as YAML, and exit
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) version: Option<String>,
}

impl Flags {
    /// The flags that were given, by name.
    pub(super) fn given(&self) -> Vec<(&'static str, String)> {
        let settings = [
            &self.mode,
            &self.nodeid,
            &self.endpoint,
            &self.cloud,
            &self.cloud_config,
            &self.auth,
            &self.mounter,
            &self.working_mount_dir,
            &self.kubelet_dir,
            &self.sub_dir_mode,
            &self.mounts_per_mgs,
            &self.mount_timeout,
            &self.unmount_timeout,
            &self.stat_timeout,
            &self.mount_fs_type,
            &self.unknown_volume_attributes,
            &self.remove_not_ready_taint,
            &self.drivername,
            &self.simulator_speed,
            &self.simulator_world,
            &self.log_level,
            &self.log_format,
        ];
        let others = [
            (CONFIG, &self.config),
            (VERBOSITY, &self.v),
            (MOCK_MOUNT, &self.enable_azurelustre_mock_mount),
            (MOCK_PROVISIONING, &self.enable_azurelustre_mock_dyn_prov),
        ];
        let all = KEYS.into_iter().zip(settings).chain(others);
        all.filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

/// What is checked.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckOptions {
    /// Also ask Azure: get a token, list the region's SKUs, look at the subnet, and say what is missing
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
    /// Where the list comes from; the simulator only in builds that have it [default: arm]
    #[arg(long, value_name = "arm|simulator")]
    cloud: Option<String>,
    /// Cloud settings, JSON or YAML [default: `AZURE_CONFIG_FILE`, else `/etc/kubernetes/azure.json`]
    #[arg(long, value_name = "FILE")]
    cloud_config: Option<String>,
    /// Credentials for Azure: what the cloud settings and the usual variables hold, or the Azure CLI's [default: auto]
    #[arg(long, value_name = "auto|cli")]
    auth: Option<String>,
    /// The simulator's regions, SKUs and networks [default: a built-in world]
    #[arg(long, value_name = "FILE")]
    simulator_world: Option<String>,
    /// Settings file, TOML or YAML by its extension
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
}

impl SkusOptions {
    /// The same as flags of a controller.
    pub(super) fn flags(&self) -> Flags {
        Flags {
            mode: Some("controller".to_owned()),
            cloud: self.cloud.clone(),
            cloud_config: self.cloud_config.clone(),
            auth: self.auth.clone(),
            simulator_world: self.simulator_world.clone(),
            config: self.config.clone(),
            ..Flags::default()
        }
    }
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

/// What is looked at.
#[cfg(feature = "kernel")]
#[derive(Debug, Clone, Args)]
pub struct DoctorOptions {
    /// `node`: module, LNet, mounts, connections, the way to each MGS, operations of a running driver if one answers
    #[arg(value_name = "node", value_parser = ["node"])]
    pub what: String,
    /// Form of the output
    #[arg(long, short, value_name = "text|json", default_value = "text")]
    pub output: String,
    /// Mounts to look at; the host's from a container that sees its processes
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
    pub kubelet_dir: Option<std::path::PathBuf>,
    /// Directory for private mounts, as of `serve`; counts where no driver answers
    /// [default: `AZURELUSTRE_CSI_WORKING_MOUNT_DIR`, else `/tmp`]
    #[arg(long, value_name = "DIR")]
    pub working_mount_dir: Option<std::path::PathBuf>,
    /// An MGS to try besides those of the mounts
    #[arg(long, value_name = "ADDRESS")]
    pub mgs: Option<String>,
}

/// How the demo runs.
#[cfg(feature = "simulator")]
#[derive(Debug, Clone, Default, Args)]
pub struct DemoOptions {
    /// Leave the server running at the end, and print its socket and example calls
    #[arg(long)]
    pub keep: bool,
    /// Use this `StorageClass` instead of the article's
    #[arg(long, value_name = "FILE")]
    pub storage_class: Option<std::path::PathBuf>,
    /// Use this claim instead of the article's
    #[arg(long, value_name = "FILE")]
    pub claim: Option<std::path::PathBuf>,
    /// Use this pod instead of the article's
    #[arg(long, value_name = "FILE")]
    pub pod: Option<std::path::PathBuf>,
    /// Walk through a volume on an existing file system instead of a new one
    #[arg(long = "static")]
    pub static_volume: bool,
    /// Simulated seconds per second [default: 600]
    #[arg(long, value_name = "N")]
    pub simulator_speed: Option<f64>,
    /// The simulator's regions, SKUs and networks [default: a built-in world]
    #[arg(long, value_name = "FILE")]
    pub simulator_world: Option<std::path::PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_setting_has_its_flag() {
        let all = KEYS.into_iter().chain([CONFIG, VERBOSITY, MOCK_MOUNT, MOCK_PROVISIONING]);
        for name in all {
            let argument = format!("--{name}=x");
            let cli = Cli::try_parse_from(["azurelustre-csi", &argument]).unwrap();
            assert_eq!(cli.flags.given(), [(name, "x".to_owned())]);
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
