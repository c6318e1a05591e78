//! Package managers of the supported operating systems: one row each for apt with `.deb` and tdnf with `.rpm` files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::request::PackageRequest;
use super::{apt, deb, rpm, tdnf};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::PACKAGES_DIR;
use crate::adapters::node_setup::os::Os;
use crate::adapters::node_setup::ports::PlannedStep;

/// A package manager of the host and the format of its packages. Paths are as the host sees them.
pub(super) struct PackageManager {
    /// Downloads the requested package within the given time and verifies that it is signed.
    pub(super) download: fn(&PackageRequest<'_>, Duration) -> Result<PathBuf, SetupError>,
    /// The steps of `download`, for `--dry-run`, with the reason for them.
    pub(super) planned_download: fn(&PackageRequest<'_>, &str) -> Vec<PlannedStep>,
    /// File name extension of packages.
    extension: &'static str,
    /// Whether a package file is the requested one.
    is_requested: fn(&PackageRequest<'_>, &Path) -> Result<bool, SetupError>,
    /// Rejects a package file of the node whose signature or hash is not trusted.
    verify_origin: fn(&PackageRequest<'_>, &Path) -> Result<(), SetupError>,
    /// Whether `is_requested` and `verify_origin` write nothing.
    pub(super) reads_only: bool,
    /// Unpacks a package into an empty directory.
    pub(super) unpack: fn(&PackageRequest<'_>, &Path, &Path) -> Result<(), SetupError>,
    /// The command of `unpack`, for `--dry-run`.
    pub(super) unpack_command: &'static str,
}

const APT: PackageManager = PackageManager {
    download: apt::download,
    planned_download: apt::planned_download,
    extension: "deb",
    is_requested: deb::is_requested,
    verify_origin: deb::verify_hash,
    reads_only: true,
    unpack: deb::unpack,
    unpack_command: "dpkg-deb -x …",
};

const TDNF: PackageManager = PackageManager {
    download: tdnf::download,
    planned_download: tdnf::planned_download,
    extension: "rpm",
    is_requested: rpm::is_requested,
    verify_origin: rpm::verify_origin,
    reads_only: false,
    unpack: rpm::unpack,
    unpack_command: "rpm2cpio … | cpio -idm",
};

impl PackageManager {
    /// The package manager of an operating system.
    pub(super) fn of(os: Os) -> &'static Self {
        match os {
            Os::Jammy | Os::Noble => &APT,
            Os::AzureLinux3 => &TDNF,
        }
    }

    /// The requested package as a file that the node's administrator copied into the private directory, for nodes without
    /// access to a repository. One that is there and not trusted is an error, since it is expected to be used. A file that
    /// cannot be read is skipped, unless its name contains the running kernel: then it is a damaged copy.
    pub(super) fn local_file(&self, request: &PackageRequest<'_>) -> Result<Option<PathBuf>, SetupError> {
        for path in request.files(Path::new(PACKAGES_DIR), self.extension) {
            let is_of_kernel = path.file_name().is_some_and(|name| name.to_string_lossy().contains(request.kernel));
            let is_requested = (self.is_requested)(request, &path);
            if is_requested.or_else(|error| if is_of_kernel { Err(error) } else { Ok(false) })? {
                (self.verify_origin)(request, &path)?;
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}
