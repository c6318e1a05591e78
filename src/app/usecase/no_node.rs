//! The node's use-cases of a process that was started without a node id: each is refused with what to do.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::mount::PublishRequest;
use crate::ports::inbound::{Failure, FailureKind, Publishing};
use crate::ports::mounter::Usage;

/// Refuses every call of a node.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNode;

fn refused() -> Failure {
    Failure::new(FailureKind::Precondition, "this process serves no node: it was started without --nodeid")
        .with_hint("start the driver on nodes with --nodeid and the node's name in Kubernetes")
}

#[async_trait]
impl Publishing for NoNode {
    async fn publish(&self, _: PublishRequest, _: Option<Duration>) -> Result<(), Failure> {
        Err(refused())
    }

    async fn unpublish(&self, _: &str, _: &Path, _: Option<Duration>) -> Result<(), Failure> {
        Err(refused())
    }

    async fn usage(&self, _: &str, _: &Path, _: Option<Duration>) -> Result<Usage, Failure> {
        Err(refused())
    }
}
