//! The names of the settings. A flag is `--name`, a key of the file `name`, a variable `AZURELUSTRE_CSI_NAME`.

/// Which services run.
pub(super) const MODE: &str = "mode";
/// Where file systems come from.
pub(super) const CLOUD: &str = "cloud";
/// How volumes are mounted.
pub(super) const MOUNTER: &str = "mounter";
/// Simulated seconds per second.
pub(super) const SIMULATOR_SPEED: &str = "simulator-speed";
/// The simulator's world.
pub(super) const SIMULATOR_WORLD: &str = "simulator-world";
/// Where the server listens.
pub(super) const ENDPOINT: &str = "endpoint";
/// The node's name.
pub(super) const NODE_ID: &str = "nodeid";
/// The driver's name.
pub(super) const DRIVER_NAME: &str = "drivername";
/// Directory for private mounts.
pub(super) const WORKING_MOUNT_DIR: &str = "working-mount-dir";
/// Type of mounts.
pub(super) const FS_TYPE: &str = "mount-fs-type";
/// Kubelet's directory.
pub(super) const KUBELET_DIR: &str = "kubelet-dir";
/// Permissions of sub-directories.
pub(super) const SUB_DIR_MODE: &str = "sub-dir-mode";
/// Most mounts under way for one MGS.
pub(super) const MOUNTS_PER_MGS: &str = "mounts-per-mgs";
/// How long a mount is waited for.
pub(super) const MOUNT_TIMEOUT: &str = "mount-timeout";
/// How long an unmount is waited for.
pub(super) const UNMOUNT_TIMEOUT: &str = "unmount-timeout";
/// How long statfs is waited for.
pub(super) const STAT_TIMEOUT: &str = "stat-timeout";
/// RPCs in progress to each OST.
pub(super) const OSC_MAX_RPCS_IN_FLIGHT: &str = "osc-max-rpcs-in-flight";
/// MiB of unwritten data for each OST.
pub(super) const OSC_MAX_DIRTY_MB: &str = "osc-max-dirty-mb";
/// RPCs in progress to each MDT.
pub(super) const MDC_MAX_RPCS_IN_FLIGHT: &str = "mdc-max-rpcs-in-flight";
/// Modifying RPCs in progress to each MDT.
pub(super) const MDC_MAX_MOD_RPCS_IN_FLIGHT: &str = "mdc-max-mod-rpcs-in-flight";
/// What is done about keys of volumeAttributes that are nearly ours.
pub(super) const UNKNOWN_ATTRIBUTES: &str = "unknown-volume-attributes";
/// Whether the startup taint is removed.
pub(super) const REMOVE_TAINT: &str = "remove-not-ready-taint";
/// The cloud settings file.
pub(super) const CLOUD_CONFIG: &str = "cloud-config";
/// Who chooses the credentials for Azure.
pub(super) const AUTH: &str = "auth";
/// Form of log lines.
pub(super) const LOG_FORMAT: &str = "log-format";
/// What is logged.
pub(super) const LOG_LEVEL: &str = "log-level";

/// All settings, in the order of the help text.
pub const KEYS: [&str; 26] = [
    MODE,
    NODE_ID,
    ENDPOINT,
    CLOUD,
    CLOUD_CONFIG,
    AUTH,
    MOUNTER,
    WORKING_MOUNT_DIR,
    KUBELET_DIR,
    SUB_DIR_MODE,
    MOUNTS_PER_MGS,
    MOUNT_TIMEOUT,
    UNMOUNT_TIMEOUT,
    STAT_TIMEOUT,
    OSC_MAX_RPCS_IN_FLIGHT,
    OSC_MAX_DIRTY_MB,
    MDC_MAX_RPCS_IN_FLIGHT,
    MDC_MAX_MOD_RPCS_IN_FLIGHT,
    FS_TYPE,
    UNKNOWN_ATTRIBUTES,
    REMOVE_TAINT,
    DRIVER_NAME,
    SIMULATOR_SPEED,
    SIMULATOR_WORLD,
    LOG_LEVEL,
    LOG_FORMAT,
];

/// The settings file: a flag and a variable, no key of the file.
pub const CONFIG: &str = "config";
/// klog's verbosity: a flag only.
pub const VERBOSITY: &str = "v";
/// The Go driver's switch for a mounter without Lustre: a flag only.
pub const MOCK_MOUNT: &str = "enable-azurelustre-mock-mount";
/// The Go driver's switch for a cloud without Azure: a flag only.
pub const MOCK_PROVISIONING: &str = "enable-azurelustre-mock-dyn-prov";

/// The name under which the driver registers unless told otherwise.
pub const DEFAULT_DRIVER_NAME: &str = "azurelustre.csi.azure.com";

/// Where the server listens unless told otherwise.
pub const DEFAULT_ENDPOINT: &str = "unix:///tmp/csi.sock";

/// What counts where nobody says anything.
pub(super) const DEFAULTS: [(&str, &str); 18] = [
    (MODE, "all"),
    (CLOUD, "arm"),
    (AUTH, "auto"),
    (MOUNTER, "kernel"),
    (SIMULATOR_SPEED, "600"),
    (ENDPOINT, DEFAULT_ENDPOINT),
    (DRIVER_NAME, DEFAULT_DRIVER_NAME),
    (WORKING_MOUNT_DIR, "/tmp"),
    (KUBELET_DIR, "/var/lib/kubelet"),
    (SUB_DIR_MODE, "0775"),
    (MOUNTS_PER_MGS, "64"),
    (MOUNT_TIMEOUT, "90s"),
    (UNMOUNT_TIMEOUT, "30s"),
    (STAT_TIMEOUT, "20s"),
    (FS_TYPE, "lustre"),
    (UNKNOWN_ATTRIBUTES, "refuse"),
    (REMOVE_TAINT, "true"),
    (LOG_FORMAT, "text"),
];
