//! The contract tests: laws of the ports, run against every adapter that implements them.
//!
//! A fake that accepts more than the real adapter proves nothing. So each law is one function and runs against every adapter;
//! a law that cannot run here, or does not apply, is ignored with the reason, never passed.

mod clock;
mod cloud;
#[path = "../fakes/mod.rs"]
mod fakes;
mod harness;
mod mounter;
mod orchestrator;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let ports = [clock::trials(), cloud::trials(), mounter::trials(), orchestrator::trials()];
    libtest_mimic::run(&arguments, ports.into_iter().flatten().collect()).exit_code()
}
