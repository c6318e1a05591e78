//! The gRPC service `NodeStatus`: what a running driver reports about its node. Read-only, beside CSI on the same socket.
//!
//! Messages are those of `proto/node.proto`; [`parse`] reads them on the client's side.

pub mod proto;

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

pub use self::proto::node_status_client::NodeStatusClient;
pub use self::proto::node_status_server::NodeStatusServer;

use self::proto::{GetStatusRequest, GetStatusResponse, node_status_server};
use crate::ports::node_faults::{NodeFault, NodeFaults};
use crate::ports::operations::{Operation, OperationKind, Operations};

/// The service: reports operations in progress and faults of the node.
#[derive(Debug)]
pub struct NodeStatus {
    operations: Option<Arc<dyn Operations>>,
    faults: Option<Arc<dyn NodeFaults>>,
}

impl NodeStatus {
    /// A service over these operations and faults; none for a mounter that has none.
    pub fn new(operations: Option<Arc<dyn Operations>>, faults: Option<Arc<dyn NodeFaults>>) -> Self {
        Self { operations, faults }
    }

    /// The faults of this moment, from a thread that may block.
    async fn faults(&self) -> Result<Vec<NodeFault>, Status> {
        let Some(faults) = self.faults.clone() else { return Ok(Vec::new()) };
        let checked = tokio::task::spawn_blocking(move || faults.current()).await;
        checked.map_err(|error| Status::internal(format!("the check of the node failed: {error}")))
    }
}

#[tonic::async_trait]
impl node_status_server::NodeStatus for NodeStatus {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let in_progress = self.operations.iter().flat_map(|operations| operations.in_progress());
        let operations = in_progress.map(message_of).collect();
        let fault = |NodeFault { message, hint }| proto::Fault { message, hint };
        let faults = self.faults().await?.into_iter().map(fault).collect();
        Ok(Response::new(GetStatusResponse { operations, faults }))
    }
}

/// The operations and faults of a response.
///
/// # Errors
/// If an operation is of a kind that this build does not know, so that none is hidden.
pub fn parse(response: GetStatusResponse) -> Result<(Vec<Operation>, Vec<NodeFault>), String> {
    let operations = response.operations.into_iter().map(parse_operation).collect::<Result<_, _>>()?;
    let fault = |proto::Fault { message, hint }| NodeFault { message, hint };
    Ok((operations, response.faults.into_iter().map(fault).collect()))
}

const KINDS: [(OperationKind, proto::OperationKind); 4] = [
    (OperationKind::Mount, proto::OperationKind::Mount),
    (OperationKind::Unmount, proto::OperationKind::Unmount),
    (OperationKind::MakeSubDir, proto::OperationKind::MakeSubDir),
    (OperationKind::Statfs, proto::OperationKind::Statfs),
];

fn message_of(operation: Operation) -> proto::Operation {
    let kind = KINDS.into_iter().find(|(kind, _)| *kind == operation.kind);
    let kind = kind.map_or(proto::OperationKind::Unspecified, |(_, kind)| kind);
    proto::Operation {
        kind: kind.into(),
        subject: operation.subject,
        volume_id: operation.volume_id.unwrap_or_default(),
        mgs: operation.mgs.unwrap_or_default(),
        age_ms: u64::try_from(operation.age.as_millis()).unwrap_or(u64::MAX),
        overdue: operation.overdue,
    }
}

fn parse_operation(message: proto::Operation) -> Result<Operation, String> {
    let proto::Operation { kind, subject, volume_id, mgs, age_ms, overdue } = message;
    let known = KINDS.into_iter().find(|(_, known)| i32::from(*known) == kind);
    let (kind, _) = known.ok_or_else(|| format!("the driver reports an operation of an unknown kind ({kind})"))?;
    let non_empty = |text: String| Some(text).filter(|text| !text.is_empty());
    let (volume_id, mgs) = (non_empty(volume_id), non_empty(mgs));
    Ok(Operation { kind, subject, volume_id, mgs, age: Duration::from_millis(age_ms), overdue })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_operation_survives_the_wire() {
        for (kind, bare) in OperationKind::ALL.into_iter().zip([true, false].into_iter().cycle()) {
            let text = |text: &str| (!bare).then(|| text.to_owned());
            let (volume_id, mgs) = (text("pvc-1"), text("10.0.0.4@tcp"));
            let age = Duration::from_millis(90_500);
            let operation = Operation { kind, subject: "/target".to_owned(), volume_id, mgs, age, overdue: !bare };
            let operations = vec![message_of(operation.clone())];
            let response = GetStatusResponse { operations, ..Default::default() };
            assert_eq!(parse(response), Ok((vec![operation], Vec::new())));
        }
    }

    #[test]
    fn an_operation_of_a_newer_driver_is_an_error() {
        let newer = proto::Operation { kind: 99, ..Default::default() };
        let error = parse(GetStatusResponse { operations: vec![newer], ..Default::default() }).unwrap_err();
        assert!(error.contains("unknown kind (99)"), "{error}");
    }
}
