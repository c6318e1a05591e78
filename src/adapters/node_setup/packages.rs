//! Packages with the kernel modules of the Lustre client: downloaded by the host's package manager, verified, unpacked,
//! indexed, and stored in the private directory.
//!
//! ```text
//!   package file on the node, or apt / tdnf ──> staging directory: unpack, verify, index, manifest ──> rename(2)
//! ```
//!
//! Only the private directory is written. A package is used only if its signature (the repository's, or the rpm's own) or
//! its SHA-256 is trusted, and only if its modules are those of the running kernel and of the requested client.

mod apt;
mod deb;
mod fetch_failures;
mod files;
mod index;
pub mod keys;
mod manager;
mod manifest;
mod request;
mod retry;
mod rpm;
pub mod source;
mod store;
mod tdnf;
mod verify;

use std::path::{Path, PathBuf};

use manager::PackageManager;
use request::PackageRequest;
use source::PackageSource;
use store::Store;

use super::error::SetupError;
use super::host_state::HostState;
use super::layout::{HostRoot, unpacked_dir};
use super::ports::{Packages, PlannedStep, ProgressLog, RetryPolicy, Timer};
use super::tools::HostTools;
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

impl Packages for ClientPackages<'_> {
    fn ensure(&self, node: &HostState, version: &ClientVersion, retry: RetryPolicy) -> Result<(), SetupError> {
        let (request, manager) = self.request(node, version)?;
        let store = Store::new(self.host, &node.kernel, version);
        store.remove_stale_staging()?;
        if manifest::is_complete(self.host, &node.kernel, version) {
            return Ok(());
        }
        let local = manager.local_file(&request)?;
        let package = if let Some(path) = &local {
            self.console.progress(&format!("using the package file {}", path.display()));
            path.clone()
        } else {
            retry::with_backoff(self.timer, self.console, retry, |left| (manager.download)(&request, left))?
        };
        let result = install(&request, manager, &store, &package);
        if result.is_err() {
            store.remove_staging();
        }
        if local.is_none() {
            files::remove(&self.host.at(&package));
        }
        result
    }

    fn planned(&self, node: &HostState, version: &ClientVersion) -> Vec<PlannedStep> {
        self.request(node, version).map(|(request, manager)| planned(&request, manager)).unwrap_or_default()
    }

    fn is_complete(&self, kernel: &str, version: &ClientVersion) -> bool {
        manifest::is_complete(self.host, kernel, version)
    }

    fn prune(&self, kernel: &str, loaded: Option<&ClientVersion>) {
        for failure in store::prune(self.host, kernel, loaded) {
            self.console.progress(&failure);
        }
    }
}

impl<'a> ClientPackages<'a> {
    fn request(
        &self,
        node: &'a HostState,
        client: &'a ClientVersion,
    ) -> Result<(PackageRequest<'a>, &'static PackageManager), SetupError> {
        let request = PackageRequest {
            tools: self.tools,
            host: self.host,
            source: self.source,
            os: node.os.clone()?,
            machine: node.machine.clone()?,
            kernel: &node.kernel,
            requires_signed_modules: node.requires_signed_modules,
            client,
        };
        Ok((request, PackageManager::of(request.os)))
    }
}

/// Unpacks, verifies and indexes a package in the staging directory, and moves the result to its final name.
fn install(
    request: &PackageRequest<'_>,
    manager: &PackageManager,
    store: &Store<'_>,
    package: &Path,
) -> Result<(), SetupError> {
    let root = store.create_staging()?;
    (manager.unpack)(request, package, &root)?;
    let modules = verify::module_files(&request.host.at(&root), request.kernel)
        .map_err(|fault| request.unusable(package, &fault))?;
    verify::modinfo_fields(request, package, &root, &modules)?;
    index::create(request, &root)?;
    index::verify_dependencies(request, package, &root)?;
    store.commit(&request.host.at(package))
}

/// The steps of a fetch, for `--dry-run`. Runs no program that may write, such as rpm.
fn planned(request: &PackageRequest<'_>, manager: &PackageManager) -> Vec<PlannedStep> {
    let reason = format!("client {} for kernel {} is not unpacked", request.client, request.kernel);
    let local = if manager.reads_only { manager.local_file(request).ok().flatten() } else { None };
    let use_file = |path: PathBuf| {
        vec![PlannedStep::new("use the package file of the node", path.display().to_string(), reason.as_str())]
    };
    let mut steps = local.map_or_else(|| (manager.planned_download)(request, &reason), use_file);
    let root = unpacked_dir(request.kernel, request.client).join("root");
    steps.push(PlannedStep::new(
        "unpack the package and verify its modules",
        format!("{} to {}", manager.unpack_command, request.host.path_in_host(&root).display()),
        "only modules of this kernel and client are accepted",
    ));
    let depmod = index::depmod(request, &root).command_line();
    steps.push(PlannedStep::new("index the modules", depmod, "modprobe needs the index"));
    steps
}
