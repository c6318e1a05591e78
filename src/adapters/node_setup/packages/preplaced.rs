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
use crate::adapters::node_setup::ports::PlannedStep;

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
            if self.or_another(&path, self.is_asked_for(&path))? {
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
            if self.or_another(&path, self.rpm_is_for(&path))? {
                self.import_keys()?;
                self.check_signature(&path)?;
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Whether a file is the one that is asked for. One that cannot be read is another, unless it is named after the running
    /// kernel: then it is a damaged copy, which its owner has to know.
    fn or_another(&self, path: &Path, asked_for: Result<bool, SetupError>) -> Result<bool, SetupError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        asked_for.or_else(|error| if name.contains(self.kernel) { Err(error) } else { Ok(false) })
    }

    /// The step that stands for a download where a file of the node would be used. Files of rpm are not read for a plan,
    /// since rpm may write.
    pub(super) fn planned_file(&self, reason: &str) -> Option<PlannedStep> {
        if self.os == Os::AzureLinux3 {
            return None;
        }
        let path = self.preplaced_deb().ok().flatten()?;
        Some(PlannedStep::new("use the package file of the node", path.display().to_string(), reason))
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
