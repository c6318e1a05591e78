//! The driver's process. Everything is in the library, so that tests and other programs can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    azurelustre_csi::app::cli::run(std::env::args_os())
}
