//! Mount operations in progress on this node, for reports: Probe's log line, `doctor node`, metrics.

use std::time::Duration;

use super::mounter::MountError;

/// Lists the operations that a mounter has not finished.
pub trait Operations: Send + Sync + std::fmt::Debug {
    /// Every operation in progress, those past their limit included, in no order. Never blocks.
    fn in_progress(&self) -> Vec<Operation>;

    /// Why an operation on this subject (target path, source or volume id) has not begun yet, such as a lack of threads;
    /// none if no call waits for that. Never blocks.
    fn not_begun(&self, _subject: &str) -> Option<MountError> {
        None
    }
}

/// One operation that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Which operation.
    pub kind: OperationKind,
    /// The target path; the source for [`OperationKind::MakeSubDir`].
    pub subject: String,
    /// CSI volume id, where the operation knows it.
    pub volume_id: Option<String>,
    /// Address of the MGS that it waits for, such as `10.0.0.4@tcp`, where one is known.
    pub mgs: Option<String>,
    /// Time since it began.
    pub age: Duration,
    /// Whether it has been running for longer than its limit.
    pub overdue: bool,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationKind {
    /// mount(2).
    Mount,
    /// umount2(2).
    Unmount,
    /// Making a sub-directory through a private mount of the root.
    MakeSubDir,
    /// statfs(2).
    Statfs,
}

impl OperationKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Mount, Self::Unmount, Self::MakeSubDir, Self::Statfs];

    /// Its name in logs, reports and metrics: `mount`, `unmount`, `make_sub_dir`, `statfs`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Unmount => "unmount",
            Self::MakeSubDir => "make_sub_dir",
            Self::Statfs => "statfs",
        }
    }
}
