//! Unpacked clients in the private directory: a staging directory, rename(2) to the final name when complete, removal of
//! old clients.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files;
use super::manifest::{self, Manifest};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::{HostRoot, PRIVATE_DIR, staging_dir, unpacked_dir};
use crate::adapters::node_setup::version::ClientVersion;

/// The part of a staging directory's name after the version.
const STAGING: &str = ".tmp-";
/// How many unpacked clients that are not loaded are kept, for a return to an earlier kernel or client.
const KEPT: usize = 2;

/// The directories of one client for one kernel, as the host sees them.
#[derive(Debug)]
pub(super) struct Store<'a> {
    host: &'a HostRoot,
    unpacked: PathBuf,
    staging: PathBuf,
}

impl<'a> Store<'a> {
    pub(super) fn new(host: &'a HostRoot, kernel: &str, client: &ClientVersion) -> Self {
        let staging = staging_dir(kernel, client, std::process::id());
        Self { host, unpacked: unpacked_dir(kernel, client), staging }
    }

    /// Removes staging directories of runs that were killed. The caller holds the lock, so no other process uses one.
    pub(super) fn remove_stale_staging(&self) -> Result<(), SetupError> {
        let kernels = subdirectories(&self.host.at(PRIVATE_DIR));
        let mut stale = kernels.iter().flat_map(|kernel| subdirectories(kernel)).filter(|path| is_staging(path));
        stale.try_for_each(|path| files::try_remove(&path).map_err(|error| files::failed("remove", &path, &error)))
    }

    /// Makes an empty staging directory and returns its `root`, as the host sees it.
    pub(super) fn create_staging(&self) -> Result<PathBuf, SetupError> {
        let root = self.staging.join("root");
        files::empty_dir(&self.host.at(&self.staging))?;
        files::make_dir(&self.host.at(&root))?;
        Ok(root)
    }

    /// Removes the staging directory.
    pub(super) fn remove_staging(&self) {
        files::remove(&self.host.at(&self.staging));
    }

    /// Writes the manifest of the staging directory, and renames the directory to its final name once it is on the disk.
    /// `package` is the package file as this process opens it.
    pub(super) fn commit(&self, package: &Path) -> Result<(), SetupError> {
        let staging = self.host.at(&self.staging);
        let failed = |error: io::Error| files::failed("complete", &staging, &error);
        let manifest = Manifest::of(package, &staging.join("root")).map_err(failed)?;
        files::write(&staging.join(manifest::NAME), manifest.to_json())?;
        files::sync_tree(&staging).map_err(failed)?;
        let unpacked = self.host.at(&self.unpacked);
        // A directory of that name is incomplete. A kill before the rename leaves none, and the next run starts anew.
        files::try_remove(&unpacked).map_err(failed)?;
        fs::rename(&staging, &unpacked).map_err(failed)?;
        unpacked.parent().map_or(Ok(()), |kernel| fs::File::open(kernel)?.sync_all()).map_err(failed)
    }
}

/// Removes unpacked clients, except the loaded one and the newest two others. Returns the failures. Without `loaded`, any
/// client of this kernel may be the loaded one.
pub(super) fn prune(host: &HostRoot, kernel: &str, loaded: Option<&ClientVersion>) -> Vec<String> {
    let of_kernel = || Path::new(PRIVATE_DIR).join(kernel);
    let in_use = host.at(loaded.map_or_else(of_kernel, |client| unpacked_dir(kernel, client)));
    let kernels = subdirectories(&host.at(PRIVATE_DIR));
    let clients = kernels.iter().flat_map(|kernel| subdirectories(kernel)).filter(|path| !path.starts_with(&in_use));
    let mut others: Vec<_> = clients.filter_map(|path| Some((unpacked_at(&path)?, path))).collect();
    others.sort_by(|a, b| b.cmp(a));
    let remove = |(_, path): &(SystemTime, PathBuf)| {
        files::try_remove(path).err().map(|error| format!("cannot remove {}: {error}", path.display()))
    };
    let failures = others.iter().skip(KEPT).filter_map(remove).collect();
    for kernel in kernels.iter().filter(|kernel| others.iter().any(|(_, path)| path.starts_with(kernel))) {
        // Fails where a client is left, which is correct.
        drop(fs::remove_dir(kernel));
    }
    failures
}

/// When a client was unpacked; `None` for another directory.
fn unpacked_at(path: &Path) -> Option<SystemTime> {
    if is_staging(path) {
        return None;
    }
    fs::symlink_metadata(path.join(manifest::NAME)).ok()?.modified().ok()
}

fn is_staging(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(STAGING))
}

/// Directories in a directory, without links to directories.
fn subdirectories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NEW: &str = "2.17.0-24-gf517bc4";

    struct Disk {
        _dir: tempfile::TempDir,
        host: HostRoot,
    }

    impl Disk {
        /// Unpacked clients, the first the oldest.
        fn with(clients: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let host = HostRoot::directory(dir.path());
            for (at, client) in (0_u64..).zip(clients) {
                let path = host.at(PRIVATE_DIR).join(client);
                fs::create_dir_all(path.join("root")).unwrap();
                let file = fs::File::create(path.join(manifest::NAME)).unwrap();
                file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(at)).unwrap();
            }
            Self { _dir: dir, host }
        }

        fn clients(&self) -> Vec<String> {
            let private = self.host.at(PRIVATE_DIR);
            let kernels = subdirectories(&private);
            let clients = kernels.iter().flat_map(|kernel| subdirectories(kernel));
            let mut names: Vec<_> =
                clients.map(|path| path.strip_prefix(&private).unwrap().display().to_string()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn the_loaded_client_and_the_newest_two_others_stay() {
        let version = ClientVersion::parse("1").unwrap();
        for (clients, loaded, expected) in [
            (&["k/1", "k/2", "k/3", "k/4"][..], Some(&version), &["k/1", "k/3", "k/4"][..]),
            (&["old/1", "k/1", "old/3", "k/4"], Some(&version), &["k/1", "k/4", "old/3"]),
            (&["k/1", "k/2", "k/3", "old/1", "old/2", "old/3"], None, &["k/1", "k/2", "k/3", "old/2", "old/3"]),
            (&["k/1"], Some(&version), &["k/1"]),
        ] {
            let disk = Disk::with(clients);
            assert_eq!(prune(&disk.host, "k", loaded), Vec::<String>::new());
            assert_eq!(disk.clients(), expected);
        }
        let disk = Disk::with(&["gone/1", "k/1", "k/2", "k/3"]);
        prune(&disk.host, "k", Some(&version));
        assert!(!disk.host.at(PRIVATE_DIR).join("gone").exists(), "an empty directory of a kernel is removed");
    }

    #[test]
    fn other_directories_are_never_removed() {
        let disk = Disk::with(&["k/1", "k/2", "k/3", "k/4"]);
        for path in ["apt/lists/partial", "packages", "tmp/x", "k/notes"] {
            fs::create_dir_all(disk.host.at(PRIVATE_DIR).join(path)).unwrap();
        }
        prune(&disk.host, "other", None);
        assert_eq!(disk.clients(), ["apt/lists", "k/3", "k/4", "k/notes", "tmp/x"]);
    }

    #[test]
    fn staging_directories_of_killed_runs_are_removed() {
        let disk = Disk::with(&["k/1", "k/1.tmp-77", "old/2.tmp-1", "apt/lists"]);
        let client = ClientVersion::parse(NEW).unwrap();
        Store::new(&disk.host, "k", &client).remove_stale_staging().unwrap();
        assert_eq!(disk.clients(), ["apt/lists", "k/1"]);
    }

    #[test]
    fn an_incomplete_directory_is_replaced() {
        let client = ClientVersion::parse(NEW).unwrap();
        let disk = Disk::with(&[&format!("k/{NEW}")]);
        let store = Store::new(&disk.host, "k", &client);
        let root = disk.host.at(store.create_staging().unwrap());
        fs::write(root.join("file"), "x").unwrap();
        let package = disk.host.at("/package");
        fs::write(&package, "p").unwrap();
        store.commit(&package).unwrap();
        assert_eq!(disk.clients(), [format!("k/{NEW}")]);
        assert!(disk.host.at(unpacked_dir("k", &client)).join("root/file").exists());
    }
}
