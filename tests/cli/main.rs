//! The command line of the built binary: output and exit codes.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a test that cannot go on fails by panicking

mod check_config;
mod commands;
mod flags;

use std::path::Path;
use std::process::{Command, Output};

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run_with(environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_azurelustre-csi"));
    let Output { status, stdout, stderr } =
        command.env_clear().envs(environment.iter().copied()).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Cloud settings as AKS writes them.
const AZURE_JSON: (&str, &str) = ("AZURE_CONFIG_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/azure.json"));

fn run(arguments: &[&str]) -> Ran {
    run_with(&[AZURE_JSON], arguments)
}

/// The settings in effect, as `check-config` prints them.
fn settings(arguments: &[&str]) -> String {
    let ran = run(&[&["check-config", "--nodeid=n"], arguments].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    ran.stdout
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
