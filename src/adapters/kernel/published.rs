//! Targets at which a volume is published on this node (`Mounter::published`), also after a restart of the driver.
//!
//! The kernel knows sources, not volumes. For mounts of this process there is a record. For mounts of an earlier process
//! kubelet's `vol_data.json` beside `…/volumes/kubernetes.io~csi/<PV>/mount` has the volume's id. Where that file cannot be
//! read (torn by a power cut), a live mount counts as the volume's if its path has the same PV directory, or, where a path
//! has none, if its source is the plan's: a single writer is then refused rather than given a second mount. A directory
//! without a mount never counts.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::blocking::BlockingMounter;
use super::operation_registry::{OperationKey, TargetOperation};
use super::private_mount;
use super::vol_data::VolData;
use crate::adapters::mountinfo::MountEntry;
use crate::adapters::target;
use crate::domain::mount::MountPlan;
use crate::ports::mounter::MountError;

const OPERATION: &str = "list the mounts of";

impl BlockingMounter {
    /// Targets of the plan's volume, those of earlier processes included, and those at which a mount is in progress.
    pub(super) fn published(&self, plan: &MountPlan) -> Result<Vec<PathBuf>, MountError> {
        let own = target::canonical(OPERATION, &plan.target)?;
        let in_progress = self.registry.list().into_iter();
        let mut found: Vec<PathBuf> =
            in_progress.filter_map(|(key, operation, _)| mounting(key, &operation, &plan.volume_id)).collect();
        for mount in self.mounts(OPERATION, &plan.target)?.entries().filter(|mount| self.is_ours(mount)) {
            if found.contains(&mount.mount_point) || private_mount::is_private(&mount.mount_point) {
                continue;
            }
            let of_volume = match self.is_of_volume(&mount, plan) {
                // Its own target needs no proof: what is there is compared with the plan before anything is mounted.
                Err(_) if own.as_ref() == Some(&mount.mount_point) => false,
                result => result?,
            };
            found.extend(of_volume.then_some(mount.mount_point));
        }
        let spelled = |canonical: PathBuf| {
            if own.as_ref() == Some(&canonical) {
                return plan.target.clone();
            }
            let record = self.records.at(&canonical);
            record.map_or_else(|| as_kubelet_spells(&self.settings.kubelet_dir, &canonical), |record| record.target)
        };
        Ok(found.into_iter().map(spelled).collect())
    }

    /// Whether a mount is the plan's volume.
    fn is_of_volume(&self, mount: &MountEntry, plan: &MountPlan) -> Result<bool, MountError> {
        if let Some(record) = self.records.of(mount) {
            return Ok(record.volume_id == plan.volume_id);
        }
        match (VolData::beside(&mount.mount_point).volume_handle, pv_directory(&mount.mount_point)) {
            (Some(id), _) => Ok(id == plan.volume_id),
            (None, Some(directory)) => Ok(Some(directory) == pv_directory(&plan.target)),
            (None, None) => self.is_of_plan(mount, plan),
        }
    }
}

/// The canonical target of a mount in progress of this volume, unless it was unpublished meanwhile.
fn mounting(key: OperationKey, operation: &TargetOperation, volume_id: &str) -> Option<PathBuf> {
    match (key, operation) {
        (OperationKey::Target(canonical), TargetOperation::Mount { plan, abandoned: false })
            if plan.volume_id == volume_id =>
        {
            Some(canonical)
        }
        _ => None,
    }
}

/// kubelet's directory of the PersistentVolume in a target's path: `…/kubernetes.io~csi/<PV>/mount`.
fn pv_directory(target: &Path) -> Option<&OsStr> {
    let directory = target.parent().filter(|_| target.file_name() == Some(OsStr::new("mount")))?;
    let of_csi = directory.parent()?.file_name() == Some(OsStr::new("kubernetes.io~csi"));
    directory.file_name().filter(|_| of_csi)
}

/// A mount point in the spelling of kubelet, whose directory may be a symbolic link.
fn as_kubelet_spells(kubelet_dir: &Path, mount_point: &Path) -> PathBuf {
    let real = kubelet_dir.canonicalize().ok();
    let below = real.and_then(|real| mount_point.strip_prefix(real).ok().map(Path::to_owned));
    below.map_or_else(|| mount_point.to_owned(), |below| kubelet_dir.join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kubelets_paths_have_the_directory_of_a_pv() {
        let directory = |path: &str| pv_directory(Path::new(path)).map(|name| name.to_str().unwrap().to_owned());
        assert_eq!(directory("/k/pods/1/volumes/kubernetes.io~csi/pv-1/mount").as_deref(), Some("pv-1"));
        for other in
            ["/k/pods/1/volumes/kubernetes.io~nfs/pv-1/mount", "/mnt/mount", "/mnt/kubernetes.io~csi/pv-1", "/"]
        {
            assert_eq!(directory(other), None, "{other}");
        }
    }

    #[test]
    fn mount_points_are_reported_in_kubelets_spelling() {
        let root = tempfile::tempdir().unwrap();
        let (real, link) = (root.path().canonicalize().unwrap().join("real"), root.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(as_kubelet_spells(&link, &real.join("pods/1")), link.join("pods/1"));
        assert_eq!(as_kubelet_spells(&link, Path::new("/other")), Path::new("/other"));
    }
}
