//! The settings of `serve`: one entry each.

use std::path::PathBuf;
use std::time::Duration;

use super::cloud::CredentialSelection;
use super::endpoint::Endpoint;
use super::keys::{
    AUTH, CLOUD, CLOUD_CONFIG, DEFAULT_DRIVER_NAME, DRIVER_NAME, ENDPOINT, KUBELET_DIR, LOG_LEVEL,
    MDC_MAX_MOD_RPCS_IN_FLIGHT, MDC_MAX_RPCS_IN_FLIGHT, MODE, MOUNTER, NODE_ID, OSC_MAX_DIRTY_MB,
    OSC_MAX_RPCS_IN_FLIGHT, WORKING_MOUNT_DIR,
};
use super::table::table;
use super::values::{self, CloudKind, MounterKind, Services};
use crate::app::telemetry::{LogFilter, LogFormat};
use crate::domain::client_tuning::Tunable;
use crate::domain::go_bool::go_bool;
use crate::domain::volume_attributes::UnknownAttributes;

table! {
    /// The settings of `serve`, each checked alone. What several of them mean together is in [`super::Settings`].
    ServeSettings {
        services: Services = MODE, Text("controller|node|all"), ["all"], values::services,
            "CSI services to run [default: all with a node id, controller without]";
        node_id: String = NODE_ID, Text("NAME"), [], values::any,
            "The node's name in Kubernetes; needed for the modes node and all";
        endpoint: Endpoint = ENDPOINT, Text("ENDPOINT"), ["unix:///tmp/csi.sock"], Endpoint::parse,
            "Where to listen: `unix:///path` (also `unix:/path`, `/path`) or `tcp://host:port` [default: `unix:///tmp/csi.sock`]";
        cloud: CloudKind = CLOUD, Text("arm|simulator"), ["arm"], values::cloud,
            "Where file systems come from; the simulator only in builds that have it";
        cloud_config: PathBuf = CLOUD_CONFIG, Text("FILE"), [], values::any,
            "Cloud settings, JSON or YAML [default: `AZURE_CONFIG_FILE`, else `/etc/kubernetes/azure.json`, except for the simulator]";
        auth: CredentialSelection = AUTH, Text("auto|cli"), ["auto"], values::auth,
            "Credentials for Azure: what the cloud settings and the usual variables hold, or the Azure CLI's";
        mounter: MounterKind = MOUNTER, Text("kernel|simulator"), ["kernel"], values::mounter,
            "How volumes are mounted; the simulator only in builds that have it";
        working_mount_dir: PathBuf = WORKING_MOUNT_DIR, Text("DIR"), ["/tmp"], values::absolute,
            "Directory for private mounts";
        kubelet_dir: PathBuf = KUBELET_DIR, Text("DIR"), ["/var/lib/kubelet"], values::absolute,
            "Kubelet's directory as kubelet itself spells it";
        sub_dir_mode: u32 = "sub-dir-mode", Text("MODE"), ["0775"], values::permissions,
            "Permissions of sub-directories that are made, octal";
        mounts_per_mgs: usize = "mounts-per-mgs", Number("N"), ["64"], values::small_number,
            "Most mounts in progress at one time for one MGS";
        mount_timeout: Duration = "mount-timeout", Number("TIME"), ["90s"], values::duration,
            "How long a mount is waited for; it goes on, and the next call meets it";
        unmount_timeout: Duration = "unmount-timeout", Number("TIME"), ["30s"], values::duration,
            "How long an unmount runs before its servers are examined";
        stat_timeout: Duration = "stat-timeout", Number("TIME"), ["20s"], values::duration,
            "How long a statfs is waited for";
        osc_max_rpcs_in_flight: u32 = OSC_MAX_RPCS_IN_FLIGHT, Number("N"), [],
            values::tunable(Tunable::OscMaxRpcsInFlight),
            "RPCs in progress to each OST of a mount, 1 to 256 [default: the client's own, 8]";
        osc_max_dirty_mb: u32 = OSC_MAX_DIRTY_MB, Number("MIB"), [], values::tunable(Tunable::OscMaxDirtyMb),
            "MiB of unwritten data for each OST of a mount, 1 to 2047 [default: the client's own, 2000]";
        mdc_max_rpcs_in_flight: u32 = MDC_MAX_RPCS_IN_FLIGHT, Number("N"), [],
            values::tunable(Tunable::MdcMaxRpcsInFlight),
            "RPCs in progress to each MDT of a mount, 2 to 512 [default: the client's own, 8]";
        mdc_max_mod_rpcs_in_flight: u32 = MDC_MAX_MOD_RPCS_IN_FLIGHT, Number("N"), [],
            values::tunable(Tunable::MdcMaxModRpcsInFlight),
            "Modifying RPCs in progress to each MDT of a mount, fewer than all [default: the client's own, 7]";
        fs_type: String = "mount-fs-type", Text("TYPE"), ["lustre"], values::fs_type,
            "Type of the mounts; anything but lustre is for benchmarks and tests";
        unknown_attributes: UnknownAttributes = "unknown-volume-attributes", Text("refuse|warn"), ["refuse"],
            values::unknown_attributes,
            "What is done when a `volumeAttributes` key is nearly one of the driver's: refuse the mount, or warn";
        remove_not_ready_taint: bool = "remove-not-ready-taint", Boolean("BOOL"), ["true"], go_bool,
            "Remove the node's startup taint once the driver is ready";
        driver_name: String = DRIVER_NAME, Text("NAME"), [DEFAULT_DRIVER_NAME], values::driver_name,
            "Name under which the driver registers";
        simulator_speed: f64 = "simulator-speed", Number("N"), ["600"], values::speed,
            "Simulated seconds per second";
        simulator_world: PathBuf = "simulator-world", Text("FILE"), [], values::existing_file,
            "The simulator's regions, SKUs and networks [default: a built-in world]";
        log_filter: LogFilter = LOG_LEVEL, Text("LEVEL"), ["info"], LogFilter::parse,
            "off, error, warn, info, debug, trace, or directives such as `info,azurelustre_csi=debug`";
        log_format: LogFormat = "log-format", Text("text|json"), ["text"], values::log_format,
            "Form of log lines, which go to stderr";
    }
}
