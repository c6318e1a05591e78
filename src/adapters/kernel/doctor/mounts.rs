//! Lustre mounts of this node with the volume and pod that they are for, without a system call on any of them.
//!
//! The kernel does not record when a mount was made. kubelet writes `vol_data.json` beside the mount point shortly before
//! it calls NodePublishVolume, so the age of that file is taken as the age of the mount.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::report::MountReport;
use crate::adapters::kernel::client_state::{self, KernelFiles, one_line};
use crate::adapters::kernel::vol_data::{self, VolData};
use crate::adapters::mountinfo::MountEntry;
use crate::domain::mount::FS_TYPE;
use crate::domain::mount_source::{MgsAddress, MountSource};

/// The MGS of a mount (none if the source cannot be parsed), and the mount.
pub(super) type LustreMount = (Option<MgsAddress>, MountReport);

/// The Lustre mounts that a mountinfo file lists, in its order, or why it cannot be read. `now` is for their age.
pub(super) fn read(files: &KernelFiles, mountinfo: &Path, now: SystemTime) -> Result<Vec<LustreMount>, String> {
    let mountinfo = client_state::mountinfo(files, mountinfo)?;
    let entries: Vec<MountEntry> = mountinfo.entries().filter(|entry| entry.fs_type == FS_TYPE).collect();
    let points: Vec<PathBuf> = entries.iter().map(|entry| entry.mount_point.clone()).collect();
    let mount = |entry: &MountEntry| {
        let mgs = MountSource::parse(&entry.source).ok().map(|source| source.mgs);
        let (volume, pod_uid) = kubelet_volume(&entry.mount_point).unzip();
        // A record that is on Lustre itself is not read: its servers may be dead.
        let directory = entry.mount_point.parent().filter(|_| volume.is_some());
        let directory = directory.filter(|path| !points.iter().any(|point| path.starts_with(point)));
        let directory = directory.map(|directory| files.path(directory));
        let age = |directory: &PathBuf| {
            let written = directory.join(vol_data::FILE_NAME).symlink_metadata().ok()?.modified().ok()?;
            Some(now.duration_since(written).ok()?.as_secs())
        };
        let report = MountReport {
            path: one_line(&entry.mount_point.to_string_lossy()),
            source: one_line(&entry.source),
            read_only: entry.options.iter().any(|option| option == "ro"),
            volume,
            volume_id: directory.as_deref().and_then(|path| VolData::read(path).volume_handle).map(|id| one_line(&id)),
            pod_uid,
            age_seconds: directory.as_ref().and_then(age),
        };
        (mgs, report)
    };
    Ok(entries.iter().map(mount).collect())
}

/// Name of the PersistentVolume and UID of the pod in `…/pods/<uid>/volumes/kubernetes.io~csi/<volume>/mount`.
fn kubelet_volume(point: &Path) -> Option<(String, String)> {
    let mut names = point.iter().rev().map(|name| name.to_string_lossy());
    let mut next = || names.next();
    let (mount, volume, plugin, volumes, pod_uid, pods) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let is_kubelets = [mount, plugin, volumes, pods] == ["mount", "kubernetes.io~csi", "volumes", "pods"];
    is_kubelets.then(|| (one_line(&volume), one_line(&pod_uid)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::adapters::kernel::client_state::tests::{POINT, Tree};

    fn read(tree: &Tree, file: &str) -> Vec<LustreMount> {
        super::read(&tree.files(), Path::new(file), SystemTime::now() + Duration::from_mins(2)).unwrap()
    }

    #[test]
    fn lustre_mounts_are_found_with_their_volumes() {
        let tree = Tree::default();
        let text = format!(
            "31 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
             38 31 1296:295330 / {POINT} rw,nosuid shared:7 master:1 - lustre 10.99.0.1@tcp:/lustrefs/a\\040b rw,flock\n\
             39 31 1296:295330 / /mnt/x\\040y ro - lustre 10.99.0.1@tcp:/lustrefs rw,flock\n\
             40 31 1296:295330 / /mnt/z rw - lustre unparsable ro,flock\n\
             41 31 0:9 / /lustre rw - tmpfs lustre rw\n"
        );
        tree.write("/proc/1/mountinfo", &text);
        let mounts = read(&tree, "/proc/1/mountinfo");
        let shown: Vec<_> = mounts
            .iter()
            .map(|(mgs, mount)| (mgs.is_some(), mount.path.as_str(), mount.source.as_str(), mount.read_only))
            .collect();
        assert_eq!(
            shown,
            [
                (true, POINT, "10.99.0.1@tcp:/lustrefs/a b", false),
                (true, "/mnt/x y", "10.99.0.1@tcp:/lustrefs", true),
                (false, "/mnt/z", "unparsable", true)
            ]
        );
        let volumes = mounts.iter().map(|(_, mount)| (mount.volume.as_deref(), mount.pod_uid.as_deref()));
        assert_eq!(volumes.collect::<Vec<_>>(), [(Some("pvc-1"), Some("uid-1")), (None, None), (None, None)]);
    }

    #[test]
    fn only_kubelets_paths_have_volumes() {
        for path in [
            "/mount",
            "/pods/u/volumes/kubernetes.io~csi/v",
            "/pods/u/volumes/kubernetes.io~nfs/v/mount",
            "/pods/u/x/kubernetes.io~csi/v/mount",
            "/x/u/volumes/kubernetes.io~csi/v/mount",
            "/volumes/kubernetes.io~csi/v/mount",
        ] {
            assert_eq!(kubelet_volume(Path::new(path)), None, "{path}");
        }
        assert!(kubelet_volume(Path::new("/data/kubelet/pods/u/volumes/kubernetes.io~csi/v/mount")).is_some());
    }

    #[test]
    fn volume_id_and_age_come_from_kubelets_record_unless_it_is_on_lustre() {
        let tree = Tree::mounted();
        let (_, mount) = read(&tree, "/proc/self/mountinfo").remove(0);
        assert_eq!(mount.volume_id.as_deref(), Some("pvc-1#lustrefs#10.99.0.1##t#team"));
        assert!((60..720).contains(&mount.age_seconds.unwrap()), "{mount:?}");
        let covered = format!("38 31 1:2 / {POINT} rw - lustre a:/b rw\n39 1 1:2 / /var/lib rw - lustre a:/b rw\n");
        tree.write("/proc/covered", &covered);
        let (_, mount) = read(&tree, "/proc/covered").remove(0);
        assert_eq!((mount.volume_id, mount.age_seconds), (None, None));
        assert!(super::read(&tree.files(), Path::new("/proc/1/mountinfo"), SystemTime::now()).is_err());
    }
}
