//! [`ServeSettings`]: the settings of `serve`, one entry each.

use std::path::PathBuf;
use std::time::Duration;

use super::cloud::CredentialSelection;
use super::endpoint::Endpoint;
use super::table::table;
use super::values::{self, CloudKind, MounterKind, Services};
use crate::app::telemetry::{LogFilter, LogFormat};
use crate::domain::client_tuning::Tunable;
use crate::domain::go_bool::go_bool;
use crate::domain::volume_attributes::UnknownAttributes;

/// The name under which the driver registers by default.
pub const DEFAULT_DRIVER_NAME: &str = "azurelustre.csi.azure.com";

table! {
    /// The settings of `serve`, each checked alone. Values of several settings together are in [`super::Settings`].
    ServeSettings {
        services: Services = MODE "mode", Text("controller|node|all"), ["all"], values::services,
            "CSI services to run [default: all with a node id, controller without]";
        node_id: String = NODE_ID "nodeid", Text("NAME"), [], values::text,
            "The node's name in Kubernetes; needed for the modes node and all";
        endpoint: Endpoint = ENDPOINT "endpoint", Text("ENDPOINT"), ["unix:///tmp/csi.sock"], Endpoint::parse,
            "Where to listen: `unix:///path` (also `unix:/path`, `/path`) or `tcp://host:port` [default: `unix:///tmp/csi.sock`]";
        cloud: CloudKind = CLOUD "cloud", Text("arm|simulator"), ["arm"], values::cloud,
            "Where file systems come from; the simulator only in builds that have it";
        cloud_config: PathBuf = CLOUD_CONFIG "cloud-config", Text("FILE"), [], values::text,
            "Cloud settings, JSON or YAML [default: `AZURE_CONFIG_FILE`, else `/etc/kubernetes/azure.json`, except for the simulator]";
        auth: CredentialSelection = AUTH "auth", Text("auto|cli"), ["auto"], values::auth,
            "Credentials for Azure: what the cloud settings and the usual variables hold, or the Azure CLI's";
        mounter: MounterKind = MOUNTER "mounter", Text("kernel|simulator"), ["kernel"], values::mounter,
            "How volumes are mounted; the simulator only in builds that have it";
        working_mount_dir: PathBuf = WORKING_MOUNT_DIR "working-mount-dir", Text("DIR"), ["/tmp"], values::absolute,
            "Directory for private mounts";
        kubelet_dir: PathBuf = KUBELET_DIR "kubelet-dir", Text("DIR"), ["/var/lib/kubelet"], values::absolute,
            "Kubelet's directory as kubelet itself spells it";
        sub_dir_mode: u32 = "sub-dir-mode", Text("MODE"), ["0775"], values::permissions,
            "Permissions of sub-directories that are made, octal";
        mounts_per_mgs: usize = "mounts-per-mgs", Number("N"), ["64"], values::whole_number(1..=1000),
            "Most mounts in progress at one time for one MGS";
        mount_timeout: Duration = "mount-timeout", Number("TIME"), ["90s"], values::duration,
            "How long a call waits for a mount; the mount continues, and the next call finds it";
        unmount_timeout: Duration = "unmount-timeout", Number("TIME"), ["30s"], values::duration,
            "How long an unmount runs before its servers are examined";
        stat_timeout: Duration = "stat-timeout", Number("TIME"), ["20s"], values::duration,
            "How long a statfs is waited for";
        osc_max_rpcs_in_flight: u32 = "osc-max-rpcs-in-flight", Number("N"), [],
            values::tunable(Tunable::OscMaxRpcsInFlight),
            "RPCs in progress to each OST of a mount, 1 to 256 [default: the client's own, 8]";
        osc_max_dirty_mb: u32 = "osc-max-dirty-mb", Number("MIB"), [], values::tunable(Tunable::OscMaxDirtyMb),
            "MiB of unwritten data for each OST of a mount, 1 to 2047 [default: the client's own, 2000]";
        mdc_max_rpcs_in_flight: u32 = "mdc-max-rpcs-in-flight", Number("N"), [],
            values::tunable(Tunable::MdcMaxRpcsInFlight),
            "RPCs in progress to each MDT of a mount, 2 to 512 [default: the client's own, 8]";
        mdc_max_mod_rpcs_in_flight: u32 = "mdc-max-mod-rpcs-in-flight", Number("N"), [],
            values::tunable(Tunable::MdcMaxModRpcsInFlight),
            "Modifying RPCs in progress to each MDT of a mount, fewer than all [default: the client's own, 7]";
        fs_type: String = "mount-fs-type", Text("TYPE"), ["lustre"], values::fs_type,
            "Type of the mounts; anything but lustre is for benchmarks and tests";
        unknown_attributes: UnknownAttributes = "unknown-volume-attributes", Text("refuse|warn"), ["refuse"],
            values::unknown_attributes,
            "What is done when a `volumeAttributes` key is nearly one of the driver's: refuse the mount, or warn";
        remove_not_ready_taint: bool = "remove-not-ready-taint", Boolean("BOOL"), ["true"], go_bool,
            "Remove the node's startup taint once the driver is ready";
        driver_name: String = DRIVER_NAME "drivername", Text("NAME"), [DEFAULT_DRIVER_NAME], values::driver_name,
            "Name under which the driver registers";
        simulator_speed: f64 = "simulator-speed", Number("N"), ["600"], values::speed,
            "Simulated seconds per second";
        simulator_world: PathBuf = "simulator-world", Text("FILE"), [], values::existing_file,
            "The simulator's regions, SKUs and networks [default: a built-in world]";
        log_filter: LogFilter = LOG_LEVEL "log-level", Text("LEVEL"), ["info"], LogFilter::parse,
            "off, error, warn, info, debug, trace, or directives such as `info,azurelustre_csi=debug`";
        log_format: LogFormat = "log-format", Text("text|json"), ["text"], values::log_format,
            "Form of log lines, which go to stderr";
    }
}
