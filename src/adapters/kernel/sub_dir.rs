//! Making sub-directories, and private mounts of a file system's root that live for a moment.
//!
//! Pods own what is in the file system and could plant a symbolic link where the next volume's sub-directory is to be. So
//! below the root nothing is reached by a path that the kernel may resolve elsewhere, and each name is opened before
//! anything is made in it. Whatever happens, the private mount is unmounted; what a crash leaves is known by its name and
//! removed at the next start.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::fcntl::{OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::geteuid;

use super::errno;
use super::mgs_limit::{self, Permit};
use super::node::{Node, open_directory};
use super::registry::{Answer, Key, Signal, Start, What};
use super::syscalls::{SysError, UnmountFlags};
use super::{KernelMounter, resolve, working_dir};
use crate::adapters::target;
use crate::domain::mount_options::MountOptions;
use crate::domain::mount_source::{FsName, MountSource};
use crate::domain::sub_dir::SubDir;
use crate::ports::mounter::{MountError, MountErrorKind};
use crate::ports::node_faults::NodeFault;

const OPERATION: &str = "make the sub-directory of";
/// What the names of private mount points begin with.
const PREFIX: &str = "azurelustre-csi-root-";
const CLEAN: &str = "clean";

impl KernelMounter {
    /// Makes the source's sub-directory; one that is in progress is waited for.
    pub(super) async fn make_sub_dir_of(&self, source: &MountSource) -> Result<(), MountError> {
        if source.sub_dir.is_none() {
            return Ok(());
        }
        let limit = self.node.settings.limits.mount;
        let (shown, source) = (source.to_string(), Arc::new(source.clone()));
        let mut permit = None;
        loop {
            let (given, with) = (Arc::clone(&source), permit.take());
            let work = move |node: &Node, start| node.make_sub_dir(&given, with, start);
            let mut signal = self.start(OPERATION, Path::new(&shown), limit, work).await?.wait(limit).await;
            if let Some(Signal::Met(mut met)) = signal {
                signal = met.waiter.wait(limit).await;
            }
            match signal {
                Some(Signal::Ended(reply)) => return reply.map(drop),
                Some(Signal::NeedsPermit) => permit = Some(self.permit(OPERATION, &source).await?),
                Some(Signal::Met(_)) => {}
                None => return Err(errno::stuck(OPERATION, shown, limit)),
            }
        }
    }
}

impl Node {
    fn make_sub_dir(&self, source: &Arc<MountSource>, permit: Option<Permit>, start: Start) {
        let what = What::MakeSubDir(Arc::clone(source));
        let Some(ticket) = self.registry.begin(Key::SubDir(source.to_string()), what, start) else { return };
        let Some(permit) = permit.or_else(|| self.mgs_limit.try_enter(&mgs_limit::key(source))) else {
            return ticket.withdraw();
        };
        ticket.finish(self.make_below_root(source, permit).map(|()| Answer::Done));
    }

    /// Makes the sub-directory, component by component; existing ones are left as they are. The permit ends before the
    /// private mount is unmounted, so that the next mount of the MGS does not wait for that.
    fn make_below_root(&self, source: &MountSource, permit: Permit) -> Result<(), MountError> {
        let Some(sub_dir) = &source.sub_dir else { return Ok(()) };
        let resolved = resolve::numeric(&*self.calls, OPERATION, source)?;
        let private = match Private::mount(self, OPERATION, &resolved) {
            Err(fault) if fault.kind == MountErrorKind::NotFound => {
                let instead = instead(&resolved).ok_or(fault)?;
                Private::mount(self, OPERATION, &instead)?
            }
            mounted => mounted?,
        };
        let root = open_directory(OPERATION, &private.place)?;
        let permissions = Mode::from_bits_truncate(self.settings.sub_dir_mode);
        let made = make_below(&root, sub_dir, permissions).map_err(|errno| no_directory(source, sub_dir, errno));
        drop((permit, root));
        made
    }

    /// What to mount where mount(2) of a source failed with ENOENT: `lustrefs`, if the MGS has no file system of the
    /// source's name; none if the file system is there, so that its sub-directory is missing.
    pub(super) fn existing(
        &self,
        operation: &'static str,
        source: &MountSource,
    ) -> Result<Option<MountSource>, MountError> {
        let Some(instead) = instead(source) else { return Ok(None) };
        if source.sub_dir.is_some() {
            match Private::mount(self, operation, source) {
                Ok(_private) => return Ok(None),
                Err(fault) if fault.kind == MountErrorKind::NotFound => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(Some(instead))
    }

    /// Removes private mounts that an earlier process left, and returns how many places were cleaned.
    pub(super) fn clean_leftovers(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(&self.settings.working_dir) else { return 0 };
        let mut cleaned = 0;
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_private(path)) {
            let place = target::canonical(CLEAN, &path).map(|place| place.unwrap_or(path));
            let removed = place.map_err(MountError::from).and_then(|place| {
                self.clean(CLEAN, &place)?;
                Ok(target::remove(&place)?)
            });
            match removed {
                Ok(()) => cleaned += 1,
                Err(fault) => tracing::warn!(?fault, "a private mount of an earlier process stays"),
            }
        }
        if cleaned > 0 {
            tracing::info!(cleaned, "private mounts of an earlier process were removed");
        }
        cleaned
    }

    /// Detaches every mount of the driver's type at a private place: nothing is written through one.
    fn clean(&self, operation: &'static str, place: &Path) -> Result<(), MountError> {
        let mut last = None;
        loop {
            let mounts = self.mounts(operation, place)?;
            let Some(top) = mounts.at(place).pop() else { return Ok(()) };
            if !self.is_ours(&top) || last == Some(top.id) {
                let message = format!("a {} mount of {} is in the way", top.fs_type, top.source);
                return Err(
                    MountError::at(MountErrorKind::Failed, operation, place, message).with_hint("unmount it by hand")
                );
            }
            last = Some(top.id);
            self.calls.unmount(place, UnmountFlags::Detach).map_err(|errno| errno::of_unmount(errno, place))?;
        }
    }
}

/// The same source of the file system that AMLFS has, if that is another.
fn instead(source: &MountSource) -> Option<MountSource> {
    let fs_name = FsName::default();
    (source.fs_name != fs_name).then(|| MountSource { fs_name, ..source.clone() })
}

/// Whether a path is that of a private mount, of any process and working directory.
pub(super) fn is_private(place: &Path) -> bool {
    place.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
}

/// A private mount of a file system's root. Dropping it unmounts it.
struct Private<'a> {
    node: &'a Node,
    place: PathBuf,
    mounted: bool,
}

impl<'a> Private<'a> {
    /// Mounts the root of a source without host names.
    fn mount(node: &'a Node, operation: &'static str, source: &MountSource) -> Result<Self, MountError> {
        let place = node.private_place(operation)?;
        // What a crash left there; before the path is touched, since its servers may be dead.
        node.clean(operation, &place)?;
        make_private(operation, &place)?;
        let mut private = Self { node, place, mounted: false };
        let directory = open_directory(operation, &private.place)?;
        let options = MountOptions { no_suid: true, no_dev: true, no_exec: true, ..MountOptions::default() };
        node.call_mount(operation, &source.root(), &options, &private.place, &directory)?;
        private.mounted = true;
        Ok(private)
    }
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        let unmounted = if self.mounted { self.node.unmount_or_detach(&self.place) } else { Ok(()) };
        let removed = unmounted.map_err(|error| error.to_string());
        let removed = removed.and_then(|()| std::fs::remove_dir(&self.place).map_err(|error| error.to_string()));
        if let Err(error) = removed {
            tracing::warn!(error, place = %self.place.display(), "a private mount stays until the next start");
        }
    }
}

impl Node {
    /// Where the next private mount is made.
    fn private_place(&self, operation: &'static str) -> Result<PathBuf, MountError> {
        let working_dir = &self.settings.working_dir;
        let failed = |cause: io::Error| unusable(operation, working_dir, &cause);
        DirBuilder::new().recursive(true).mode(0o700).create(working_dir).map_err(failed)?;
        let number = self.private_mounts.fetch_add(1, Ordering::Relaxed);
        Ok(working_dir.canonicalize().map_err(failed)?.join(format!("{PREFIX}{number:08}")))
    }
}

/// Makes the directory, or takes one that is there if it is the driver's: all may be able to write round it.
fn make_private(operation: &'static str, place: &Path) -> Result<(), MountError> {
    let failed = |cause: io::Error| unusable(operation, place.parent().unwrap_or(place), &cause);
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
    Err(MountError::at(MountErrorKind::Failed, operation, place, message).with_hint(hint))
}

/// A fault of the container's set-up, in the words of the check at the start.
fn unusable(operation: &'static str, working_dir: &Path, cause: &io::Error) -> MountError {
    let NodeFault { message, hint } = working_dir::unusable(working_dir, cause);
    let error = MountError::at(MountErrorKind::NotReady, operation, working_dir, message).with_hint(hint);
    errno::of_errno(cause, error)
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

fn no_directory(source: &MountSource, sub_dir: &SubDir, errno: Errno) -> MountError {
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
        errno if errno::is_silence(errno.into()) => {
            (Unreachable, format!("the servers at {} do not answer", source.mgs), errno::REACHABILITY)
        }
        _ => (Failed, format!("`{sub_dir}` cannot be made"), "the kernel's log (dmesg) may have more about it"),
    };
    MountError::new(kind, OPERATION, source.to_string(), message).with_hint(hint).caused_by(SysError::from(errno))
}
