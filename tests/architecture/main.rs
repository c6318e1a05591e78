//! Rules of the source tree, each held by a test: layers and their imports, dependencies of the core, documents, panics and
//! unsafe code, sizes of files and functions, circles of imports, words.
//!
//! With all features on, the compiler accepts a `tonic` type in the domain as in any other module. So Rust files are read as
//! tokens: every way to name an item counts (imports, inline paths, macro bodies), comments and strings do not.

#![allow(clippy::expect_used, clippy::panic, reason = "a file that cannot be read or parsed is a failed test")]

mod circles;
mod documents;
mod language;
mod layers;
mod manifest;
mod panics;
mod sizes;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Paths of a folder's entries, relative to the package, sorted; none if it is absent.
fn entries(folder: &str) -> Vec<String> {
    let listed = fs::read_dir(root().join(folder)).into_iter().flatten();
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    let relative = |path: &PathBuf| path.strip_prefix(root()).expect("below the root").display().to_string();
    paths.iter().map(relative).collect()
}

/// The files with this extension in a folder and in those below it, or the file itself.
fn files(scope: &str, extension: &str) -> Vec<String> {
    if root().join(scope).is_dir() {
        return entries(scope).iter().flat_map(|entry| files(entry, extension)).collect();
    }
    let is_one = root().join(scope).is_file() && Path::new(scope).extension().is_some_and(|found| found == extension);
    is_one.then(|| scope.to_owned()).into_iter().collect()
}

fn rust_files(scope: &str) -> Vec<String> {
    files(scope, "rs")
}

/// Fails with all violations at once, so that one run shows every place to change.
fn report(violations: impl IntoIterator<Item = String>) {
    let violations: Vec<String> = violations.into_iter().collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_module_begins_with_a_line_of_documentation() {
    let files = ["src", "tests", "benches", "examples"].into_iter().flat_map(rust_files);
    let bare = files.filter(|file| !read(file).starts_with("//! "));
    report(bare.map(|file| format!("{file}: begins without `//!`")));
}

#[test]
fn an_absent_folder_has_no_files() {
    assert_eq!(rust_files("src/no-such-folder"), [""; 0]);
    assert_eq!(rust_files("Cargo.toml"), [""; 0]);
    assert_eq!(rust_files("src/lib.rs"), ["src/lib.rs"]);
}
