//! Faults of a node outside the driver, for `doctor node`, the log and the startup taint.

/// Knows the faults of the node that the driver can see from its own container.
pub trait NodeFaults: Send + Sync + std::fmt::Debug {
    /// Every fault of this moment. Works on local directories, so it is not to be called on a runtime's thread.
    fn current(&self) -> Vec<NodeFault>;

    /// Whether one of the faults makes volumes of this node unusable, so that pods must be kept away. Never blocks.
    fn keeps_pods_away(&self) -> bool;
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFault {
    /// What is wrong, with which path.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl std::fmt::Display for NodeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.message, self.hint)
    }
}
