//! Unpacked clients in the private directory: staged beside their place, given their name when complete, removed when old.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files;
use super::record::{self, Record};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::{HostRoot, PRIVATE_DIR, PrivateDir};
use crate::adapters::node_setup::version::ClientVersion;

/// What the names of staging directories have behind the version.
const STAGING: &str = ".tmp-";
/// How many unpacked clients that are not loaded are kept: the one before, for going back.
const KEPT: usize = 2;

/// The place of one client for one kernel.
#[derive(Debug)]
pub(super) struct Store<'a> {
    host: &'a HostRoot,
    /// Both as the host sees them.
    place: PathBuf,
    staging: PathBuf,
}

impl<'a> Store<'a> {
    pub(super) fn new(host: &'a HostRoot, kernel: &str, client: &ClientVersion) -> Self {
        let staging = PrivateDir::staging(kernel, client, std::process::id());
        Self { host, place: PrivateDir::unpacked(kernel, client), staging }
    }

    /// Removes what runs that were killed have left. The caller holds the lock, so no other process is at work.
    pub(super) fn remove_leftovers(&self) -> Result<(), SetupError> {
        let kernels = subdirectories(&self.host.at(PRIVATE_DIR));
        let left = kernels.iter().flat_map(|kernel| subdirectories(kernel)).filter(|path| is_staging(path));
        left.into_iter()
            .try_for_each(|path| files::try_remove(&path).map_err(|error| files::failed("remove", &path, &error)))
    }

    /// Makes an empty staging directory and returns its `root`, as the host sees it.
    pub(super) fn stage(&self) -> Result<PathBuf, SetupError> {
        let root = self.staging.join("root");
        files::empty_dir(&self.host.at(&self.staging))?;
        files::make_dir(&self.host.at(&root))?;
        Ok(root)
    }

    /// Removes the staging directory.
    pub(super) fn discard(&self) {
        files::remove(&self.host.at(&self.staging));
    }

    /// Records what was staged, and gives it its name once it is on the disk. `package` is the package file as this process
    /// opens it.
    pub(super) fn complete(&self, package: &Path) -> Result<(), SetupError> {
        let staging = self.host.at(&self.staging);
        let failed = |error: io::Error| files::failed("complete", &staging, &error);
        let record = Record::of(package, &staging.join("root")).map_err(failed)?;
        files::write(&staging.join(record::NAME), record.to_json())?;
        files::sync_tree(&staging).map_err(failed)?;
        let place = self.host.at(&self.place);
        // What is there failed its check. A kill before the renaming leaves nothing, and the next run begins anew.
        files::try_remove(&place).map_err(failed)?;
        fs::rename(&staging, &place).map_err(failed)?;
        place.parent().map_or(Ok(()), |kernel| fs::File::open(kernel)?.sync_all()).map_err(failed)
    }
}

/// Removes unpacked clients, but the loaded one and the newest two others. Returns what could not be removed.
pub(super) fn prune(host: &HostRoot, kernel: &str, loaded: Option<&ClientVersion>) -> Vec<String> {
    let kept = loaded.map(|client| host.at(PrivateDir::unpacked(kernel, client)));
    let of_kernel = host.at(PRIVATE_DIR).join(kernel);
    let in_use = |path: &Path| match &kept {
        Some(loaded) => path == loaded,
        // Any of them may be the loaded one.
        None => path.starts_with(&of_kernel),
    };
    let mut failures = Vec::new();
    let mut remove = |path: &Path| {
        if let Err(error) = files::try_remove(path) {
            failures.push(format!("cannot remove {}: {error}", path.display()));
        }
    };
    let kernels = subdirectories(&host.at(PRIVATE_DIR));
    let clients = kernels.iter().flat_map(|kernel| subdirectories(kernel));
    let mut others: Vec<_> =
        clients.filter(|path| !in_use(path)).filter_map(|path| Some((unpacked_at(&path)?, path))).collect();
    others.sort_by(|a, b| b.cmp(a));
    others.iter().skip(KEPT).for_each(|(_, path)| remove(path));
    for kernel in kernels.iter().filter(|kernel| others.iter().any(|(_, path)| path.starts_with(kernel))) {
        // Fails where a client is left, which is right.
        drop(fs::remove_dir(kernel));
    }
    failures
}

/// When a client was unpacked; `None` for a directory that is not one.
fn unpacked_at(path: &Path) -> Option<SystemTime> {
    if is_staging(path) {
        return None;
    }
    fs::symlink_metadata(path.join(record::NAME)).ok()?.modified().ok()
}

fn is_staging(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(STAGING))
}

/// Directories in a directory; links are none.
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
                let file = fs::File::create(path.join(record::NAME)).unwrap();
                file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(at)).unwrap();
            }
            Self { _dir: dir, host }
        }

        fn left(&self) -> Vec<String> {
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
            assert_eq!(disk.left(), expected);
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
        assert_eq!(disk.left(), ["apt/lists", "k/3", "k/4", "k/notes", "tmp/x"]);
    }

    #[test]
    fn leftovers_of_killed_runs_are_removed() {
        let disk = Disk::with(&["k/1", "k/1.tmp-77", "old/2.tmp-1", "apt/lists"]);
        let client = ClientVersion::parse(NEW).unwrap();
        Store::new(&disk.host, "k", &client).remove_leftovers().unwrap();
        assert_eq!(disk.left(), ["apt/lists", "k/1"]);
    }

    #[test]
    fn a_directory_that_failed_its_check_is_replaced() {
        let client = ClientVersion::parse(NEW).unwrap();
        let disk = Disk::with(&[&format!("k/{NEW}")]);
        let store = Store::new(&disk.host, "k", &client);
        let root = disk.host.at(store.stage().unwrap());
        fs::write(root.join("file"), "x").unwrap();
        let package = disk.host.at("/package");
        fs::write(&package, "p").unwrap();
        store.complete(&package).unwrap();
        assert_eq!(disk.left(), [format!("k/{NEW}")]);
        assert!(disk.host.at(PrivateDir::unpacked("k", &client)).join("root/file").exists());
    }
}
