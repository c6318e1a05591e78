//! Mounts for processes that may mount: real bind mounts, by mount(2) and umount2(2).
//!
//! The kernel ignores every option of a new bind mount but where it is (also `ro`, silently), so options come with a
//! second, changing call; and such a change stays in the mount namespace in which it is made, while a new mount appears in
//! all that share the place. So a mount gets its options aside, and what appears at the target is a copy of it: kubelet and
//! the pods see what the driver sees. Both ends of a mount are handed to the kernel as open directories, so that a symbolic
//! link that is planted meanwhile leads nowhere.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use sys_mount::{Mount, MountFlags};
use tempfile::TempDir;

use super::failure;
use super::filesystem::open_directory;
use crate::adapters::mountinfo::{MountEntry, Mountinfo};
use crate::domain::mount_options::MountOptions;
use crate::ports::mounter::{MountError, MountErrorKind};

/// What one mount of several can have for itself. The rest belongs to the file system below.
const PER_MOUNT: [(&str, MsFlags); 7] = [
    ("ro", MsFlags::MS_RDONLY),
    ("nosuid", MsFlags::MS_NOSUID),
    ("nodev", MsFlags::MS_NODEV),
    ("noexec", MsFlags::MS_NOEXEC),
    ("noatime", MsFlags::MS_NOATIME),
    ("relatime", MsFlags::MS_RELATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME),
];
/// How many of them a bind mount inherits and a change must repeat, or they are lost. In a user namespace the kernel
/// even refuses to drop them. Access times are inherited unless one of them is named.
const REPEATED: usize = 4;

/// Mounts an open directory on an empty target, and returns the number of the mount in mountinfo. `aside` is a directory
/// of this process, on which a mount with options is made first. If anything fails, nothing stays mounted.
pub(super) fn mount(directory: &File, target: &Path, options: &MountOptions, aside: &Path) -> Result<u64, MountError> {
    let failed = |cause| failure::at("mount", target, "the bind mount failed", cause);
    let staged = Staged::new(directory, options, aside).map_err(|cause| {
        let message = format!("a mount with the options {} could not be made", options.words().join(","));
        failure::at("mount", target, &message, cause)
    })?;
    attach(staged.root.as_ref().unwrap_or(directory), target).map_err(failed)?;
    Ok(newest(target).map_err(failed)?.id)
}

/// A mount with options, aside; it goes when this is dropped. Without options there is none.
struct Staged {
    /// Its root, closed before it is unmounted.
    root: Option<File>,
    place: Option<TempDir>,
}

impl Staged {
    fn new(directory: &File, options: &MountOptions, aside: &Path) -> io::Result<Self> {
        let asked = flags(&PER_MOUNT, &options.words());
        if asked.is_empty() {
            return Ok(Self { root: None, place: None });
        }
        std::fs::create_dir_all(aside)?;
        let place = tempfile::Builder::new().prefix("mount-").tempdir_in(aside.canonicalize()?)?;
        attach(directory, place.path())?;
        let mut staged = Self { root: None, place: Some(place) };
        let root = open_directory(staged.path())?;
        restrict(&root, asked, &newest(staged.path())?)?;
        staged.root = Some(root);
        Ok(staged)
    }

    fn path(&self) -> &Path {
        self.place.as_ref().map_or(Path::new(""), TempDir::path)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.root = None;
        let Some(place) = self.place.take() else { return };
        if let Err(error) = detach(place.path()) {
            // Removing the directory would remove the volume's files.
            let place = place.keep();
            tracing::warn!(%error, place = %place.display(), "a mount that was made aside is left; unmount it by hand");
        }
    }
}

fn attach(directory: &File, target: &Path) -> io::Result<()> {
    let onto = open_directory(target)?;
    Mount::builder().fstype("").flags(MountFlags::BIND).mount(by_number(directory), by_number(&onto)).map(drop)
}

/// The mounts on one path of this process, the lowest first. The path may hold no symbolic link.
pub(super) fn at(target: &Path) -> io::Result<Vec<MountEntry>> {
    Ok(Mountinfo::new(std::fs::read("/proc/self/mountinfo")?).all_at(target))
}

fn newest(target: &Path) -> io::Result<MountEntry> {
    at(target)?.pop().ok_or_else(|| io::Error::other("the new mount is not listed in /proc/self/mountinfo"))
}

fn restrict(mounted: &File, asked: MsFlags, inherited: &MountEntry) -> io::Result<()> {
    let repeated = flags(&PER_MOUNT[..REPEATED], &inherited.options);
    let change = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | asked | repeated;
    Ok(nix::mount::mount(None::<&Path>, &by_number(mounted), None::<&Path>, change, None::<&Path>)?)
}

fn flags(known: &[(&str, MsFlags)], words: &[impl AsRef<str>]) -> MsFlags {
    let named = known.iter().filter(|(name, _)| words.iter().any(|word| word.as_ref() == *name));
    named.map(|(_, flag)| *flag).collect()
}

/// A path to an open directory, good as long as it is open.
fn by_number(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// Takes away every mount on the target, also those that another process left. A mount in use is an error.
pub(super) fn unmount(target: &Path) -> Result<(), MountError> {
    let failed = |cause: io::Error| failure::at("unmount", target, "the mount cannot be taken away", cause);
    while take_off(target, MntFlags::empty()).map_err(failed)? {}
    let rest = at(target).map_err(failed)?;
    if rest.is_empty() {
        return Ok(());
    }
    let message = format!("{} mounts stay that this process cannot unmount", rest.len());
    let hint = "another mount hides them, or they belong to an outer mount namespace: unmount them there";
    Err(failure::refused(MountErrorKind::Failed, "unmount", target, message, hint))
}

/// Takes the mounts on the target out of sight at once; they end when nobody uses them any more.
pub(super) fn detach(target: &Path) -> io::Result<()> {
    while take_off(target, MntFlags::MNT_DETACH)? {}
    Ok(())
}

/// Takes the uppermost mount away; `false` if there was none.
fn take_off(target: &Path, how: MntFlags) -> io::Result<bool> {
    match umount2(target, how | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) => Ok(true),
        Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether this process can make such mounts and remove them: tried in a temporary directory below this one.
pub(super) fn is_possible(below: &Path) -> bool {
    let tried = || -> Result<(), MountError> {
        let failed = |cause| failure::at("mount", Path::new("a temporary directory"), "a trial failed", cause);
        let directory = tempfile::tempdir_in(below).map_err(failed)?;
        let target = directory.path().canonicalize().map_err(failed)?.join("target");
        std::fs::create_dir(&target).map_err(failed)?;
        let options = MountOptions { read_only: true, ..MountOptions::default() };
        mount(&open_directory(&target).map_err(failed)?, &target, &options, directory.path())?;
        unmount(&target)
    };
    tried().inspect_err(|error| tracing::debug!(%error, "bind mounts are not possible here")).is_ok()
}
