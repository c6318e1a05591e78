//! Fetching, checking, unpacking and indexing the package of the client with the real tools of a Debian machine: apt-get,
//! dpkg-deb, gpg, depmod, modinfo, modprobe, rpm, cpio. The repository, its keys and the kernel modules are made by the tests.
//!
//! On a machine without a tool every test fails with the command that installs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed assertion is a failed test")]

mod apt;
mod contents;
mod faults;
mod modules;
mod node;
mod read_only;
mod repository;
mod rpm;
mod server;
mod tools;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A test and its name.
pub(crate) type Test = (&'static str, fn());

/// A list of tests from the functions that state them.
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        &[$((concat!(module_path!(), "::", stringify!($test)), $test)),+]
    };
}
pub(crate) use tests;

fn main() -> ExitCode {
    if let Some(root) = read_only::child_root() {
        read_only::run_child(&root);
        return ExitCode::SUCCESS;
    }
    let missing = tools::missing();
    let all = [apt::TESTS, contents::TESTS, faults::TESTS, read_only::TESTS, rpm::TESTS];
    let trial = |&(name, test): &Test| {
        let name = name.trim_start_matches("node_setup_packages::").to_owned();
        let missing = missing.clone();
        Trial::test(name, move || {
            if let Some(missing) = missing {
                return Err(Failed::from(missing));
            }
            test();
            Ok(())
        })
    };
    let trials = all.into_iter().flatten().map(trial).collect();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    tools::remove_shared_dirs();
    conclusion.exit_code()
}
