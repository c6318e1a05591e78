//! [`Mode`]: which CSI services run.

/// Which CSI services run beside Identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Controller: creates and deletes volumes.
    Controller,
    /// Node: mounts them.
    Node {
        /// The node's name in Kubernetes.
        node_id: String,
    },
    /// Both in one process.
    All {
        /// The node's name in Kubernetes.
        node_id: String,
    },
    /// No mode and no node id were given, as in the Go driver's controller: Controller, and a Node service that refuses
    /// every call.
    ControllerByDefault,
}

impl Mode {
    /// Whether the Controller service runs.
    pub fn has_controller(&self) -> bool {
        matches!(self, Self::Controller | Self::All { .. } | Self::ControllerByDefault)
    }

    /// The node's name where the Node service runs.
    pub fn node_id(&self) -> Option<&str> {
        match self {
            Self::Controller | Self::ControllerByDefault => None,
            Self::Node { node_id } | Self::All { node_id } => Some(node_id),
        }
    }
}
