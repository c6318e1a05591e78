//! Symbolic links in place of mounts, for processes that may not mount: the target becomes a link to the directory.
//!
//! A pod's processes reach the same data by the same path. What a link cannot do is refuse anything: it is never read-only.

use std::io;
use std::path::Path;

use crate::adapters::target::io_error;
use crate::ports::mounter::{MountError, MountErrorKind};

/// Puts a link to `directory` in the place of the empty directory `target`.
pub(super) fn create(directory: &Path, target: &Path) -> Result<(), MountError> {
    std::fs::remove_dir(target).map_err(|cause| not_replaced(target, cause))?;
    std::os::unix::fs::symlink(directory, target).map_err(|cause| {
        let error = io_error("mount", target, "the link to the file system's directory cannot be made", cause);
        match std::fs::create_dir(target) {
            Ok(()) => error,
            Err(_) => error.with_hint("the target directory is lost with it; the next publish makes it anew"),
        }
    })
}

fn not_replaced(target: &Path, cause: io::Error) -> MountError {
    if cause.kind() == io::ErrorKind::DirectoryNotEmpty {
        let hint =
            "move its files away: without the right to mount, the simulator must replace the directory by a link";
        return MountError::at(MountErrorKind::Failed, "mount", target, "the directory is not empty").with_hint(hint);
    }
    io_error("mount", target, "the target directory cannot be replaced by a link", cause)
}

/// Whether `target` is a link to `directory`, as [`create`] made it.
pub(super) fn leads_to(directory: &Path, target: &Path) -> bool {
    std::fs::read_link(target).is_ok_and(|to| to == directory)
}

/// Puts the empty directory back in the place of the link. Anything but a link to `directory` is left as it is.
pub(super) fn remove(directory: &Path, target: &Path) -> Result<(), MountError> {
    if !leads_to(directory, target) {
        return Ok(());
    }
    let failed = |message| move |cause: io::Error| io_error("unmount", target, message, cause);
    std::fs::remove_file(target).map_err(failed("the link cannot be removed"))?;
    std::fs::create_dir(target).map_err(failed("the link is removed, but its directory cannot be put back"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_replaces_only_an_empty_directory_and_puts_it_back() {
        let root = tempfile::tempdir().unwrap();
        let (directory, target) = (root.path().join("files"), root.path().join("target"));
        std::fs::create_dir(&directory).unwrap();
        std::fs::create_dir_all(target.join("kept")).unwrap();
        let error = create(&directory, &target).unwrap_err();
        assert!(error.kind == MountErrorKind::Failed && error.hint.is_some(), "{error}");
        std::fs::remove_dir(target.join("kept")).unwrap();
        create(&directory, &target).unwrap();
        assert!(leads_to(&directory, &target));
        remove(&directory, &target).unwrap();
        assert!(std::fs::symlink_metadata(&target).unwrap().is_dir());
    }

    #[test]
    fn a_link_to_another_directory_is_not_removed() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        std::os::unix::fs::symlink("/elsewhere", &target).unwrap();
        remove(root.path(), &target).unwrap();
        assert!(leads_to(Path::new("/elsewhere"), &target));
    }
}
