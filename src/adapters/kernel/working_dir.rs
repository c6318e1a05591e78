//! Check of the working directory (`--working-mount-dir`), in which private mounts are made.
//!
//! It is checked before the first volume needs it, since the root file system of a container is often read-only.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::ports::node_faults::NodeFault;

/// The setting that names the directory.
const SETTING: &str = "--working-mount-dir";

/// Permissions of the directories that are made: other users must not see the root of a file system.
pub(super) const MODE: u32 = 0o700;

/// The fault of a directory that cannot be used. Makes a directory in it, and it if it is absent, and removes again what it
/// made.
pub fn fault(directory: &Path) -> Option<NodeFault> {
    make_and_remove(directory).err().map(|cause| unusable(directory, &cause))
}

/// The fault of a directory that cannot be used because of `cause`.
pub(super) fn unusable(directory: &Path, cause: &io::Error) -> NodeFault {
    NodeFault {
        message: format!("{SETTING}: {} cannot be used for private mounts: {cause}", directory.display()),
        hint: "mount an emptyDir there, or name another directory that can be written".to_owned(),
    }
}

fn make_and_remove(directory: &Path) -> io::Result<()> {
    let absent: Vec<PathBuf> = directory.ancestors().take_while(|path| is_absent(path)).map(Path::to_owned).collect();
    let made = DirBuilder::new().recursive(true).mode(MODE).create(directory).and_then(|()| {
        let name = format!(".azurelustre-csi-check-{}", std::process::id());
        let inner = directory.join(name);
        DirBuilder::new().mode(MODE).create(&inner).or_else(ignore_existing)?;
        std::fs::remove_dir(&inner)
    });
    for path in absent {
        // A directory that is in use meanwhile stays.
        drop(std::fs::remove_dir(path));
    }
    made
}

/// A check that was killed leaves its directory.
fn ignore_existing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

fn is_absent(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usable_directory_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("other"), "x").unwrap();
        assert_eq!(fault(folder.path()), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fault(&folder.path().join("absent/below")), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let left = folder.path().join(format!(".azurelustre-csi-check-{}", std::process::id()));
        std::fs::create_dir(&left).unwrap();
        assert_eq!(fault(folder.path()), None);
        assert!(!left.exists());
    }

    #[test]
    fn every_unusable_directory_is_reported_with_the_setting_and_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink("absent", folder.path().join("dangling")).unwrap();
        std::os::unix::fs::symlink("loop", folder.path().join("loop")).unwrap();
        for unusable in [
            file.clone(),
            file.join("below"),
            folder.path().join("dangling"),
            folder.path().join("loop"),
            folder.path().join("x".repeat(300)),
            // File systems in which no process may make directories.
            "/proc/self/work".into(),
            "/sys/work".into(),
        ] {
            let NodeFault { message, hint } = fault(&unusable).unwrap();
            let begin = format!("--working-mount-dir: {} cannot be used for private mounts: ", unusable.display());
            assert!(message.starts_with(&begin), "{message}");
            assert!(hint.contains("mount an emptyDir there"), "{hint}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing was left");
    }
}
