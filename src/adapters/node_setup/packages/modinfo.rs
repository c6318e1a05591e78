//! Fields of module files by modinfo(8): `-F FIELD` prints a line for each value, in the order of the files.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::adapters::node_setup::tools::{Invocation, Output};

/// The run that prints `field` of these files.
pub(super) fn of(field: &str, files: impl Iterator<Item = PathBuf>) -> Invocation {
    let words = ["-F".into(), OsString::from(field)];
    Invocation::new("modinfo", words.into_iter().chain(files.map(PathBuf::into_os_string)))
}

/// What it printed. A file without the field gives no line; an empty value gives an empty one.
pub(super) fn values(output: &Output) -> Vec<String> {
    output.text().lines().map(|line| line.trim().to_owned()).collect()
}
