//! What README.md and ARCHITECTURE.md name exists: folders, paths, tests.

use crate::manifest::dependencies;
use crate::{read, report, root, rust_files};

/// The first folders and files that README.md shows to a contributor.
const OF_THE_README: [&str; 9] = [
    "README.md",
    "Cargo.toml",
    "src/domain",
    "src/ports",
    "src/adapters",
    "src/app",
    "deploy",
    "tests/contract",
    "tests/fakes",
];

#[test]
fn every_folder_that_the_readme_names_exists() {
    let missing = OF_THE_README.iter().filter(|path| !root().join(path).exists());
    report(missing.map(|path| format!("{path}: missing")));
}

/// A guarantee whose test is gone is held by nothing.
#[test]
fn every_test_that_the_architecture_names_exists() {
    let text = read("ARCHITECTURE.md");
    let quoted = text.split('`').skip(1).step_by(2).filter_map(|name| name.rsplit("::").next());
    let crates: Vec<String> = dependencies(&read("Cargo.toml")).into_iter().map(|(name, _)| name).collect();
    let is_test = |name: &&str| {
        name.len() > 20
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            && !crates.iter().any(|known| known.replace('-', "_") == **name)
    };
    let named: Vec<&str> = quoted.filter(is_test).collect();
    assert!(named.len() > 10, "ARCHITECTURE.md was not understood: {named:?}");
    let sources: String = ["src", "tests"].into_iter().flat_map(rust_files).map(|file| read(&file)).collect();
    let missing = named.iter().filter(|name| !sources.contains(&format!("fn {name}(")));
    report(missing.map(|name| format!("ARCHITECTURE.md: no test is named {name}")));
}

#[test]
fn every_path_that_the_architecture_names_exists() {
    const FOLDERS: [&str; 7] = ["src/", "tests/", "docs/", "deploy/", "proto/", "scripts/", "examples/"];
    let text = read("ARCHITECTURE.md");
    let quoted = text.split('`').skip(1).step_by(2);
    let paths: Vec<&str> = quoted.filter(|path| FOLDERS.iter().any(|folder| path.starts_with(folder))).collect();
    assert!(paths.len() > 40, "ARCHITECTURE.md was not understood: {paths:?}");
    let missing = paths.iter().filter(|path| !root().join(path).exists());
    report(missing.map(|path| format!("ARCHITECTURE.md: {path} is missing")));
}
