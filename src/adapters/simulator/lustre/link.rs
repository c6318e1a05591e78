//! Mounts for processes that may not mount: the target becomes a symbolic link to the directory.
//!
//! Why it is good enough: a pod's processes reach the same data by the same path. What a link cannot do is refuse
//! anything: it is never read-only.

use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::failure;
use crate::ports::mounter::{MountError, MountErrorKind};

/// Puts a link to `directory` in the place of the empty directory `target`.
pub(super) fn mount(directory: &Path, target: &Path) -> Result<(), MountError> {
    std::fs::remove_dir(target).map_err(|cause| not_replaced(target, cause))?;
    symlink(directory, target).map_err(|cause| {
        let error = failure::at("mount", target, "the link to the file system's directory cannot be made", cause);
        match std::fs::create_dir(target) {
            Ok(()) => error,
            Err(_) => MountError {
                hint: Some("the target directory is lost with it; the next publish makes it anew".into()),
                ..error
            },
        }
    })
}

fn not_replaced(target: &Path, cause: io::Error) -> MountError {
    if cause.kind() == io::ErrorKind::DirectoryNotEmpty {
        let hint =
            "move its files away: without the right to mount, the simulator must replace the directory by a link";
        return failure::refused(MountErrorKind::Failed, "mount", target, "the directory is not empty", hint);
    }
    failure::at("mount", target, "the target directory cannot be replaced by a link", cause)
}

/// Whether `target` is still the link that [`mount`] made.
pub(super) fn is_held(directory: &Path, target: &Path) -> bool {
    std::fs::read_link(target).is_ok_and(|to| to == directory)
}

/// Puts the empty directory back. Anything but our link is left as it is.
pub(super) fn unmount(directory: &Path, target: &Path) -> Result<(), MountError> {
    if !is_held(directory, target) {
        return Ok(());
    }
    let failed = |message| move |cause: io::Error| failure::at("unmount", target, message, cause);
    std::fs::remove_file(target).map_err(failed("the link cannot be removed"))?;
    std::fs::create_dir(target).map_err(failed("the link is gone, but its directory cannot be put back"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_takes_the_place_of_an_empty_directory_only_and_gives_it_back() {
        let root = tempfile::tempdir().unwrap();
        let (directory, target) = (root.path().join("files"), root.path().join("target"));
        std::fs::create_dir(&directory).unwrap();
        std::fs::create_dir_all(target.join("kept")).unwrap();
        let error = mount(&directory, &target).unwrap_err();
        assert!(error.kind == MountErrorKind::Failed && error.hint.is_some(), "{error}");
        std::fs::remove_dir(target.join("kept")).unwrap();
        mount(&directory, &target).unwrap();
        assert!(is_held(&directory, &target));
        unmount(&directory, &target).unwrap();
        assert!(std::fs::symlink_metadata(&target).unwrap().is_dir());
    }

    #[test]
    fn a_link_that_is_not_ours_is_left() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        symlink("/elsewhere", &target).unwrap();
        unmount(root.path(), &target).unwrap();
        assert!(is_held(Path::new("/elsewhere"), &target));
    }
}
