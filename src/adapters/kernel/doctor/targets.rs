//! Targets of kubelet that hold entries although nothing is mounted on them.
//!
//! A pod writes them while its volume is not mounted; a mount hides them. NodeUnpublishVolume removes only an empty
//! directory, so it fails until somebody moves them away.

use std::fs;
use std::path::{Path, PathBuf};

use crate::adapters::kernel::client_state::{self, KernelFiles, MOUNTINFO};
use crate::adapters::kernel::vol_data::VolData;
use crate::adapters::mountinfo::Mountinfo;

/// Most entries of one directory that are counted.
const COUNTED: usize = 1000;

/// Most targets that are reported.
const MOST: usize = 64;

/// A target with entries and no mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftEntries {
    /// The target.
    pub(super) target: PathBuf,
    /// How many entries it holds, at most [`COUNTED`].
    pub(super) entries: usize,
}

impl std::fmt::Display for LeftEntries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let more = if self.entries >= COUNTED { " or more" } else { "" };
        write!(f, "{} ({}{more} entries)", self.target.display(), self.entries)
    }
}

/// The bare targets with entries among the volumes that kubelet's records ascribe to this driver. None if the mounts are
/// unknown: a directory is only read if nothing is mounted on it.
pub(super) fn read(paths: &KernelFiles, kubelet_dir: &Path, driver_name: &str) -> Vec<LeftEntries> {
    let Ok(mounts) = client_state::mountinfo(paths, MOUNTINFO.as_ref()) else { return Vec::new() };
    let pods = kubelet_dir.join("pods");
    let volumes = directories(paths, &pods).into_iter().map(|pod| pod.join("volumes/kubernetes.io~csi"));
    let volumes = volumes.flat_map(|volumes| directories(paths, &volumes));
    let of_driver =
        volumes.filter(|volume| VolData::read(&paths.path(volume)).driver_name.as_deref() == Some(driver_name));
    of_driver.filter_map(|volume| left(paths, &mounts, volume.join("mount"))).take(MOST).collect()
}

/// The directories in a directory, by name.
fn directories(paths: &KernelFiles, directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(paths.path(directory)).into_iter().flatten().flatten();
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut found: Vec<PathBuf> = entries.filter(is_directory).map(|entry| directory.join(entry.file_name())).collect();
    found.sort();
    found
}

fn left(paths: &KernelFiles, mounts: &Mountinfo, target: PathBuf) -> Option<LeftEntries> {
    // The target itself is not touched before it is known to be bare: a mount of dead servers would hold the caller.
    let visible = paths.path(target.parent()?).canonicalize().ok()?.join(target.file_name()?);
    if !mounts.at(&visible).is_empty() || !mounts.at(&target).is_empty() {
        return None;
    }
    let entries = fs::read_dir(paths.path(&target)).ok()?.take(COUNTED).count();
    (entries > 0).then_some(LeftEntries { target, entries })
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
    fn entries_in_a_bare_target_of_this_driver_are_reported() {
        let tree = Tree::mounted();
        let bare = volume(&tree, "bare", OURS, &["data", "more/deep"]);
        volume(&tree, "empty", OURS, &[]);
        volume(&tree, "other", "hostpath.csi.k8s.io", &["data"]);
        let mounted = volume(&tree, "mounted", OURS, &["data"]);
        let table = format!("31 1 8:1 / / rw - ext4 /dev/sda1 rw\n38 31 1:2 / {mounted} rw - lustre a:/b rw\n");
        tree.write(MOUNTINFO, &table);
        let torn = volume(&tree, "torn", OURS, &["data"]);
        tree.write(Path::new(&torn).with_file_name("vol_data.json"), "");
        assert_eq!(shown(&tree), [format!("{bare} (2 entries)")]);
        fs::remove_file(tree.files().path(MOUNTINFO)).unwrap();
        assert!(shown(&tree).is_empty(), "without the table nothing is read");
        assert!(shown(&Tree::default()).is_empty());
    }
}
