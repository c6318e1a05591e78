//! Targets of kubelet that hold files although nothing is mounted on them.
//!
//! A pod writes them while its volume is not mounted; a mount hides them. NodeUnpublishVolume removes only an empty
//! directory, so it fails until they are moved away.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::adapters::kernel::client_state::{self, KernelFiles, MOUNTINFO};
use crate::adapters::kernel::vol_data::VolData;
use crate::adapters::mountinfo::Mountinfo;

/// Most entries of one directory that are counted.
const MOST_ENTRIES: usize = 1000;

/// Most targets that are reported.
const MOST_TARGETS: usize = 64;

/// A target with entries and no mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnmountedTarget {
    path: PathBuf,
    /// How many entries it holds, at most [`MOST_ENTRIES`].
    entries: usize,
}

impl fmt::Display for UnmountedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.entries >= MOST_ENTRIES { " or more" } else { "" };
        write!(f, "{} ({}{more} entries)", self.path.display(), self.entries)
    }
}

/// The unmounted targets with entries of the volumes that are this driver's by kubelet's records. None if the mounts are
/// unknown: a directory is only read if nothing is mounted on it.
pub(super) fn read(files: &KernelFiles, kubelet_dir: &Path, driver_name: &str) -> Vec<UnmountedTarget> {
    let Ok(mounts) = client_state::mountinfo(files, MOUNTINFO.as_ref()) else { return Vec::new() };
    let pods = directories(files, &kubelet_dir.join("pods")).into_iter();
    let volumes = pods.flat_map(|pod| directories(files, &pod.join("volumes/kubernetes.io~csi")));
    let is_ours = |volume: &PathBuf| VolData::read(&files.path(volume)).driver_name.as_deref() == Some(driver_name);
    let targets = volumes.filter(is_ours).map(|volume| volume.join("mount"));
    targets.filter_map(|target| unmounted(files, &mounts, target)).take(MOST_TARGETS).collect()
}

/// The directories in a directory, by name.
fn directories(files: &KernelFiles, directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(files.path(directory)).into_iter().flatten().flatten();
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut found: Vec<PathBuf> = entries.filter(is_directory).map(|entry| directory.join(entry.file_name())).collect();
    found.sort();
    found
}

/// The target, if nothing is mounted on it and it has entries.
fn unmounted(files: &KernelFiles, mounts: &Mountinfo, path: PathBuf) -> Option<UnmountedTarget> {
    // No system call on the target itself before it is known to be unmounted: one on a mount of dead servers would block.
    let visible = files.path(path.parent()?).canonicalize().ok()?.join(path.file_name()?);
    if !mounts.at(&visible).is_empty() || !mounts.at(&path).is_empty() {
        return None;
    }
    let entries = fs::read_dir(files.path(&path)).ok()?.take(MOST_ENTRIES).count();
    (entries > 0).then_some(UnmountedTarget { path, entries })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kernel::client_state::tests::Tree;

    const OURS: &str = "azurelustre.csi.azure.com";

    fn volume(tree: &Tree, name: &str, driver: &str, entries: &[&str]) -> String {
        let volume = format!("/var/lib/kubelet/pods/uid-2/volumes/kubernetes.io~csi/{name}");
        tree.write(format!("{volume}/vol_data.json"), &format!("{{\"driverName\":\"{driver}\"}}"));
        fs::create_dir_all(tree.files().path(format!("{volume}/mount"))).unwrap();
        for entry in entries {
            tree.write(format!("{volume}/mount/{entry}"), "x");
        }
        format!("{volume}/mount")
    }

    fn shown(tree: &Tree) -> Vec<String> {
        let left = read(&tree.files(), "/var/lib/kubelet".as_ref(), OURS);
        left.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn entries_in_an_unmounted_target_of_this_driver_are_reported() {
        let tree = Tree::mounted();
        let unmounted = volume(&tree, "unmounted", OURS, &["data", "more/deep"]);
        volume(&tree, "empty", OURS, &[]);
        volume(&tree, "other", "hostpath.csi.k8s.io", &["data"]);
        let mounted = volume(&tree, "mounted", OURS, &["data"]);
        let table = format!("31 1 8:1 / / rw - ext4 /dev/sda1 rw\n38 31 1:2 / {mounted} rw - lustre a:/b rw\n");
        tree.write(MOUNTINFO, &table);
        let torn = volume(&tree, "torn", OURS, &["data"]);
        tree.write(Path::new(&torn).with_file_name("vol_data.json"), "");
        assert_eq!(shown(&tree), [format!("{unmounted} (2 entries)")]);
        fs::remove_file(tree.files().path(MOUNTINFO)).unwrap();
        assert!(shown(&tree).is_empty(), "without the table nothing is read");
        assert!(shown(&Tree::default()).is_empty());
    }
}
