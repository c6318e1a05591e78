//! The faults of the node that the driver can see from its own container: mount propagation and working directory.

use std::path::PathBuf;
use std::sync::Arc;

use super::propagation::Propagation;
use super::working_dir;
use crate::ports::node_faults::{NodeFault, NodeFaults};

/// What is checked.
#[derive(Debug)]
pub struct Surroundings {
    /// Whether kubelet sees the driver's mounts.
    pub propagation: Arc<Propagation>,
    /// Directory for private mounts.
    pub working_dir: PathBuf,
    /// What people know its setting by, such as `--working-mount-dir`.
    pub working_dir_setting: &'static str,
}

impl NodeFaults for Surroundings {
    fn current(&self) -> Vec<NodeFault> {
        let propagation = self.propagation.standing_fault().map(NodeFault::from);
        let working_dir = working_dir::fault(&self.working_dir, self.working_dir_setting);
        propagation.into_iter().chain(working_dir).collect()
    }

    fn keeps_pods_away(&self) -> bool {
        self.propagation.standing_fault().is_some()
    }
}
