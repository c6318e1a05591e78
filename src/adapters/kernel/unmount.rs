//! Taking mounts away: plainly while servers answer, by force only when they do not.
//!
//! Why it is careful: `MNT_FORCE` ends a super block for good, with all that other pods do on it, so it is used on the
//! uppermost mount of a target that is known to be the driver's, never on a bind mount, and only when neither imports nor
//! statfs say that the servers live. A path is never asked about before it is unmounted: that could hang by itself.

use std::path::Path;

use nix::errno::Errno;

use super::Imports;
use super::failure::{self, Fault, is_corrupt, is_silence};
use super::holders;
use super::mountinfo::{Line, Mountinfo};
use super::node::Node;
use super::syscalls::How;
use super::volumes::{Kubelet, ask_kubelet};
use crate::ports::mounter::MountErrorKind;

/// Most mounts that one call takes away from one path.
const STACKED: usize = 64;

impl Node {
    /// Takes away all mounts of the driver's type at a place.
    pub(super) fn unmount(&self, target: &Path, place: &Path) -> Result<(), Fault> {
        let mut refused = None;
        for _ in 0..STACKED {
            let mounts = self.look("unmount", target)?;
            let stack = mounts.at(place);
            let Some(top) = stack.last().copied() else {
                self.records.forget(place);
                return Ok(());
            };
            if !self.is_ours(top) {
                return Err(foreign(target, top));
            }
            if refused == Some(top.id) {
                return Err(failure::of_unmount(Errno::EINVAL, target));
            }
            match self.calls.unmount(place, How::Plain) {
                // It was the only one. What somebody mounts there meanwhile keeps the directory from being removed.
                Ok(()) if stack.len() == 1 => {
                    self.records.forget(place);
                    return Ok(());
                }
                Ok(()) => {}
                // Somebody else was faster, or it cannot be taken away from here: the next look tells.
                Err(Errno::EINVAL | Errno::ENOENT) => refused = Some(top.id),
                Err(Errno::EBUSY) => self.end_if_dead(target, place, top, &mounts)?,
                Err(errno) => return Err(failure::of_unmount(errno, target)),
            }
        }
        Err(Fault::at(
            MountErrorKind::Failed,
            "unmount",
            target,
            format!("more than {STACKED} mounts are stacked there"),
        ))
    }

    /// A mount in use: ended if its servers are dead, otherwise told with who holds it.
    fn end_if_dead(&self, target: &Path, place: &Path, top: &Line, mounts: &Mountinfo) -> Result<(), Fault> {
        if self.is_dead(place, top) {
            return self.end(place, top).map_err(|errno| failure::of_unmount(errno, target));
        }
        // What held it may have been the driver's own question, or has ended meanwhile.
        if self.calls.unmount(place, How::Plain).is_ok() {
            return Ok(());
        }
        let holders = holders::find(top, mounts);
        let message = if holders.is_empty() {
            "the mount is in use".to_owned()
        } else {
            format!("the mount is in use: {}", holders.join(", "))
        };
        let hint = "end what uses it; it is never forced while its servers answer";
        Err(Fault::at(MountErrorKind::Busy, "unmount", target, message).hint(hint).because(Errno::EBUSY))
    }

    /// For an unmount that hangs while the mount is still in its place.
    pub(super) fn rescue(&self, place: &Path) {
        let Ok(mounts) = self.look("unmount", place) else { return };
        let Some(top) = mounts.at(place).last().copied().filter(|top| self.is_ours(top)) else { return };
        if self.is_dead(place, top)
            && let Err(errno) = self.end(place, top)
        {
            tracing::error!(%errno, target = %place.display(), "a mount of dead servers cannot be taken away");
        }
    }

    /// Whether the servers of a mount are dead: no connection says that it is whole, and statfs fails twice. An evicted
    /// client fails once and is well again after a moment.
    fn is_dead(&self, place: &Path, top: &Line) -> bool {
        let limits = &self.settings.limits;
        if self.imports.ask(&top.source) == Imports::Full {
            return false;
        }
        let fails = || match self.ask(place, limits.statfs) {
            None => true,
            Some(Ok(_)) => false,
            Some(Err(errno)) => is_silence(errno) || is_corrupt(errno) || errno == Errno::ENODEV,
        };
        fails() && {
            std::thread::sleep(limits.second_look);
            fails()
        }
    }

    /// Ends the uppermost mount of a place: by force if it may be, and out of sight in any case.
    fn end(&self, place: &Path, top: &Line) -> Result<(), Errno> {
        let may_force = top.root == Path::new("/")
            && (self.records.of(top).is_some() || matches!(ask_kubelet(place), Kubelet::Volume(_)));
        tracing::warn!(target = %place.display(), source = top.source, may_force, "the servers of a mount are dead; it is ended");
        if may_force && self.calls.unmount(place, How::Force).is_ok() {
            return Ok(());
        }
        match self.calls.unmount(place, How::Detach) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

fn foreign(target: &Path, top: &Line) -> Fault {
    let message =
        format!("a {} mount of {} is there, which this driver did not make; it stays", top.fs_type, top.source);
    Fault::at(MountErrorKind::Busy, "unmount", target, message).hint("unmount it by hand if nobody needs it")
}
