//! Making sub-directories: on a private mount of the file system's root that lives for a moment.
//!
//! Why it is careful: pods own what is in the file system and could plant a symbolic link where the next volume's
//! sub-directory is to be. So below the root nothing is reached by a path that the kernel may resolve elsewhere, and each
//! name is opened before anything is made in it. Whatever happens, the private mount is taken away; what a crash leaves
//! is known by its name and taken away at the next start.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};

use super::failure::{self, Fault};
use super::node::Node;
use super::{resolve, target};
use crate::domain::mount_options::MountOptions;
use crate::domain::mount_source::MountSource;
use crate::domain::sub_dir::SubDir;
use crate::ports::mounter::MountErrorKind;

const OPERATION: &str = "make the sub-directory of";
/// What the names of private mount points begin with.
const PREFIX: &str = "azurelustre-csi-root-";

impl Node {
    /// Makes the source's sub-directory, component by component; existing ones are left as they are.
    pub(super) fn make_sub_dir(&self, source: &MountSource) -> Result<(), Fault> {
        let Some(sub_dir) = &source.sub_dir else { return Ok(()) };
        let private = Private::mount(self, source)?;
        let root = target::open_directory(OPERATION, &private.place)?;
        let mode = Mode::from_bits_truncate(self.settings.sub_dir_mode);
        make_below(&root, sub_dir, mode).map_err(|errno| no_directory(source, sub_dir, errno))
    }

    /// Takes away private mounts that an earlier process left, and returns how many places were cleaned.
    pub(super) fn clean_leftovers(&self) -> Result<usize, Fault> {
        const CLEAN: &str = "clean";
        let directory = &self.settings.working_dir;
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(cause) => return Err(failure::of_path(&cause, CLEAN, directory, "the directory cannot be read")),
        };
        let is_private = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        let left = entries.flatten().filter(|entry| is_private(&entry.file_name()));
        let mut cleaned = 0;
        for place in left.map(|entry| target::place(&entry.path())) {
            match self.clean(CLEAN, &place).and_then(|()| target::remove(&place)) {
                Ok(()) => cleaned += 1,
                Err(fault) => tracing::warn!(?fault, "a private mount of an earlier process stays"),
            }
        }
        Ok(cleaned)
    }

    /// Takes away every mount of the driver's type at a private place, in use or not.
    fn clean(&self, operation: &'static str, place: &Path) -> Result<(), Fault> {
        let mut last = None;
        loop {
            let mounts = self.look(operation, place)?;
            let Some(top) = mounts.at(place).last().copied() else { return Ok(()) };
            if !self.is_ours(top) || last == Some(top.id) {
                let message = format!("a {} mount of {} is in the way", top.fs_type, top.source);
                return Err(Fault::at(MountErrorKind::Failed, operation, place, message).hint("unmount it by hand"));
            }
            last = Some(top.id);
            self.take_off(place).map_err(|errno| failure::of_unmount(errno, place))?;
        }
    }
}

/// A private mount of a file system's root. Dropping it takes it away.
struct Private<'a> {
    node: &'a Node,
    place: PathBuf,
    mounted: bool,
}

impl<'a> Private<'a> {
    fn mount(node: &'a Node, source: &MountSource) -> Result<Self, Fault> {
        let resolved = resolve::numeric(&*node.calls, OPERATION, source)?;
        let place = private_place(&node.settings.working_dir, source)?;
        // What a crash of this very operation left; before the path is touched, since its servers may be dead.
        node.clean(OPERATION, &place)?;
        make_private(&place)?;
        let mut private = Self { node, place, mounted: false };
        let directory = target::open_directory(OPERATION, &private.place)?;
        let options = MountOptions { no_suid: true, no_dev: true, no_exec: true, ..MountOptions::default() };
        node.call_mount(OPERATION, &resolved.root(), &options, &private.place, &directory)?;
        private.mounted = true;
        Ok(private)
    }
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        let unmounted = if self.mounted { self.node.take_off(&self.place) } else { Ok(()) };
        let removed = unmounted.map_err(io::Error::from).and_then(|()| std::fs::remove_dir(&self.place));
        if let Err(error) = removed {
            tracing::warn!(%error, place = %self.place.display(), "a private mount stays until the next start");
        }
    }
}

/// Where the private mount is made; the name follows from what it is for.
fn private_place(working_dir: &Path, source: &MountSource) -> Result<PathBuf, Fault> {
    let failed = |cause: io::Error| failure::of_path(&cause, OPERATION, working_dir, "the directory cannot be made");
    DirBuilder::new().recursive(true).mode(0o700).create(working_dir).map_err(failed)?;
    let digest = Sha256::digest(source.to_string().as_bytes());
    let number = digest.first_chunk().copied().map_or(0, u64::from_be_bytes);
    Ok(target::place(&working_dir.join(format!("{PREFIX}{number:016x}"))))
}

/// Makes the directory, or takes one that is there if it is the driver's: all may be able to write round it.
fn make_private(place: &Path) -> Result<(), Fault> {
    let failed = |cause: io::Error| failure::of_path(&cause, OPERATION, place, "no private directory can be made");
    match DirBuilder::new().mode(0o700).create(place) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(failed(cause)),
        made => drop(made),
    }
    let found = std::fs::symlink_metadata(place).map_err(failed)?;
    if found.is_dir() && found.uid() == geteuid().as_raw() {
        return Ok(());
    }
    let message = "it is there already and is no directory of the driver's";
    let hint = "remove it, or choose another working-mount-dir";
    Err(Fault::at(MountErrorKind::Failed, OPERATION, place, message).hint(hint))
}

fn make_below(root: &File, sub_dir: &SubDir, mode: Mode) -> Result<(), Errno> {
    let mut above: Option<File> = None;
    for name in sub_dir.as_str().split('/') {
        let directory = above.as_ref().unwrap_or(root);
        match mkdirat(directory, name, mode) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        above = Some(descend(directory, name)?);
    }
    Ok(())
}

/// Opens a directory in another. The kernel asks for another try when something is renamed meanwhile.
fn descend(above: &File, name: &str) -> Result<File, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(target::DIRECTORY).resolve(resolve);
    loop {
        match openat2(above, name, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            opened => return opened.map(File::from),
        }
    }
}

fn no_directory(source: &MountSource, sub_dir: &SubDir, errno: Errno) -> Fault {
    use MountErrorKind::{Denied, Failed, Invalid, Unreachable};
    let (kind, message, hint) = match errno {
        Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV => (
            Invalid,
            format!("`{sub_dir}` is no directory, or leads through a file or a symbolic link, which is never followed"),
            "remove what is in the way, or choose another sub-dir",
        ),
        Errno::EACCES | Errno::EPERM | Errno::EROFS => (
            Denied,
            format!("the servers do not allow this node to make `{sub_dir}`"),
            "check the root squash settings of the file system, or make the directory beforehand",
        ),
        Errno::ENOSPC | Errno::EDQUOT => (Failed, format!("there is no room to make `{sub_dir}`"), "free some space"),
        errno if failure::is_silence(errno) => {
            (Unreachable, format!("the servers at {} do not answer", source.mgs), failure::REACHABILITY)
        }
        _ => (Failed, format!("`{sub_dir}` cannot be made"), "the kernel's log (dmesg) may have more about it"),
    };
    Fault::new(kind, OPERATION, source.to_string(), message).hint(hint).because(errno)
}
