//! The faults of a node that the driver sees from its own container: mount propagation and the working directory.

use std::path::PathBuf;
use std::sync::Arc;

use super::propagation::Propagation;
use super::working_dir;
use crate::ports::node_faults::{NodeFault, NodeFaults};

/// What is checked.
#[derive(Debug)]
pub struct KernelNodeFaults {
    /// Whether kubelet sees the driver's mounts.
    pub propagation: Arc<Propagation>,
    /// Directory for private mounts.
    pub working_dir: PathBuf,
}

impl NodeFaults for KernelNodeFaults {
    fn current(&self) -> Vec<NodeFault> {
        let propagation = self.propagation.standing_fault().map(NodeFault::from);
        propagation.into_iter().chain(working_dir::fault(&self.working_dir)).collect()
    }

    fn keeps_pods_away(&self) -> bool {
        self.propagation.standing_fault().is_some()
    }
}
