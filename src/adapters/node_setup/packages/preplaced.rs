//! Package files that the owner of a node laid into the private directory, for nodes without a way to a repository.
//!
//! A `.deb` has no signature of its own, so its SHA-256 must be one of the setting `package-sha256`; an `.rpm` is accepted by
//! its signature.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::not_accepted;
use super::{Job, files};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::PrivateDir;
use crate::adapters::node_setup::os::Os;

impl Job<'_> {
    /// The package file of the node for this kernel and client, if there is one. One that is there and not accepted is an
    /// error: whoever laid it there expects it to be used.
    pub(super) fn preplaced(&self) -> Result<Option<PathBuf>, SetupError> {
        match self.os {
            Os::Jammy | Os::Noble => self.preplaced_deb(),
            Os::AzureLinux3 => self.preplaced_rpm(),
        }
    }

    fn preplaced_deb(&self) -> Result<Option<PathBuf>, SetupError> {
        for path in self.files_of_node("deb") {
            if self.is_asked_for(&path)? {
                let at = self.host.at(&path);
                let hash = files::sha256(&at).map_err(|error| files::failed("read", &path, &error))?;
                let accepted = self.source.accepts(&hash);
                return if accepted { Ok(Some(path)) } else { Err(not_accepted(self.what(), &path, &hash)) };
            }
        }
        Ok(None)
    }

    fn preplaced_rpm(&self) -> Result<Option<PathBuf>, SetupError> {
        for path in self.files_of_node("rpm") {
            if self.rpm_is_for(&path)? {
                self.import_keys()?;
                self.check_signature(&path)?;
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Files with this ending, in the order of their names, as the host sees them.
    fn files_of_node(&self, ending: &str) -> Vec<PathBuf> {
        let dir = PrivateDir::packages();
        let entries = fs::read_dir(self.host.at(&dir)).into_iter().flatten().flatten();
        let paths = entries.map(|entry| dir.join(entry.file_name()));
        let is_file = |path: &Path| fs::symlink_metadata(self.host.at(path)).is_ok_and(|meta| meta.is_file());
        let mut paths: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|end| end == ending) && is_file(path)).collect();
        paths.sort();
        paths
    }
}
