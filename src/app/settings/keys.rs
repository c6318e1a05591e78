//! Keys that code names beside the tables, and the flags that are no settings of their own.

use super::setting::{Form, Setting};

/// Which services run.
pub(super) const MODE: &str = "mode";
/// The node's name.
pub(super) const NODE_ID: &str = "nodeid";
/// Where file systems come from.
pub(super) const CLOUD: &str = "cloud";
/// The cloud settings file.
pub(super) const CLOUD_CONFIG: &str = "cloud-config";
/// How volumes are mounted.
pub(super) const MOUNTER: &str = "mounter";
/// What is logged.
pub(super) const LOG_LEVEL: &str = "log-level";
/// RPCs in progress to each OST.
pub(super) const OSC_MAX_RPCS_IN_FLIGHT: &str = "osc-max-rpcs-in-flight";
/// MiB of unwritten data for each OST.
pub(super) const OSC_MAX_DIRTY_MB: &str = "osc-max-dirty-mb";
/// RPCs in progress to each MDT.
pub(super) const MDC_MAX_RPCS_IN_FLIGHT: &str = "mdc-max-rpcs-in-flight";
/// Modifying RPCs in progress to each MDT.
pub(super) const MDC_MAX_MOD_RPCS_IN_FLIGHT: &str = "mdc-max-mod-rpcs-in-flight";
/// Which credentials for Azure are used.
pub(super) const AUTH: &str = "auth";
/// The client's version of `node-setup`.
pub(super) const CLIENT_VERSION: &str = "client-version";

/// Where the server listens.
pub const ENDPOINT: &str = "endpoint";
/// The driver's name.
pub const DRIVER_NAME: &str = "drivername";
/// Kubelet's directory.
pub const KUBELET_DIR: &str = "kubelet-dir";
/// Directory for private mounts.
pub const WORKING_MOUNT_DIR: &str = "working-mount-dir";

/// The name under which the driver registers by default.
pub const DEFAULT_DRIVER_NAME: &str = "azurelustre.csi.azure.com";

/// The settings file: a flag and a variable, no key of the file.
pub const CONFIG: Setting = Setting {
    key: "config",
    value_name: "FILE",
    help: "Settings file, TOML or YAML by its extension",
    default: None,
    form: Form::Text,
};
/// klog's verbosity: a flag only.
pub const VERBOSITY: Setting = Setting {
    key: "v",
    value_name: "N",
    help: "klog verbosity, also -v=N: from 4 on debug, from 6 on trace, unless a log level is given",
    default: None,
    form: Form::Text,
};
/// The Go driver's switch for a mounter without Lustre: a flag only.
pub const MOCK_MOUNT: Setting = Setting {
    key: "enable-azurelustre-mock-mount",
    value_name: "BOOL",
    help: "Mount by the simulator, as the Go driver's switch; =true only in builds that have it",
    default: None,
    form: Form::Boolean,
};
/// The Go driver's switch for a cloud without Azure: a flag only.
pub const MOCK_PROVISIONING: Setting = Setting {
    key: "enable-azurelustre-mock-dyn-prov",
    value_name: "BOOL",
    help: "Create in the simulator, as the Go driver's switch; =true only in builds that have it",
    default: None,
    form: Form::Boolean,
};
