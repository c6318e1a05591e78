//! Which volume a mount belongs to, also after a restart of the driver.
//!
//! Why three ways: the kernel knows sources, not volumes. What this process mounted it remembers, by where it is and
//! its source. For mounts of an earlier process kubelet tells: beside `…/volumes/kubernetes.io~csi/<name>/mount` it keeps
//! `vol_data.json` with the volume's id, written before the volume is published. Where that file cannot be read, a mount
//! at such a path counts as the volume's if the id names its source: a single writer is then refused rather than given a
//! second mount. A mount anywhere else, such as one that an administrator made, belongs to no volume.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::adapters::mountinfo::Line;
use crate::domain::mount_source::{FsName, MgsAddress, MountSource};
use crate::domain::sub_dir::SubDir;
use crate::domain::volume_id::VolumeId;

/// A mount that this process made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Its source as mountinfo shows it. It tells whether what is at the place now is still that mount; a number that the
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
    pub(super) fn of(&self, line: &Line) -> Option<Record> {
        self.all().get(&line.point).filter(|record| record.shown == line.source).cloned()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What kubelet says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kubelet {
    /// It is this volume's.
    Volume(String),
    /// It is one of kubelet's, but whose cannot be read.
    Unknown,
    /// It is none of kubelet's.
    Nothing,
}

#[derive(Deserialize)]
struct VolumeData {
    #[serde(rename = "volumeHandle")]
    volume_handle: String,
}

/// Reads what kubelet keeps beside a target.
pub(super) fn ask_kubelet(point: &Path) -> Kubelet {
    let Some(directory) = point.parent().filter(|_| point.file_name() == Some(OsStr::new("mount"))) else {
        return Kubelet::Nothing;
    };
    let read = std::fs::read(directory.join("vol_data.json")).ok();
    let data = read.and_then(|text| serde_json::from_slice::<VolumeData>(&text).ok());
    let of_csi = directory.parent().and_then(Path::file_name) == Some(OsStr::new("kubernetes.io~csi"));
    match data {
        Some(data) => Kubelet::Volume(data.volume_handle),
        None if of_csi => Kubelet::Unknown,
        None => Kubelet::Nothing,
    }
}

/// Whether a mount of an earlier process is the volume's.
pub(super) fn is_of(volume_id: &str, line: &Line) -> bool {
    match ask_kubelet(&line.point) {
        Kubelet::Volume(id) => id == volume_id,
        Kubelet::Unknown => names_source(volume_id, &line.source),
        Kubelet::Nothing => false,
    }
}

/// Whether the fields of a volume id name a mounted source. A sub-directory with variables may be any directory.
fn names_source(volume_id: &str, source: &str) -> bool {
    let (Ok(id), Ok(source)) = (VolumeId::parse(volume_id), MountSource::parse(source)) else { return false };
    let same_dir = match id.sub_dir() {
        "" => source.sub_dir.is_none(),
        template if template.contains("${") => source.sub_dir.is_some(),
        path => SubDir::parse(path).ok() == source.sub_dir,
    };
    same_dir
        && MgsAddress::parse(id.mgs_address()).is_ok_and(|mgs| mgs == source.mgs)
        && FsName::of_volume(id.fs_name()).0 == source.fs_name
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

    fn line(point: PathBuf, source: &str) -> Line {
        let (fs_type, source) = ("lustre".to_owned(), source.to_owned());
        Line { id: 7, parent: 1, root: "/".into(), point, fs_type, source, options: vec![], shared: true }
    }

    #[test]
    fn kubelet_says_whose_a_mount_is_and_else_the_source() {
        let root = tempfile::tempdir().unwrap();
        let volume = root.path().join("pods/1/volumes/kubernetes.io~csi/pvc-1");
        std::fs::create_dir_all(&volume).unwrap();
        let line = line(volume.join("mount"), "10.0.0.4@tcp:/lustrefs/a");
        let by_source = "pvc-1#lustrefs#10.0.0.4#a#t#group";
        assert!(is_of(by_source, &line) && is_of("x#lustrefs#10.0.0.4#${pod.metadata.name}", &line));
        for other in
            ["pvc-1", "x#lustrefs#10.0.0.5#a", "x#lustrefs#10.0.0.4#b", "x#lustrefs#10.0.0.4", "x#fs#10.0.0.4#a"]
        {
            assert!(!is_of(other, &line), "{other}");
        }
        let data = r#"{"attachmentID":"csi-1","driverName":"azurelustre.csi.azure.com","volumeHandle":"pvc-2","x":{}}"#;
        std::fs::write(volume.join("vol_data.json"), data).unwrap();
        assert!(is_of("pvc-2", &line) && !is_of(by_source, &line));
        std::fs::write(volume.join("vol_data.json"), "{").unwrap();
        assert!(is_of(by_source, &line), "torn by a crash");
    }

    #[test]
    fn mounts_elsewhere_are_nobodys() {
        assert!(!is_of("x#lustrefs#10.0.0.4", &line("/mnt/lustre".into(), "10.0.0.4@tcp:/lustrefs")));
        assert!(!is_of("x#lustrefs#10.0.0.4", &line("/mnt/mount".into(), "10.0.0.4@tcp:/lustrefs")));
    }

    #[test]
    fn a_record_holds_for_its_mount_only() {
        let (records, mut line) = (Records::default(), line("/t".into(), "s"));
        let source = MountSource::parse("mgs.example:/lustrefs").unwrap();
        let record = Record { shown: "s".into(), volume_id: "v".into(), target: "/t".into(), source };
        records.put(Path::new("/t"), record.clone());
        assert_eq!(records.of(&line), Some(record));
        line.point = "/u".into();
        assert_eq!(records.of(&line), None);
        (line.point, line.source) = ("/t".into(), "t".into());
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
