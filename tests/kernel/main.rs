//! The kernel adapter where it hurts: calls that hang, servers that die, links that tenants plant, a driver that is killed.
//!
//! Most run on a kernel whose Lustre is a tree of directories, see `fakes/lustre.rs`; mounts and unmounts are real. A test
//! that cannot run here, because the process may not mount, shows as ignored, never as passed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::clone_on_ref_ptr,
    clippy::too_many_lines,
    reason = "what cannot go on is a failed test"
)]

mod crowds;
#[path = "../fakes/mod.rs"]
mod fakes;
mod fuse;

mod hangs;
mod kills;
mod load;
mod mgs_limit;
mod mount_records;
mod observations;
mod propagation;
mod silence;
mod sub_dirs;
mod unmounts;
mod world;

use std::process::ExitCode;

use azurelustre_csi::adapters::simulator::lustre::Mode;
use libtest_mimic::{Arguments, Trial};

/// A test and its name.
pub(crate) type Test = (&'static str, fn());

/// A list of tests from the functions that state them; async ones get a runtime of their own.
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        &[$((concat!(module_path!(), "::", stringify!($test)), || $crate::world::run($test()))),+]
    };
}
pub(crate) use tests;

fn main() -> ExitCode {
    if kills::is_victim() {
        kills::be_killed();
    }
    if crowds::is_measured() {
        crowds::be_measured();
        return ExitCode::SUCCESS;
    }
    let unmountable = (Mode::detect() != Mode::Bind)
        .then(|| "this process may not mount; run as root or under unshare -rm".to_owned());
    let no_fuse = unmountable.clone().or_else(fuse::Fuse::unavailable);
    let common = [
        crowds::TESTS,
        mgs_limit::TESTS,
        hangs::TESTS,
        kills::TESTS,
        mount_records::TESTS,
        load::TESTS,
        observations::TESTS,
        propagation::TESTS,
        sub_dirs::TESTS,
        unmounts::TESTS,
    ];
    let of_fuse = [crowds::FUSE_TESTS, silence::TESTS];
    let common = common.into_iter().flatten().map(|test| trial(test, unmountable.as_deref()));
    let of_fuse = of_fuse.into_iter().flatten().map(|test| trial(test, no_fuse.as_deref()));
    // What compares times runs alone, before the rest.
    let (alone, together): (Vec<Trial>, Vec<Trial>) =
        common.chain(of_fuse).partition(|trial| trial.name().contains("slow_nobody_down"));
    let arguments = Arguments::from_args();
    let one_by_one = Arguments { test_threads: Some(1), ..arguments.clone() };
    let failed = [(&one_by_one, alone), (&arguments, together)]
        .map(|(arguments, trials)| libtest_mimic::run(arguments, trials).has_failed());
    if failed.contains(&true) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// One that cannot run here, for this reason, shows as ignored.
fn trial(&(name, test): &Test, unavailable: Option<&str>) -> Trial {
    let name = name.trim_start_matches("kernel::");
    let Some(reason) = unavailable.map(str::to_owned) else {
        return Trial::test(name, move || {
            test();
            Ok(())
        });
    };
    Trial::test(format!("{name} ({reason})"), move || Err(reason.into())).with_ignored_flag(true)
}
