//! [`DemoOptions`]: the flags of `demo`.

use std::path::PathBuf;

use clap::Args;

/// How the demo runs.
#[derive(Debug, Clone, Default, Args)]
pub struct DemoOptions {
    /// Leave the server running at the end, and print its socket and example calls
    #[arg(long)]
    pub keep: bool,
    /// Use this `StorageClass` instead of the article's
    #[arg(long, value_name = "FILE")]
    pub storage_class: Option<PathBuf>,
    /// Use this claim instead of the article's
    #[arg(long, value_name = "FILE")]
    pub claim: Option<PathBuf>,
    /// Use this pod instead of the article's
    #[arg(long, value_name = "FILE")]
    pub pod: Option<PathBuf>,
    /// Walk through a volume on an existing file system instead of a new one
    #[arg(long = "static")]
    pub static_volume: bool,
    /// Simulated seconds per second [default: 600]
    #[arg(long, value_name = "N")]
    pub simulator_speed: Option<f64>,
    /// The simulator's regions, SKUs and networks [default: a built-in world]
    #[arg(long, value_name = "FILE")]
    pub simulator_world: Option<PathBuf>,
}
