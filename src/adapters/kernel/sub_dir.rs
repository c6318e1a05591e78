//! Creation of a volume's sub-directory, through a private mount of the file system's root.
//!
//! Pods own what is in the file system and could plant a symbolic link where the next volume's sub-directory is to be. So
//! below the root each name is opened by openat2(2) without following links before anything is made in it.

use std::fs::File;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::stat::{Mode, mkdirat};

use super::blocking::BlockingMounter;
use super::mgs_limit::{self, Permit};
use super::mounter::KernelMounter;
use super::operation_registry::{OperationKey, OperationOutput, PendingOperation, TargetOperation};
use super::private_mount::{self, PrivateMount};
use super::syscalls::SysError;
use super::{errno, host_names};
use crate::adapters::target::open_beneath;
use crate::domain::mount_source::MountSource;
use crate::domain::sub_dir::SubDir;
use crate::ports::mounter::{MountError, MountErrorKind};

const OPERATION: &str = "make the sub-directory of";

impl KernelMounter {
    /// Makes the source's sub-directory; a creation of the same in progress is waited for.
    pub(super) async fn make_sub_dir_of(&self, source: &MountSource) -> Result<(), MountError> {
        let planned = Arc::new(source.clone());
        let own = TargetOperation::MakeSubDir(Arc::clone(&planned));
        let work = move |blocking: &BlockingMounter, permit, pending| blocking.make_sub_dir(&planned, permit, pending);
        self.run_with_permit(OPERATION, source.to_string(), source, &own, work).await.map(drop)
    }
}

impl BlockingMounter {
    fn make_sub_dir(&self, source: &Arc<MountSource>, permit: Option<Permit>, pending: PendingOperation) {
        let (key, operation) =
            (OperationKey::SubDir(source.to_string()), TargetOperation::MakeSubDir(Arc::clone(source)));
        let Some(guard) = self.registry.begin(key, operation, pending) else { return };
        match permit.or_else(|| self.mgs_limit.try_acquire(&mgs_limit::first_nid(source))) {
            Some(permit) => drop(guard.end(self.make_below_root(source, permit).map(|()| OperationOutput::Done))),
            None => guard.end_for_permit(),
        }
    }

    /// Makes the sub-directory, component by component; existing ones are left as they are. The permit ends before the
    /// private mount is unmounted, so that the next mount of the MGS does not wait for that.
    fn make_below_root(&self, source: &MountSource, permit: Permit) -> Result<(), MountError> {
        let Some(sub_dir) = &source.sub_dir else { return Ok(()) };
        let resolved = host_names::resolve(&*self.syscalls, OPERATION, source)?;
        let mount = match PrivateMount::new(self, OPERATION, &resolved) {
            Err(error) if error.kind == MountErrorKind::NotFound => {
                let lustrefs = private_mount::lustrefs(&resolved).ok_or(error)?;
                PrivateMount::new(self, OPERATION, &lustrefs)?
            }
            mounted => mounted?,
        };
        let root = mount.root(OPERATION)?;
        let mode = Mode::from_bits_truncate(self.settings.sub_dir_mode);
        let result = make_beneath(&root, sub_dir, mode).map_err(|errno| of_mkdir(errno, source, sub_dir));
        drop((permit, root));
        result
    }
}

fn make_beneath(root: &File, sub_dir: &SubDir, mode: Mode) -> Result<(), Errno> {
    let mut parent: Option<File> = None;
    for name in sub_dir.as_str().split('/') {
        let directory = parent.as_ref().unwrap_or(root);
        match mkdirat(directory, name, mode) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        parent = Some(open_beneath(directory, name)?);
    }
    Ok(())
}

/// The error for a failed mkdirat(2) or openat2(2) of the sub-directory.
fn of_mkdir(errno: Errno, source: &MountSource, sub_dir: &SubDir) -> MountError {
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
        Errno::ENOSPC | Errno::EDQUOT => (Failed, format!("there is no space to make `{sub_dir}`"), "free some space"),
        errno if errno::is_no_response(errno.into()) => {
            (Unreachable, format!("the servers at {} do not answer", source.mgs), errno::REACHABILITY)
        }
        _ => (Failed, format!("`{sub_dir}` cannot be made"), "the kernel's log (dmesg) may have more about it"),
    };
    MountError::new(kind, OPERATION, source.to_string(), message).with_hint(hint).caused_by(SysError::from(errno))
}
