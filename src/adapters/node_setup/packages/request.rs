//! The request for the package of one client and one kernel, with the host that it is installed on.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::source::PackageSource;
use super::{fetch_failures, files};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::{HostRoot, PACKAGES_DIR};
use crate::adapters::node_setup::os::{Machine, Os};
use crate::adapters::node_setup::tools::{HostTools, Invocation, Output};
use crate::adapters::node_setup::version::ClientVersion;

/// Prefix of the names of packages with the client's kernel modules, by the indexes of packages.microsoft.com.
pub(super) const KMOD: &str = "kmod-lustre-client";

/// The package of one client for one kernel. Paths in arguments are as the host sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackageRequest<'a> {
    pub(super) tools: &'a dyn HostTools,
    pub(super) host: &'a HostRoot,
    pub(super) source: &'a PackageSource,
    pub(super) os: Os,
    pub(super) machine: Machine,
    /// The running kernel's release (`uname -r`).
    pub(super) kernel: &'a str,
    pub(super) requires_signed_modules: bool,
    pub(super) client: &'a ClientVersion,
}

impl PackageRequest<'_> {
    /// The failure of a fetch, as the first part of an error message.
    pub(super) fn cannot_fetch(&self) -> String {
        format!("cannot fetch client {} for kernel {}", self.client, self.kernel)
    }

    /// A path as an argument of a program of the host.
    pub(super) fn arg(&self, path: impl AsRef<Path>) -> OsString {
        self.host.path_in_host(path).into_os_string()
    }

    /// Runs a program whose exit code other than 0 is the failure `what`.
    pub(super) fn run(&self, what: &str, run: &Invocation) -> Result<Output, SetupError> {
        let output = self.tools.run(run).map_err(|error| fetch_failures::not_run(what, &error))?;
        if output.ok() { Ok(output) } else { Err(fetch_failures::of_tool(what, run.program, &output)) }
    }

    /// Runs a package manager to its end, whatever its exit code.
    pub(super) fn run_manager(&self, run: &Invocation) -> Result<Output, SetupError> {
        self.tools.run(run).map_err(|error| fetch_failures::not_run(&self.cannot_fetch(), &error))
    }

    /// The failure that the output of a package manager shows.
    pub(super) fn manager_failure(&self, program: &str, output: &Output) -> SetupError {
        fetch_failures::of_manager(&self.cannot_fetch(), program, output)
    }

    /// Regular files with this extension in a directory of the host, sorted.
    pub(super) fn files(&self, dir: &Path, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.host.at(dir)).into_iter().flatten().flatten();
        let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let paths = entries.map(|entry| dir.join(entry.file_name()));
        let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == extension)).collect();
        paths.sort();
        paths
    }

    /// Writes the trusted keys into an emptied directory of the host, one file each.
    pub(super) fn write_keys(&self, dir: &Path) -> Result<Vec<PathBuf>, SetupError> {
        files::empty_dir(&self.host.at(dir))?;
        let write = |(name, key): (String, &str)| {
            let path = dir.join(name);
            files::write(&self.host.at(&path), key)?;
            Ok(path)
        };
        self.source.trusted_keys().into_iter().map(write).collect()
    }

    /// The repository has no package for this kernel and client, but those of `published` clients for this kernel.
    pub(super) fn not_published(&self, published: &[&str]) -> SetupError {
        let published = match published {
            [] => "none for this kernel exists there".to_owned(),
            clients => format!("for this kernel exist there: {}", clients.join(", ")),
        };
        let url = self.source.repository(self.os);
        SetupError::try_again(
            self.cannot_fetch(),
            format!("kernel {} has no client {} at {url}; {published}", self.kernel, self.client),
            "Wait until it is published, usually within a working day after the kernel; or set client-version to one that exists; or pin the node image.",
        )
    }

    /// A package with the requested name whose content is not usable on the node.
    pub(super) fn unusable(&self, package: &Path, why: &str) -> SetupError {
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        SetupError::needs_human(
            format!("cannot use package {name} for client {} and kernel {}", self.client, self.kernel),
            why,
            if package.starts_with(PACKAGES_DIR) {
                "Replace the package file on the node."
            } else {
                "Check the package repository (package-url), or choose another client-version."
            },
        )
    }
}
