//! State of the Lustre client on this node, read from the kernel's files: module, LNet, imports (connections to servers).
//!
//! Plain synchronous functions over [`KernelFiles`]; they start no program, send no server a request and touch no Lustre
//! mount. Which files exist depends on the versions of Lustre and the kernel and on the container: the error of a value
//! that cannot be read is the reason. Only `import` files are known to block, for as long as a server does not answer, so
//! they are read by [`BlockingCalls`].
//!
//! ```text
//!   module, lnet ──> readiness   NodeState: whether this node can mount Lustre
//!   imports      ──> servers     ServerState: whether the servers of one mount answer
//! ```

mod blocking_calls;
mod files;
pub mod imports;
pub mod lnet;
pub mod module;
pub mod readiness;
pub mod servers;

use std::path::Path;

pub use self::blocking_calls::BlockingCalls;
pub use self::files::KernelFiles;
pub(in crate::adapters::kernel) use self::files::one_line;

use self::files::unreadable;
use crate::adapters::mountinfo::Mountinfo;
use crate::domain::mount::FS_TYPE;
use crate::domain::mount_source::MountSource;

/// Longest mountinfo that is read, in bytes: some 100 000 mounts.
const LONGEST_MOUNTINFO: u64 = 32 << 20;

/// Mounts of this process's mount namespace.
pub const MOUNTINFO: &str = "/proc/self/mountinfo";

/// All mounts that a mountinfo file (`proc_pid_mountinfo(5)`) lists, or why it cannot be read.
pub(in crate::adapters::kernel) fn mountinfo(files: &KernelFiles, file: &Path) -> Result<Mountinfo, String> {
    let bytes = files.bytes(file, LONGEST_MOUNTINFO);
    bytes.map(Mountinfo::new).map_err(|error| unreadable(&file.to_string_lossy(), &error))
}

/// Sources of the Lustre mounts in this process's mount namespace, one for each mount. A source that cannot be parsed is
/// left out.
pub fn mounted_sources(files: &KernelFiles) -> Result<Vec<MountSource>, String> {
    mountinfo(files, MOUNTINFO.as_ref()).map(|mounts| {
        let lustre = mounts.entries().filter(|line| line.fs_type == FS_TYPE);
        lustre.filter_map(|line| MountSource::parse(&line.source).ok()).collect()
    })
}

/// Whether any file system of type `lustre` is mounted in this process's mount namespace.
pub fn lustre_is_mounted(files: &KernelFiles) -> Result<bool, String> {
    mountinfo(files, MOUNTINFO.as_ref()).map(|mounts| mounts.entries().any(|line| line.fs_type == FS_TYPE))
}

#[cfg(test)]
pub(in crate::adapters::kernel) mod tests;
