//! Bind mounts by mount(2) and umount2(2), for processes that may mount.
//!
//! mount(2) ignores the options of a new bind mount (also `ro`, silently), so options need a second call, `MS_REMOUNT |
//! MS_BIND`; and such a change stays in the mount namespace in which it is made, while a new mount propagates to every peer.
//! So a mount gets its options in a staging directory, and what appears at the target is a copy of it: kubelet and the pods
//! see what the driver sees. Both ends of a mount are given as open directories, so that a symbolic link that is planted
//! after the check leads nowhere.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use tempfile::TempDir;

use crate::adapters::mountinfo::{MountEntry, Mountinfo};
use crate::adapters::target::{io_error, open_directory};
use crate::domain::mount_options::MountOptions;
use crate::ports::mounter::{MountError, MountErrorKind};

/// Flags that one mount of several can have for itself (mount(2), "Creating a bind mount"). The rest belongs to the file
/// system below.
const PER_MOUNT: [(&str, MsFlags); 7] = [
    ("ro", MsFlags::MS_RDONLY),
    ("nosuid", MsFlags::MS_NOSUID),
    ("nodev", MsFlags::MS_NODEV),
    ("noexec", MsFlags::MS_NOEXEC),
    ("noatime", MsFlags::MS_NOATIME),
    ("relatime", MsFlags::MS_RELATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME),
];
/// How many of them a bind mount inherits and a remount must repeat, or they are lost; in a user namespace the kernel
/// refuses to drop them. Access times are inherited unless one of them is named.
const REPEATED: usize = 4;

/// Mounts an open directory on an empty target and returns the mount ID. If it fails, nothing stays mounted.
pub(super) fn mount(
    directory: &File,
    target: &Path,
    options: &MountOptions,
    staging: &Path,
) -> Result<u64, MountError> {
    let words = options.words();
    let wanted = flags(&PER_MOUNT, &words);
    let attached = if wanted.is_empty() {
        attach(directory, target)
    } else {
        let (_staged, root) = Staged::new(directory, wanted, staging).map_err(|cause| {
            let message = format!("a mount with the options {} could not be made", words.join(","));
            io_error("mount", target, &message, cause)
        })?;
        attach(&root, target)
    };
    let mounted = attached.and_then(|()| newest(target));
    mounted.map(|line| line.id).map_err(|cause| io_error("mount", target, "the bind mount failed", cause))
}

/// A directory on which a mount gets its options; dropping it unmounts and removes it.
struct Staged(TempDir);

impl Staged {
    /// With the root of the mount.
    fn new(directory: &File, wanted: MsFlags, staging: &Path) -> io::Result<(Self, File)> {
        std::fs::create_dir_all(staging)?;
        let staged = Self(tempfile::Builder::new().prefix("mount-").tempdir_in(staging.canonicalize()?)?);
        let path = staged.0.path();
        attach(directory, path)?;
        let root = open_directory(path)?;
        let change = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | wanted;
        let inherited = flags(&PER_MOUNT[..REPEATED], &newest(path)?.options);
        nix::mount::mount(None::<&Path>, &by_descriptor(&root), None::<&Path>, change | inherited, None::<&Path>)?;
        Ok((staged, root))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Err(error) = detach(self.0.path()) {
            // Removing the directory would remove the volume's files.
            self.0.disable_cleanup(true);
            tracing::warn!(%error, path = %self.0.path().display(), "a staged mount is left; unmount it by hand");
        }
    }
}

fn attach(directory: &File, target: &Path) -> io::Result<()> {
    let (source, onto) = (by_descriptor(directory), open_directory(target)?);
    let onto = by_descriptor(&onto);
    Ok(nix::mount::mount(Some(&source), &onto, None::<&Path>, MsFlags::MS_BIND, None::<&Path>)?)
}

/// The mounts at a path of this process, the lowest first. The path may hold no symbolic link.
pub(super) fn at(target: &Path) -> io::Result<Vec<MountEntry>> {
    Ok(Mountinfo::new(std::fs::read("/proc/self/mountinfo")?).all_at(target))
}

fn newest(target: &Path) -> io::Result<MountEntry> {
    at(target)?.pop().ok_or_else(|| io::Error::other("the new mount is not listed in /proc/self/mountinfo"))
}

fn flags(known: &[(&str, MsFlags)], words: &[impl AsRef<str>]) -> MsFlags {
    let named = known.iter().filter(|(name, _)| words.iter().any(|word| word.as_ref() == *name));
    named.map(|(_, flag)| *flag).collect()
}

/// The path of an open directory (`proc_pid_fd(5)`), valid as long as it is open.
fn by_descriptor(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// Unmounts every mount at the target, also those of another process. A mount in use is an error.
pub(super) fn unmount(target: &Path) -> Result<(), MountError> {
    let failed = |cause: io::Error| {
        let hint = "a process works below the path; fuser -vm names it";
        io_error("unmount", target, "umount2(2) failed", cause).with_hint(hint)
    };
    unmount_all(target, MntFlags::empty()).map_err(failed)?;
    let rest = at(target).map_err(failed)?.len();
    if rest == 0 {
        return Ok(());
    }
    let message = format!("{rest} mounts stay that this process cannot unmount");
    let hint = "another mount hides them, or they belong to an outer mount namespace: unmount them there";
    Err(MountError::at(MountErrorKind::Failed, "unmount", target, message).with_hint(hint))
}

/// Detaches every mount at the target; each ends with its last user.
pub(super) fn detach(target: &Path) -> io::Result<()> {
    unmount_all(target, MntFlags::MNT_DETACH)
}

fn unmount_all(target: &Path, flags: MntFlags) -> io::Result<()> {
    loop {
        match umount2(target, flags | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Whether this process can make such mounts and unmount them: tried in a temporary directory below this one.
pub(super) fn is_possible(below: &Path) -> bool {
    let trial = || -> Result<(), MountError> {
        let failed = |cause| io_error("mount", Path::new("a temporary directory"), "a trial failed", cause);
        let directory = tempfile::tempdir_in(below).map_err(failed)?;
        let target = directory.path().canonicalize().map_err(failed)?.join("target");
        std::fs::create_dir(&target).map_err(failed)?;
        let options = MountOptions { read_only: true, ..MountOptions::default() };
        mount(&open_directory(&target).map_err(failed)?, &target, &options, directory.path())?;
        unmount(&target)
    };
    trial().inspect_err(|error| tracing::debug!(%error, "bind mounts are not possible here")).is_ok()
}
