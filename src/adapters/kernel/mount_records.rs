//! Which volume a mount belongs to, also after a restart of the driver.
//!
//! The kernel knows sources, not volumes. What this process mounted it remembers, by its place and source. For mounts of
//! an earlier process kubelet knows: beside `…/volumes/kubernetes.io~csi/<PV>/mount` it keeps `vol_data.json` with the
//! volume's id, written before the volume is published. Where that file cannot be read (torn by a power cut), a live mount
//! counts as the volume's if its path has the same PV directory, or, where a path holds none, if its source is the plan's:
//! a single writer is then refused rather than given a second mount. A directory without a mount never counts.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::node::Node;
use super::registry::{Key, What};
use super::sub_dir;
use super::vol_data::VolData;
use crate::adapters::mountinfo::MountEntry;
use crate::adapters::target;
use crate::domain::mount::MountPlan;
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::MountError;

const LIST: &str = "list the mounts of";

/// A mount that this process made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Its source as mountinfo shows it. It says whether what is at the place now is still that mount; a number that the
    /// kernel gives to mounts would not, since the next mount gets it again.
    pub(super) shown: String,
    pub(super) volume_id: String,
    /// As the caller spelled it.
    pub(super) target: PathBuf,
    /// As the plan spelled it, host names included.
    pub(super) source: MountSource,
}

/// The mounts that this process made, by their places.
#[derive(Debug, Default)]
pub(super) struct Records(Mutex<BTreeMap<PathBuf, Record>>);

impl Records {
    pub(super) fn put(&self, place: &Path, record: Record) {
        self.all().insert(place.to_owned(), record);
    }

    pub(super) fn forget(&self, place: &Path) {
        self.all().remove(place);
    }

    /// The record of this mount.
    pub(super) fn of(&self, line: &MountEntry) -> Option<Record> {
        self.all().get(&line.mount_point).filter(|record| record.shown == line.source).cloned()
    }

    /// The record of the mount at this place.
    fn at(&self, place: &Path) -> Option<Record> {
        self.all().get(place).cloned()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The volume id that kubelet keeps beside a target; none where it cannot be read.
pub(super) fn kubelets_volume_id(point: &Path) -> Option<String> {
    VolData::read(point.parent()?).volume_handle
}

/// Kubelet's directory of the PersistentVolume in a target's path: `…/kubernetes.io~csi/<PV>/mount`.
fn pv_directory(target: &Path) -> Option<&OsStr> {
    let directory = target.parent().filter(|_| target.file_name() == Some(OsStr::new("mount")))?;
    let of_csi = directory.parent()?.file_name() == Some(OsStr::new("kubernetes.io~csi"));
    directory.file_name().filter(|_| of_csi)
}

/// A mount in progress of this volume whose target was not unpublished.
fn mounting(key: Key, what: &What, volume_id: &str) -> Option<PathBuf> {
    match (key, what) {
        (Key::Target(place), What::Mount { plan, abandoned: false }) if plan.volume_id == volume_id => Some(place),
        _ => None,
    }
}

impl Node {
    /// Targets of the plan's volume, those of earlier processes included, and those at which a mount is in progress.
    pub(super) fn published(&self, plan: &MountPlan) -> Result<Vec<PathBuf>, MountError> {
        let own = target::canonical(LIST, &plan.target)?;
        let in_progress = self.registry.list().into_iter();
        let mut places: Vec<PathBuf> =
            in_progress.filter_map(|(key, what, _)| mounting(key, &what, &plan.volume_id)).collect();
        for line in self.mounts(LIST, &plan.target)?.entries().filter(|line| self.is_ours(line)) {
            if places.contains(&line.mount_point) || sub_dir::is_private(&line.mount_point) {
                continue;
            }
            let of_volume = self.is_of_volume(&line, plan);
            // Its own target needs no proof: what is there is compared with the plan before anything is mounted.
            let of_volume =
                if own.as_ref() == Some(&line.mount_point) { of_volume.unwrap_or(false) } else { of_volume? };
            places.extend(of_volume.then_some(line.mount_point));
        }
        let spelled = |place: PathBuf| match &own {
            Some(own) if *own == place => plan.target.clone(),
            _ => self.as_it_was_spelled(&place),
        };
        Ok(places.into_iter().map(spelled).collect())
    }

    /// Whether a mount is the plan's volume.
    fn is_of_volume(&self, line: &MountEntry, plan: &MountPlan) -> Result<bool, MountError> {
        if let Some(record) = self.records.of(line) {
            return Ok(record.volume_id == plan.volume_id);
        }
        match (kubelets_volume_id(&line.mount_point), pv_directory(&line.mount_point)) {
            (Some(id), _) => Ok(id == plan.volume_id),
            (None, Some(directory)) => Ok(Some(directory) == pv_directory(&plan.target)),
            (None, None) => self.is_of_plan(line, plan),
        }
    }

    fn as_it_was_spelled(&self, place: &Path) -> PathBuf {
        let recorded = self.records.at(place).map(|record| record.target);
        recorded.unwrap_or_else(|| as_kubelet_spells(&self.settings.kubelet_dir, place))
    }
}

/// A mount point in the spelling of kubelet, whose directory may be a symbolic link.
pub(super) fn as_kubelet_spells(kubelet_dir: &Path, point: &Path) -> PathBuf {
    let real = kubelet_dir.canonicalize().ok();
    let below = real.and_then(|real| point.strip_prefix(real).ok().map(Path::to_owned));
    below.map_or_else(|| point.to_owned(), |below| kubelet_dir.join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(point: PathBuf, source: &str) -> MountEntry {
        let (fs_type, source) = ("lustre".to_owned(), source.to_owned());
        MountEntry {
            id: 7,
            parent: 1,
            root: "/".into(),
            mount_point: point,
            fs_type,
            source,
            raw_source: None,
            options: vec![],
            shared: true,
        }
    }

    #[test]
    fn only_kubelets_paths_hold_the_directory_of_a_pv() {
        let directory = |path: &str| pv_directory(Path::new(path)).map(|name| name.to_str().unwrap().to_owned());
        assert_eq!(directory("/k/pods/1/volumes/kubernetes.io~csi/pv-1/mount").as_deref(), Some("pv-1"));
        for other in
            ["/k/pods/1/volumes/kubernetes.io~nfs/pv-1/mount", "/mnt/mount", "/mnt/kubernetes.io~csi/pv-1", "/"]
        {
            assert_eq!(directory(other), None, "{other}");
        }
    }

    #[test]
    fn a_record_holds_for_its_mount_only() {
        let (records, mut line) = (Records::default(), line("/t".into(), "s"));
        let source = MountSource::parse("mgs.example:/lustrefs").unwrap();
        let record = Record { shown: "s".into(), volume_id: "v".into(), target: "/t".into(), source };
        records.put(Path::new("/t"), record.clone());
        assert_eq!(records.of(&line), Some(record));
        line.mount_point = "/u".into();
        assert_eq!(records.of(&line), None);
        (line.mount_point, line.source) = ("/t".into(), "t".into());
        assert_eq!(records.of(&line), None, "another mount at the place of the first");
        line.source = "s".into();
        records.forget(Path::new("/t"));
        assert_eq!(records.of(&line), None);
    }

    #[test]
    fn paths_are_told_as_kubelet_spells_them() {
        let root = tempfile::tempdir().unwrap();
        let (real, link) = (root.path().canonicalize().unwrap().join("real"), root.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(as_kubelet_spells(&link, &real.join("pods/1")), link.join("pods/1"));
        assert_eq!(as_kubelet_spells(&link, Path::new("/other")), Path::new("/other"));
    }
}
