//! State of the Lustre client on this node, read from the kernel's files: module, LNet, imports (connections to servers).
//!
//! Plain synchronous functions over [`ClientStatePaths`]; they start no program, ask no server and touch no Lustre mount.
//! Which files exist depends on the versions of Lustre and the kernel and on the container: what cannot be read is
//! [`Observed::Unknown`] with the reason. Only `import` files are known to block, for as long as a server does not
//! answer, so they are read on threads of their own with a time limit ([`BoundedReads`]).
//!
//! ```text
//!   module, lnet ──> readiness   NodeState: whether this node can mount Lustre
//!   imports      ──> servers     ServerState: whether the servers of one mount answer
//! ```

mod bounded;
pub mod imports;
pub mod lnet;
pub mod module;
mod read;
pub mod readiness;
pub mod servers;

use std::path::Path;

pub use self::bounded::BoundedReads;
pub use self::read::{ClientStatePaths, Observed};
pub(in crate::adapters::kernel) use self::read::{SMALL, one_line, unreadable};

use crate::adapters::mountinfo::Mountinfo;
use crate::domain::mount::FS_TYPE;
use crate::domain::mount_source::MountSource;

/// Longest mountinfo that is read, in bytes: some 100 000 mounts.
const LONGEST_MOUNTINFO: u64 = 32 << 20;

/// Mounts of this process's mount namespace.
pub const MOUNTINFO: &str = "/proc/self/mountinfo";

/// All mounts that a mountinfo file (`proc_pid_mountinfo(5)`) lists.
pub(in crate::adapters::kernel) fn mountinfo(paths: &ClientStatePaths, file: &Path) -> Observed<Mountinfo> {
    match paths.bytes(file, LONGEST_MOUNTINFO) {
        Ok(bytes) => Observed::Known(Mountinfo::new(bytes)),
        Err(error) => Observed::Unknown(unreadable(&file.to_string_lossy(), &error)),
    }
}

/// Sources of the Lustre mounts in this process's mount namespace, one for each mount. A source that cannot be parsed is
/// left out.
pub fn mounted_sources(paths: &ClientStatePaths) -> Observed<Vec<MountSource>> {
    mountinfo(paths, MOUNTINFO.as_ref()).map(|mounts| {
        let lustre = mounts.entries().filter(|line| line.fs_type == FS_TYPE);
        lustre.filter_map(|line| MountSource::parse(&line.source).ok()).collect()
    })
}

/// Whether any file system of type `lustre` is mounted in this process's mount namespace.
pub fn lustre_is_mounted(paths: &ClientStatePaths) -> Observed<bool> {
    mountinfo(paths, MOUNTINFO.as_ref()).map(|mounts| mounts.entries().any(|line| line.fs_type == FS_TYPE))
}

#[cfg(test)]
pub(in crate::adapters::kernel) mod tests;
