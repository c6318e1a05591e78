//! Mount propagation to the host: whether kubelet sees what this process mounts below its directory.
//!
//! A container with `mountPropagation: Bidirectional` sees kubelet's directory as a `shared:` mount. Without it mount(2)
//! succeeds, the host sees nothing, and pods write to the node's own disk. The state is read at the start and again when
//! the mount table changes, which poll(2) reports on `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`), never per publish.
//!
//! The rule: the deepest mount point at or below kubelet's directory on the path of a target, if this mount namespace has
//! one, must be `shared:`. `master:` beside it is no fault, as on nodes that are containers themselves (kind); `master:`
//! alone only receives. Without such a mount point the process sees kubelet's directory as part of a larger mount, as it
//! does outside a container.

mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use self::watch::Watch;

use super::client_state::{self, KernelFiles, MOUNTINFO};
use crate::adapters::mountinfo::Mountinfo;
use crate::ports::node_faults::NodeFault;

/// A mount point through which kubelet sees nothing of what is mounted below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropagationFault {
    /// The mount point in this process's mount namespace.
    pub mount_point: PathBuf,
    /// kubelet's directory as the settings spell it.
    pub kubelet_dir: PathBuf,
}

impl From<PropagationFault> for NodeFault {
    fn from(fault: PropagationFault) -> Self {
        let (point, kubelet_dir) = (fault.mount_point.display(), fault.kubelet_dir.display());
        Self {
            message: format!(
                "{point} is not a shared mount: kubelet and pods do not see what the driver mounts below it, and write to \
                 the node's own disk"
            ),
            hint: format!("set `mountPropagation: Bidirectional` for {kubelet_dir} in the driver's container"),
        }
    }
}

/// The state of the mount table. Cheap to ask: on a sound node it holds nothing.
#[derive(Debug)]
pub struct Propagation {
    paths: KernelFiles,
    kubelet_dir: PathBuf,
    /// The mount table and kubelet's directory without symbolic links, while a mount point there is not shared.
    unsound: Mutex<Option<Arc<(Mountinfo, PathBuf)>>>,
}

impl Propagation {
    /// The state of this moment. [`Watch::start`] keeps it up to date.
    pub fn new(paths: KernelFiles, kubelet_dir: PathBuf) -> Self {
        let state = Self { paths, kubelet_dir, unsound: Mutex::default() };
        state.refresh();
        state
    }

    /// Why kubelet would not see a mount at this target, if it would not. `place` is the target without symbolic links in
    /// its parents; what is mounted at the target itself does not count. Never blocks.
    ///
    /// A publish asks this first, before it compares what is mounted already, and fails with
    /// [`MountErrorKind::NotReady`](crate::ports::mounter::MountErrorKind::NotReady) and the message and hint of the
    /// [`NodeFault`].
    pub fn fault_for(&self, place: &Path) -> Option<PropagationFault> {
        let unsound = self.unsound()?;
        self.fault(unsharing(&unsound.0, &unsound.1, place.parent()?))
    }

    /// Why kubelet would see no mount at all, if it would not. Never blocks.
    pub fn standing_fault(&self) -> Option<PropagationFault> {
        let unsound = self.unsound()?;
        self.fault(unsharing(&unsound.0, &unsound.1, &unsound.1.join("pods")))
    }

    fn fault(&self, mount_point: Option<PathBuf>) -> Option<PropagationFault> {
        Some(PropagationFault { mount_point: mount_point?, kubelet_dir: self.kubelet_dir.clone() })
    }

    fn unsound(&self) -> Option<Arc<(Mountinfo, PathBuf)>> {
        self.unsound.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the mount table again and logs what has changed. A table that cannot be read changes nothing.
    fn refresh(&self) {
        let table = match client_state::mountinfo(&self.paths, MOUNTINFO.as_ref()) {
            Ok(table) => table,
            Err(why) => {
                tracing::warn!(why, "whether kubelet sees what is mounted here is unknown");
                return;
            }
        };
        let before = self.standing_fault();
        let kubelet_dir = self.kubelet_dir.canonicalize().unwrap_or_else(|_| self.kubelet_dir.clone());
        let unsound = has_unshared(&table, &kubelet_dir).then(|| Arc::new((table, kubelet_dir)));
        *self.unsound.lock().unwrap_or_else(PoisonError::into_inner) = unsound;
        match (before, self.standing_fault()) {
            (before, Some(fault)) if before.as_ref() != Some(&fault) => {
                let NodeFault { message, hint } = fault.into();
                tracing::error!(hint, "{message}");
            }
            (Some(fault), None) => {
                tracing::info!(mount_point = %fault.mount_point.display(), "kubelet's directory is a shared mount again");
            }
            _ => {}
        }
    }
}

/// Whether any mount point at or below kubelet's directory is not shared.
fn has_unshared(table: &Mountinfo, kubelet_dir: &Path) -> bool {
    table.entries().any(|line| !line.shared && line.mount_point.starts_with(kubelet_dir))
}

/// The deepest mount point at or below kubelet's directory on this path, if it is not shared. Neither path may hold a
/// symbolic link.
fn unsharing(table: &Mountinfo, kubelet_dir: &Path, path: &Path) -> Option<PathBuf> {
    let deepest = table.along(path).pop()?;
    (deepest.mount_point.starts_with(kubelet_dir) && !deepest.shared).then_some(deepest.mount_point)
}

#[cfg(test)]
mod tests;
