//! The contract tests: laws of the ports, run against every adapter that implements them.

mod harness;
mod mounter;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&arguments, mounter::trials()).exit_code()
}
