//! A simulated file system: a directory tree, its sub-directories, and its usage by statfs.
//!
//! Pods own what is in the tree and could plant a symbolic link where the next volume's sub-directory is to be. So below the
//! root every path is resolved by openat2(2) with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{Mode, mkdirat};

use crate::adapters::simulator::servers::{NotServed, Served, Servers};
use crate::adapters::target::{io_error, open_beneath, open_directory};
use crate::domain::mount_source::{FsName, MountSource};
use crate::domain::sub_dir::SubDir;
use crate::domain::text::quote;
use crate::ports::mounter::{Capacity, MountError, MountErrorKind, Usage};

/// Files counted at most, so that usage stays quick; a fuller tree is reported with what was counted.
const COUNTED_AT_MOST: u64 = 100_000;
/// Unit of `st_blocks`, whatever the file system's own block size is.
const STAT_BLOCK: u64 = 512;
/// One inode for so many bytes of capacity.
const BYTES_PER_INODE: u64 = 64 << 10;

/// A file system that is served. The open directory pins its identity: files that are made anew are another file system.
#[derive(Debug)]
pub(super) struct Filesystem {
    source: MountSource,
    served: Served,
    root: File,
}

impl Filesystem {
    /// Asks the servers for the file system of a source; its sub-directory is not read.
    pub(super) fn open(operation: &'static str, servers: &Servers, source: &MountSource) -> Result<Self, MountError> {
        let source = &with_served_name(servers, source);
        let served =
            servers.find(&source.mgs, &source.fs_name).map_err(|error| no_filesystem(operation, source, error))?;
        let failed =
            |cause| io_error(operation, &served.files, "the directory that holds the files cannot be used", cause);
        std::fs::create_dir_all(&served.files).map_err(failed)?;
        let root = open_directory(&served.files).map_err(failed)?;
        Ok(Self { source: source.clone(), served, root })
    }

    /// Why a mount of this file system is corrupt, if it is: its servers stopped, or it was deleted.
    pub(super) fn corruption(&self, servers: &Servers) -> Option<String> {
        match servers.find(&self.source.mgs, &self.source.fs_name) {
            Err(NotServed::Unreachable) => {
                Some(format!("no server answers at {} any more (ENOTCONN)", self.source.mgs))
            }
            Err(NotServed::OtherFilesystem) => {
                Some(format!("{} serves another file system now (ESTALE)", self.source.mgs))
            }
            Ok(served) if self.is_at(&served.files) => None,
            Ok(_) => Some(format!("the files of {} were removed or made anew (ESTALE)", self.source.root())),
        }
    }

    fn is_at(&self, files: &Path) -> bool {
        let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
        let mine = self.root.metadata().map(identity);
        let there = std::fs::symlink_metadata(files).map(identity);
        mine.is_ok_and(|mine| there.is_ok_and(|there| mine == there))
    }

    /// The directory that the source names, and its path. Symbolic links are not followed.
    pub(super) fn directory(&self, operation: &'static str) -> Result<(File, PathBuf), MountError> {
        let Some(sub_dir) = &self.source.sub_dir else {
            return Ok((self.root(operation)?, self.served.files.clone()));
        };
        let directory = open_beneath(&self.root, sub_dir.as_str());
        let directory = directory.map_err(|errno| self.no_directory(operation, sub_dir, errno))?;
        Ok((directory, self.served.files.join(sub_dir.as_str())))
    }

    fn root(&self, operation: &'static str) -> Result<File, MountError> {
        self.root.try_clone().map_err(|cause| self.failed(operation, "its root cannot be opened", cause))
    }

    /// Makes the directory that the source names, component by component, with these permissions; existing ones are left
    /// as they are.
    pub(super) fn make_directory(&self, mode: u32) -> Result<(), MountError> {
        const OPERATION: &str = "make the sub-directory of";
        let Some(sub_dir) = &self.source.sub_dir else { return Ok(()) };
        let mut parent = self.root(OPERATION)?;
        for name in sub_dir.as_str().split('/') {
            parent = make_in(&parent, name, mode).map_err(|errno| self.no_directory(OPERATION, sub_dir, errno))?;
        }
        Ok(())
    }

    fn no_directory(&self, operation: &'static str, sub_dir: &SubDir, errno: Errno) -> MountError {
        let shown = quote(sub_dir.as_str());
        let (kind, message, hint) = match errno {
            Errno::ENOENT => (
                MountErrorKind::NotFound,
                format!("the file system has no directory {shown}"),
                "make the directory, or publish the volume writable once, which makes it",
            ),
            Errno::ENOTDIR | Errno::ELOOP => (
                MountErrorKind::Invalid,
                format!("{shown} is no directory, or leads through a file or a symbolic link, which is never followed"),
                "remove what is in the way, or choose another sub-dir",
            ),
            _ => return self.failed(operation, &format!("its directory {shown} cannot be used"), errno.into()),
        };
        MountError::new(kind, operation, self.source.to_string(), message).with_hint(hint).caused_by(errno)
    }

    fn failed(&self, operation: &'static str, message: &str, cause: io::Error) -> MountError {
        let error = io_error(operation, &self.served.files, message, cause);
        MountError { subject: self.source.to_string(), ..error }
    }

    /// Space and inodes of the whole file system, as Lustre reports them for mounts of sub-directories too.
    pub(super) fn usage(&self) -> Usage {
        let (bytes, inodes) = count(&self.served.files);
        let capacity = self.served.capacity.0;
        let most = capacity / BYTES_PER_INODE;
        Usage { bytes: used_of(capacity, bytes), inodes: (most > 0).then(|| used_of(most, inodes)) }
    }
}

/// The source or, where its servers have no file system of that name, the same of `lustrefs` if they have that one: as
/// the kernel adapter mounts it, since the Go driver never reads `fs-name`.
fn with_served_name(servers: &Servers, source: &MountSource) -> MountSource {
    let default = MountSource { fs_name: FsName::default(), ..source.clone() };
    let is_other = servers.find(&source.mgs, &source.fs_name) == Err(NotServed::OtherFilesystem);
    if is_other && servers.find(&default.mgs, &default.fs_name).is_ok() {
        tracing::warn!(requested = %source, mounted = %default, "the MGS has no file system of this name; lustrefs is mounted");
        return default;
    }
    source.clone()
}

fn no_filesystem(operation: &'static str, source: &MountSource, error: NotServed) -> MountError {
    let (kind, message, hint) = match error {
        NotServed::Unreachable => (
            MountErrorKind::Unreachable,
            format!("no server answers at {}", source.mgs),
            "check the MGS address, and that the file system was not deleted",
        ),
        NotServed::OtherFilesystem => (
            MountErrorKind::NotFound,
            format!("the servers at {} have no file system named {}", source.mgs, source.fs_name),
            "check fs-name; AMLFS file systems are named lustrefs",
        ),
    };
    MountError::new(kind, operation, source.to_string(), message).with_hint(hint)
}

/// Makes a directory in another and opens it; one that is there is only opened.
fn make_in(parent: &File, name: &str, mode: u32) -> Result<File, Errno> {
    let is_new = match mkdirat(parent, name, Mode::S_IRWXU) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => return Err(errno),
    };
    let directory = open_beneath(parent, name)?;
    if is_new {
        // By the open directory, and not through mkdirat(2), whose mode the umask of the process restricts.
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let changed = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
        changed.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))?;
    }
    Ok(directory)
}

/// Bytes and entries of a tree. What cannot be read, or vanishes meanwhile, is left out.
fn count(root: &Path) -> (u64, u64) {
    let (mut bytes, mut entries) = (0_u64, 1_u64);
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            bytes = bytes.saturating_add(found.blocks().saturating_mul(STAT_BLOCK));
            entries += 1;
            if entries >= COUNTED_AT_MOST {
                return (bytes, entries);
            }
            if found.is_dir() {
                open.push(entry.path());
            }
        }
    }
    (bytes, entries)
}

fn used_of(total: u64, counted: u64) -> Capacity {
    let used = counted.min(total);
    Capacity { total, used, available: total - used }
}
