//! Lustre mounts of this node with the volume and pod that they are for, without touching any of them.
//!
//! The kernel does not record when something was mounted. kubelet writes `vol_data.json` beside the mount point shortly
//! before it calls NodePublishVolume, so the age of that file stands for the age of the mount.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::adapters::kernel::client_state::{self, KernelFiles};
use crate::adapters::kernel::vol_data::{self, VolData};
use crate::adapters::mountinfo::{Line, Mountinfo};
use crate::domain::mount::FS_TYPE;
use crate::domain::mount_source::MountSource;

/// One Lustre mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LustreMount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// As it was given to mount(2), in any spelling.
    pub source: String,
    /// Whether this mount takes no writes.
    pub read_only: bool,
    /// Whose it is, if its path is one of kubelet's.
    pub owner: Option<Owner>,
}

impl LustreMount {
    /// The source in its normal form, if it can be read as one.
    pub fn parsed(&self) -> Option<MountSource> {
        MountSource::parse(&self.source).ok()
    }
}

/// The volume for which kubelet had something mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Name of the PersistentVolume.
    pub volume: String,
    /// UID of the pod.
    pub pod_uid: String,
    /// CSI volume id, from kubelet's record.
    pub volume_id: Option<String>,
    /// When kubelet last wrote its record, which is shortly before the volume was mounted.
    pub since: Option<SystemTime>,
}

/// The Lustre mounts that a mountinfo file lists, in its order.
pub(super) fn read(paths: &KernelFiles, mountinfo: &Path) -> Result<Vec<LustreMount>, String> {
    client_state::mountinfo(paths, mountinfo).map(|mountinfo| with_records(paths, lustre(&mountinfo)))
}

/// The mounts with what kubelet's records add.
fn with_records(paths: &KernelFiles, mut mounts: Vec<LustreMount>) -> Vec<LustreMount> {
    let points: Vec<PathBuf> = mounts.iter().map(|mount| mount.point.clone()).collect();
    for mount in &mut mounts {
        let Some((owner, folder)) = mount.owner.as_mut().zip(mount.point.parent()) else { continue };
        // A record that lies on Lustre itself is not read: its servers may be dead.
        if !points.iter().any(|point| folder.starts_with(point)) {
            owner.volume_id = VolData::read(&paths.path(folder)).volume_handle;
            owner.since = written(&paths.path(folder).join(vol_data::FILE_NAME));
        }
    }
    mounts
}

/// When a file was last written.
fn written(file: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(file).and_then(|found| found.modified()).ok()
}

/// The Lustre mounts among all.
fn lustre(mountinfo: &Mountinfo) -> Vec<LustreMount> {
    let lustre = |line: Line| {
        let (owner, read_only) = (owner(&line.point), line.options.iter().any(|option| option == "ro"));
        (line.fs_type == FS_TYPE).then_some(LustreMount { point: line.point, source: line.source, read_only, owner })
    };
    mountinfo.lines().filter_map(lustre).collect()
}

/// Reads `…/pods/<uid>/volumes/kubernetes.io~csi/<volume>/mount`.
fn owner(point: &Path) -> Option<Owner> {
    let mut parts = point.iter().rev();
    let (last, volume) = (parts.next()?, parts.next()?.to_string_lossy().into_owned());
    let (plugin, volumes) = (parts.next()?, parts.next()?);
    let (pod_uid, pods) = (parts.next()?.to_string_lossy().into_owned(), parts.next()?);
    let is_kubelets = last == "mount" && plugin == "kubernetes.io~csi" && volumes == "volumes" && pods == "pods";
    is_kubelets.then_some(Owner { volume, pod_uid, volume_id: None, since: None })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::adapters::kernel::client_state::tests::{POINT, Tree};

    #[test]
    fn lustre_mounts_are_found_with_their_owners() {
        let text = format!(
            "31 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
             38 31 1296:295330 / {POINT} rw,nosuid shared:7 master:1 - lustre 10.99.0.1@tcp:/lustrefs/a\\040b rw,flock\n\
             39 31 1296:295330 / /mnt/x\\040y ro - lustre 10.99.0.1@tcp:/lustrefs rw,flock\n\
             40 31 1296:295330 / /mnt/z rw - lustre odd ro,flock\n\
             41 31 0:9 / /lustre rw - tmpfs lustre rw\n"
        );
        let mounts = lustre(&Mountinfo::new(text.into_bytes()));
        let shown: Vec<_> = mounts
            .iter()
            .map(|mount| (mount.point.to_str().unwrap(), mount.source.as_str(), mount.read_only))
            .collect();
        assert_eq!(
            shown,
            [
                (POINT, "10.99.0.1@tcp:/lustrefs/a b", false),
                ("/mnt/x y", "10.99.0.1@tcp:/lustrefs", true),
                ("/mnt/z", "odd", true)
            ]
        );
        let owner = mounts[0].owner.as_ref().unwrap();
        assert_eq!((owner.volume.as_str(), owner.pod_uid.as_str()), ("pvc-1", "uid-1"));
        assert_eq!((mounts[1].owner.clone(), mounts[2].parsed()), (None, None));
    }

    #[test]
    fn only_kubelets_paths_have_owners() {
        for odd in [
            "/mount",
            "/pods/u/volumes/kubernetes.io~csi/v",
            "/pods/u/volumes/kubernetes.io~nfs/v/mount",
            "/pods/u/x/kubernetes.io~csi/v/mount",
            "/x/u/volumes/kubernetes.io~csi/v/mount",
            "/volumes/kubernetes.io~csi/v/mount",
        ] {
            assert_eq!(owner(Path::new(odd)), None, "{odd}");
        }
        assert!(owner(Path::new("/data/kubelet/pods/u/volumes/kubernetes.io~csi/v/mount")).is_some());
    }

    #[test]
    fn kubelets_record_tells_volume_and_age_but_not_through_lustre() {
        let tree = Tree::mounted();
        let mounts = read(&tree.files(), Path::new("/proc/self/mountinfo")).unwrap();
        let owner = mounts[0].owner.as_ref().unwrap();
        assert_eq!(owner.volume_id.as_deref(), Some("pvc-1#lustrefs#10.99.0.1##t#team"));
        assert!(owner.since.unwrap().elapsed().unwrap_or_default() < Duration::from_mins(10));
        let covered = format!("38 31 1:2 / {POINT} rw - lustre a:/b rw\n39 1 1:2 / /var/lib rw - lustre a:/b rw\n");
        tree.write("/proc/covered", &covered);
        let mounts = read(&tree.files(), Path::new("/proc/covered")).unwrap();
        let owner = mounts[0].owner.as_ref().unwrap();
        assert_eq!((&owner.volume_id, owner.since), (&None, None));
        assert!(read(&tree.files(), Path::new("/proc/1/mountinfo")).is_err());
    }
}
