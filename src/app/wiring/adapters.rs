//! [`Adapters`]: what implements the driven ports in this process.

use std::any::Any;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::domain::placement::Placement;
use crate::ports::clock::Clock;
use crate::ports::cloud::{Cloud, CloudError};
use crate::ports::mounter::Mounter;
use crate::ports::node_faults::NodeFaults;
use crate::ports::operations::Operations;
use crate::ports::orchestrator::Orchestrator;

/// The implementations of the driven ports.
#[derive(Debug)]
pub struct Adapters {
    /// Those of the Controller service, where it runs.
    pub cloud: Option<CloudAdapters>,
    /// Those of the Node service, where it runs.
    pub node: Option<NodeAdapters>,
    /// The cluster.
    pub orchestrator: Arc<dyn Orchestrator>,
    /// Whether the orchestrator can remove the startup taint.
    pub removes_taint: bool,
}

/// The adapters behind CSI's Node service.
#[derive(Debug)]
pub struct NodeAdapters {
    /// How volumes are mounted.
    pub mounter: Arc<dyn Mounter>,
    /// The operations of the mounter in progress, where they can hang.
    pub operations: Option<Arc<dyn Operations>>,
    /// Faults of the node that keep volumes from pods, where they count.
    pub faults: Option<Arc<dyn NodeFaults>>,
    /// What must live as long as the mounter.
    pub guards: Box<dyn Any + Send>,
    /// Whether a file system was mounted already when the process started.
    pub mounted_at_start: bool,
}

/// The adapters behind CSI's Controller service.
#[derive(Debug)]
pub struct CloudAdapters {
    /// Where file systems come from.
    pub cloud: Arc<dyn Cloud>,
    /// The cloud's time, for polling it.
    pub clock: Arc<dyn Clock>,
    /// What the cluster's cloud settings say.
    pub defaults: Placement,
    /// Requests that outlive the RPC that began them.
    pub tasks: TaskTracker,
    /// The same as `cloud`, where that is Azure.
    #[cfg(feature = "arm")]
    pub(super) azure: Option<Arc<crate::adapters::arm::cloud::ArmCloud>>,
    /// What must live as long as the cloud.
    pub guards: Box<dyn Any + Send>,
}

impl CloudAdapters {
    /// Gets a token, where the cloud needs one.
    #[cfg_attr(not(feature = "arm"), allow(clippy::unused_async, reason = "only Azure needs a token"))]
    pub async fn sign_in(&self) -> Result<(), CloudError> {
        #[cfg(feature = "arm")]
        if let Some(azure) = &self.azure {
            return azure.sign_in().await;
        }
        Ok(())
    }
}
