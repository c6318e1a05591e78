//! The flags of client tuning.

use clap::Args;

/// Tunables of the Lustre client that are set for each mount, as text.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct TuningFlags {
    /// RPCs in progress to each OST of a mount, 1 to 256 [default: the client's own, 8]
    #[arg(long, value_name = "N")]
    osc_max_rpcs_in_flight: Option<String>,
    /// MiB of unwritten data for each OST of a mount, 1 to 2047 [default: the client's own, 2000]
    #[arg(long, value_name = "MIB")]
    osc_max_dirty_mb: Option<String>,
    /// RPCs in progress to each MDT of a mount, 2 to 512 [default: the client's own, 8]
    #[arg(long, value_name = "N")]
    mdc_max_rpcs_in_flight: Option<String>,
    /// Modifying RPCs in progress to each MDT of a mount, fewer than all [default: the client's own, 7]
    #[arg(long, value_name = "N")]
    mdc_max_mod_rpcs_in_flight: Option<String>,
}

impl TuningFlags {
    /// The values in the order of the settings.
    pub(super) fn values(&self) -> [&Option<String>; 4] {
        [
            &self.osc_max_rpcs_in_flight,
            &self.osc_max_dirty_mb,
            &self.mdc_max_rpcs_in_flight,
            &self.mdc_max_mod_rpcs_in_flight,
        ]
    }
}
