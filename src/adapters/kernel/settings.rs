//! Settings of the kernel mounter and its time limits, with defaults that suit AMLFS.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::client_tuning::ClientTuning;
use crate::domain::mount::FS_TYPE;

/// Settings of a [`super::KernelMounter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSettings {
    /// Type of the mounts that are made and unmounted: `lustre`, or in tests and benchmarks another that needs no
    /// server, such as `tmpfs`. A mount of any other type is never touched.
    pub fs_type: String,
    /// Directory of the private mounts through which sub-directories are made. Made if absent.
    pub working_dir: PathBuf,
    /// Kubelet's directory as kubelet itself spells it. Mounts that an earlier process left below it are listed in this
    /// spelling, also if it is a symbolic link.
    pub kubelet_dir: PathBuf,
    /// Permissions of sub-directories that are made, whatever the process's umask: up to `0o1777`, since mkdir(2) gives no
    /// set-id bits.
    pub sub_dir_mode: u32,
    /// Most mounts in progress at one time for one MGS; more have to wait, and are refused while some are overdue.
    pub mounts_per_mgs: usize,
    /// Most threads, those of operations that hang included; an operation that gets none in time is refused.
    pub threads: usize,
    /// Tunables of the client that are set after each mount of Lustre; none by default.
    pub tuning: ClientTuning,
    /// Time limits.
    pub limits: Limits,
}

/// How long each kind of operation is waited for. An operation that takes longer stays in progress, and the next call
/// about it waits again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A mount or a sub-directory. The first mount after a start of the servers was observed to take 31 s.
    pub mount: Duration,
    /// How long an unmount runs before its servers are examined, and again each time after that: if they are dead, the
    /// mount is detached. With dead servers umount2(2) was observed to take 10 to 22 s.
    pub unmount: Duration,
    /// How long an unmount is waited for at most, all calls together, while its servers answer and data is written back.
    pub unmount_at_most: Duration,
    /// How long work waits for a thread where no further one can be had.
    pub thread: Duration,
    /// statfs(2). With dead servers it was observed to take 16 s.
    pub statfs: Duration,
    /// The statfs(2) that shows whether a mount still works; without an answer it counts as working. Also readiness.
    pub observe: Duration,
    /// Pause before a second statfs(2) or connection, which confirms a first error: an evicted client works again after 2 s.
    pub recheck_after: Duration,
    /// A connection to the MGS, made before a mount while others of it are overdue or have failed, and as evidence whether
    /// the servers of an unmount are dead.
    pub connect: Duration,
    /// How long an unmount waits for the end of the mount in progress that it abandons.
    pub abandon: Duration,
}

impl Default for KernelSettings {
    fn default() -> Self {
        Self {
            fs_type: FS_TYPE.to_owned(),
            working_dir: "/tmp".into(),
            kubelet_dir: "/var/lib/kubelet".into(),
            sub_dir_mode: 0o775,
            mounts_per_mgs: 64,
            threads: 1024,
            tuning: ClientTuning::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mount: Duration::from_secs(90),
            unmount: Duration::from_secs(30),
            unmount_at_most: Duration::from_mins(10),
            thread: Duration::from_secs(30),
            statfs: Duration::from_secs(20),
            observe: Duration::from_secs(5),
            recheck_after: Duration::from_secs(2),
            connect: Duration::from_secs(2),
            abandon: Duration::from_secs(2),
        }
    }
}
