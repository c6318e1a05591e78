//! The contract tests: laws of the ports, run against every adapter that implements them.
//!
//! Why a suite of its own: a fake that is friendlier than the real thing proves nothing. Each law is one function and
//! runs against every adapter; one that cannot run here, or a law that does not apply, shows as ignored with the reason,
//! never as passed.

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
