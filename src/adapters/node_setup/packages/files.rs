//! Files of the private directory: written whole, hashed, synchronised to the disk, removed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::adapters::node_setup::error::SetupError;

/// A failed system call on a path of the private directory.
pub(super) fn failed(doing: &str, path: &Path, error: &io::Error) -> SetupError {
    let what = format!("cannot {doing} {}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            SetupError::try_again(what, error.to_string(), "Free space below /var/lib/azurelustre-csi on the node.")
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => SetupError::wrong_setting(
            what,
            error.to_string(),
            "Mount /var/lib/azurelustre-csi of the host read-write below /host.",
        ),
        _ => SetupError::try_again(what, error.to_string(), "Check the node's disk."),
    }
}

/// Makes a directory with its parents.
pub(super) fn make_dir(path: &Path) -> Result<(), SetupError> {
    fs::create_dir_all(path).map_err(|error| failed("create", path, &error))
}

/// Writes a file anew.
pub(super) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), SetupError> {
    fs::write(path, content).map_err(|error| failed("write", path, &error))
}

/// Removes a file or a directory with all that is in it; links are not followed. Absent is removed.
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

/// The same for what is not needed any more; what stays is removed by the next run.
pub(super) fn remove(path: &Path) {
    drop(try_remove(path));
}

/// Removes a directory's content, and makes it if it is not there.
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

/// Writes a tree to the disk, files before the directories that name them. Links are not followed.
pub(super) fn sync_tree(path: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            sync_tree(&entry?.path())?;
        }
    }
    if meta.is_dir() || meta.is_file() { File::open(path)?.sync_all() } else { Ok(()) }
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
