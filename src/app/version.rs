//! What this binary is and how it was built.
//!
//! Support requests begin with it, and scripts read the YAML of `--version` by the field names of the Go
//! driver. A plain `cargo build` knows neither commit nor date; image builds pass them in `BUILD_GIT_COMMIT`, `BUILD_DATE`
//! and `BUILD_RUSTC` while compiling.

use std::fmt;

/// What is printed where the build did not say.
const UNKNOWN: &str = "N/A";

/// Version of the driver, as CSI's `GetPluginInfo` and `--version` report it.
pub const DRIVER_VERSION: &str = env!("CARGO_PKG_VERSION");

/// All that is known about the build. `Display` is YAML, keys sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// The name under which the driver registers.
    pub driver_name: String,
}

impl fmt::Display for VersionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Build Date: {}", option_env!("BUILD_DATE").unwrap_or(UNKNOWN))?;
        writeln!(f, "Compiler: rustc")?;
        writeln!(f, "Driver Name: {}", self.driver_name)?;
        writeln!(f, "Driver Version: {DRIVER_VERSION}")?;
        writeln!(f, "Git Commit: {}", option_env!("BUILD_GIT_COMMIT").unwrap_or(UNKNOWN))?;
        writeln!(f, "Platform: {}", platform(std::env::consts::OS, std::env::consts::ARCH))?;
        writeln!(f, "Rust Version: {}", option_env!("BUILD_RUSTC").unwrap_or(UNKNOWN))
    }
}

/// Operating system and architecture as container images name them.
fn platform(os: &str, architecture: &str) -> String {
    let architecture = match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{os}/{architecture}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_named_as_images_are() {
        assert_eq!(platform("linux", "x86_64"), "linux/amd64");
        assert_eq!(platform("linux", "riscv64"), "linux/riscv64");
    }
}
