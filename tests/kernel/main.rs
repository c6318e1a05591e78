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

#[path = "../fakes/mod.rs"]
mod fakes;
mod fuse;
mod gate;
mod hangs;
mod healthy;
mod kills;
mod load;
mod looks;
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

/// A test, or what keeps it from running here, which shows as ignored.
fn trial((name, test): &Test, hindrance: Option<&str>) -> Trial {
    let (name, test) = (name.trim_start_matches("kernel::"), *test);
    let Some(reason) = hindrance else {
        return Trial::test(name, move || {
            test();
            Ok(())
        });
    };
    let reason = reason.to_owned();
    Trial::test(format!("{name} ({reason})"), move || Err(reason.into())).with_ignored_flag(true)
}

fn main() -> ExitCode {
    if kills::is_victim() {
        kills::be_killed();
    }
    if hangs::is_measured() {
        hangs::be_measured();
        return ExitCode::SUCCESS;
    }
    let may_mount = Mode::detect() == Mode::Bind;
    let all = [gate::TESTS, hangs::TESTS, kills::TESTS, load::TESTS, looks::TESTS, sub_dirs::TESTS, unmounts::TESTS];
    let no_mounts = (!may_mount).then_some("this process may not mount; run as root or under unshare -rm");
    let no_fuse = || (!fuse::works()).then_some("this process may not use /dev/fuse");
    let fuse_hindrance = no_mounts.or_else(no_fuse);
    let plain = all.into_iter().flatten().map(|test| trial(test, no_mounts));
    let trials = plain.chain(fuse::TESTS.iter().map(|test| trial(test, fuse_hindrance)));
    // What compares times runs alone, before the rest.
    let (alone, together): (Vec<Trial>, Vec<Trial>) = trials.partition(|trial| trial.name().contains("_hurt_nobody_"));
    let arguments = Arguments::from_args();
    let one_by_one = Arguments { test_threads: Some(1), ..arguments.clone() };
    let failed = [(&one_by_one, alone), (&arguments, together)]
        .map(|(arguments, trials)| libtest_mimic::run(arguments, trials).has_failed());
    if failed.contains(&true) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
