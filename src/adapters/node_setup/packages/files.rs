//! Files of the private directory: write, hash, walk, synchronise and remove; paths that leave a directory tree.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use crate::adapters::node_setup::error::SetupError;

/// A failed system call on a path of the private directory.
pub(super) fn failed(operation: &str, path: &Path, error: &io::Error) -> SetupError {
    let what = format!("cannot {operation} {}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            SetupError::try_again(what, error.to_string(), DISK_FULL_HINT)
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            SetupError::wrong_setting(what, error.to_string(), READ_ONLY_HINT)
        }
        _ => SetupError::try_again(what, error.to_string(), "Check the node's disk."),
    }
}

pub(super) const DISK_FULL_HINT: &str = "Free space below /var/lib/azurelustre-csi on the node.";
pub(super) const READ_ONLY_HINT: &str = "Mount /var/lib/azurelustre-csi of the host read-write below /host.";

/// Makes a directory with its parents.
pub(super) fn make_dir(path: &Path) -> Result<(), SetupError> {
    fs::create_dir_all(path).map_err(|error| failed("create", path, &error))
}

/// Writes a file, and replaces one that is there.
pub(super) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), SetupError> {
    fs::write(path, content).map_err(|error| failed("write", path, &error))
}

/// Removes a file, or a directory with its content, if it exists. Links are not followed.
pub(super) fn try_remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// [`try_remove`] of what is no longer needed. After a failure the next run removes it.
pub(super) fn remove(path: &Path) {
    drop(try_remove(path));
}

/// Removes a directory's content, and makes the directory if it is absent.
pub(super) fn empty_dir(path: &Path) -> Result<(), SetupError> {
    try_remove(path).map_err(|error| failed("empty", path, &error))?;
    make_dir(path)
}

/// The SHA-256 of a file in lower-case hexadecimal digits.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hash, mut chunk) = (hmac_sha256::Hash::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hash.finalize().map(|byte| format!("{byte:02x}")).concat()),
            read => hash.update(&chunk[..read]),
        }
    }
}

/// Everything below a directory by path relative to it, a directory before its content. Links are not followed.
pub(super) fn walk(root: &Path) -> io::Result<Vec<(PathBuf, fs::Metadata)>> {
    let (mut entries, mut dirs) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root.join(&dir))? {
            let entry = entry?;
            let (path, meta) = (dir.join(entry.file_name()), entry.metadata()?);
            if meta.is_dir() {
                dirs.push(path.clone());
            }
            entries.push((path, meta));
        }
    }
    Ok(entries)
}

/// Writes a directory tree to the disk by fsync(2): files before the directories that name them.
pub(super) fn sync_tree(root: &Path) -> io::Result<()> {
    let entries = walk(root)?;
    let entries = entries.iter().rev().filter(|(_, meta)| meta.is_dir() || meta.is_file());
    let mut paths = entries.map(|(path, _)| root.join(path)).chain([root.to_owned()]);
    paths.try_for_each(|path| File::open(path)?.sync_all())
}

/// Whether a symbolic link at `name` with this target leads to nothing outside of the root that `name` is relative to. A
/// `..` after a name is refused, since the name may be a link itself.
pub(super) fn is_link_within_root(name: &Path, target: &Path) -> bool {
    let mut parts = target.components().skip_while(|part| matches!(part, Component::ParentDir | Component::CurDir));
    let dir = name.parent().unwrap_or(Path::new(""));
    is_within_root(Path::new(""), name) && is_within_root(dir, target) && parts.all(|part| part != Component::ParentDir)
}

/// Whether `path`, relative to the directory `dir` of the root, never leaves the root.
pub(super) fn is_within_root(dir: &Path, path: &Path) -> bool {
    let mut parts = dir.components().chain(path.components());
    let depth = parts.try_fold(0_usize, |depth, part| match part {
        Component::Normal(_) => Some(depth + 1),
        Component::CurDir => Some(depth),
        Component::ParentDir => depth.checked_sub(1),
        Component::RootDir | Component::Prefix(_) => None,
    });
    depth.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha256() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "abc").unwrap();
        assert_eq!(sha256(&path).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn removing_a_link_leaves_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::create_dir(&target).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        try_remove(&link).unwrap();
        assert!(target.exists() && fs::symlink_metadata(&link).is_err());
        try_remove(&link).unwrap();
    }
}
