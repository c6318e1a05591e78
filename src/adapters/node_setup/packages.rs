//! The package with the client's kernel modules: fetched by the host's package tool, checked, unpacked and indexed.
//!
//! ```text
//!   package file of the node, or apt / tdnf ──> staging directory: unpack, verify, index, record ──> rename(2)
//! ```
//!
//! Everything is written below the private directory. A package is used only if its signature (the repository's, or the
//! rpm's own) or its SHA-256 is one that is trusted, and only if its modules are those of the running kernel and of the
//! client that was asked for.

mod apt;
mod dependencies;
mod fetch_errors;
mod files;
mod index;
pub mod keys;
mod modinfo;
mod preplaced;
mod record;
mod retry;
mod rpm;
pub mod source;
mod store;
mod tdnf;
mod unpack;
mod verify;

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use source::PackageSource;
use store::Store;

use super::error::SetupError;
use super::host_state::HostState;
use super::layout::HostRoot;
use super::os::{Machine, Os};
use super::ports::{Packages, PlannedStep, ProgressLog, RetryPolicy, Timer};
use super::tools::{HostTools, Invocation, Output, ToolError};
use super::version::ClientVersion;

/// Packages of the client for one node.
#[derive(Debug, Clone, Copy)]
pub struct ClientPackages<'a> {
    /// Programs of the host.
    pub tools: &'a dyn HostTools,
    /// Root of the host.
    pub host: &'a HostRoot,
    /// Where packages come from.
    pub source: &'a PackageSource,
    /// Reports progress.
    pub console: &'a dyn ProgressLog,
    /// Waits between repeated downloads.
    pub timer: &'a dyn Timer,
}

/// One client on one node, with what is needed to obtain it.
#[derive(Debug, Clone, Copy)]
struct Job<'a> {
    tools: &'a dyn HostTools,
    host: &'a HostRoot,
    source: &'a PackageSource,
    os: Os,
    machine: Machine,
    /// The running kernel's release.
    kernel: &'a str,
    /// Whether every module must be signed.
    signed: bool,
    client: &'a ClientVersion,
}

/// A package file whose origin is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PackageFile {
    /// Its path, as the host sees it.
    path: PathBuf,
    /// Whether it was downloaded, so that it may be deleted once it is unpacked.
    downloaded: bool,
}

impl Packages for ClientPackages<'_> {
    fn ensure(&self, facts: &HostState, version: &ClientVersion, patience: RetryPolicy) -> Result<(), SetupError> {
        let job = self.job(facts, version)?;
        let store = Store::new(self.host, &facts.kernel, version);
        store.remove_leftovers()?;
        if record::is_complete(self.host, &facts.kernel, version) {
            return Ok(());
        }
        let package = self.obtain(&job, patience)?;
        let unpacked = job.unpack(&store, &package);
        if unpacked.is_err() {
            store.discard();
        }
        if package.downloaded {
            files::remove(&self.host.at(&package.path));
        }
        unpacked
    }

    fn planned(&self, facts: &HostState, version: &ClientVersion) -> Vec<PlannedStep> {
        self.job(facts, version).map(|job| job.planned()).unwrap_or_default()
    }

    fn is_complete(&self, kernel: &str, version: &ClientVersion) -> bool {
        record::is_complete(self.host, kernel, version)
    }

    fn prune(&self, kernel: &str, keep: Option<&ClientVersion>) {
        for failed in store::prune(self.host, kernel, keep) {
            self.console.progress(&failed);
        }
    }
}

impl<'a> ClientPackages<'a> {
    fn job(&self, facts: &'a HostState, client: &'a ClientVersion) -> Result<Job<'a>, SetupError> {
        Ok(Job {
            tools: self.tools,
            host: self.host,
            source: self.source,
            os: facts.os.clone()?,
            machine: facts.machine.clone()?,
            kernel: &facts.kernel,
            signed: facts.requires_signed_modules,
            client,
        })
    }

    /// A package file of the node, or else a download.
    fn obtain(&self, job: &Job<'_>, patience: RetryPolicy) -> Result<PackageFile, SetupError> {
        if let Some(path) = job.preplaced()? {
            self.console.progress(&format!("using the package file {}", path.display()));
            return Ok(PackageFile { path, downloaded: false });
        }
        let path = retry::repeat(self.timer, self.console, patience, |left| match job.os {
            Os::Jammy | Os::Noble => job.download_by_apt(left),
            Os::AzureLinux3 => job.download_by_tdnf(left),
        })?;
        Ok(PackageFile { path, downloaded: true })
    }
}

impl Job<'_> {
    /// The failing part of every message about this client.
    fn what(&self) -> String {
        format!("cannot fetch client {} for kernel {}", self.client, self.kernel)
    }

    /// Unpacks, checks and indexes a package, and gives the result its final name.
    fn unpack(&self, store: &Store<'_>, package: &PackageFile) -> Result<(), SetupError> {
        let root = store.stage()?;
        self.extract(&package.path, &root)?;
        let tree = verify::tree(&self.host.at(&root), self.kernel).map_err(|fault| self.unusable(package, &fault))?;
        self.verify_modules(package, &root, &tree)?;
        self.index(&root)?;
        self.verify_dependencies(package, &root)?;
        store.complete(&self.host.at(&package.path))
    }

    /// A package that is what was asked for by name and is not by content.
    fn unusable(&self, package: &PackageFile, why: &str) -> SetupError {
        let name = package.path.file_name().unwrap_or_default().to_string_lossy();
        SetupError::needs_human(
            format!("cannot use package {name} for client {} and kernel {}", self.client, self.kernel),
            why,
            if package.downloaded {
                "Check the package repository (package-url), or choose another client-version."
            } else {
                "Replace the package file on the node."
            },
        )
    }

    /// Runs a program that ends with code 0, or fails as `what` with its words.
    fn run(&self, what: impl Fn() -> String, run: &Invocation) -> Result<Output, SetupError> {
        let output = self.tools.run(run).map_err(|error| not_run(what(), &error))?;
        if output.ok() {
            return Ok(output);
        }
        Err(fetch_errors::of_tool(&what(), run.program, &output))
    }

    fn planned(&self) -> Vec<PlannedStep> {
        let reason = format!("client {} for kernel {} is not unpacked", self.client, self.kernel);
        if let Some(file) = self.planned_file(&reason) {
            return std::iter::once(file).chain(self.planned_unpacking()).collect();
        }
        let fetch = match self.os {
            Os::Jammy | Os::Noble => self.planned_by_apt(&reason),
            Os::AzureLinux3 => self.planned_by_tdnf(&reason),
        };
        fetch.into_iter().chain(self.planned_unpacking()).collect()
    }
}

/// A program that did not run to its end.
fn not_run(what: String, error: &ToolError) -> SetupError {
    match error {
        ToolError::Missing { program } => SetupError::needs_human(
            what,
            error.to_string(),
            format!("Use nodes that have {program}, or lay the unpacked client into the node image."),
        ),
        ToolError::TimedOut { .. } => {
            SetupError::try_again(what, error.to_string(), "Check the network and the load of the node.").transient()
        }
        ToolError::Failed { .. } => SetupError::try_again(what, error.to_string(), "Check the node's file systems."),
    }
}

/// The smaller of a program's own limit and the time that is left for all tries, at least a second.
fn limit(own: Duration, left: Duration) -> Duration {
    own.min(left).max(Duration::from_secs(1))
}
