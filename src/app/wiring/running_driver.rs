//! Requests to a running driver: CSI's Probe, and the status that only this driver serves.

#[cfg(feature = "kernel")]
use std::time::Duration;

#[cfg(feature = "kernel")]
use tonic::Code;

use crate::adapters::csi::client::CsiClient;
use crate::adapters::csi::proto::ProbeRequest;
#[cfg(feature = "kernel")]
use crate::adapters::{
    kernel::doctor::DriverStatus,
    node_status::{self, NodeStatusClient, proto::GetStatusRequest},
};
use crate::app::settings::Endpoint;

/// What Probe answers; not set counts as ready, as CSI has it. Waits as long as the driver does.
pub async fn probe(endpoint: &Endpoint) -> Result<bool, String> {
    let answer = connect(endpoint).await?.identity().probe(ProbeRequest {}).await;
    let answer = answer.map_err(|status| format!("Probe answered {:?}: {}", status.code(), status.message()))?;
    Ok(answer.into_inner().ready.unwrap_or(true))
}

/// What the driver reports about its node, or why that is not known. Answers at once or fails within `limit`.
#[cfg(feature = "kernel")]
pub async fn node_status(endpoint: &Endpoint, limit: Duration) -> Result<DriverStatus, String> {
    let ask = async {
        let answer = NodeStatusClient::new(connect(endpoint).await?.channel()).get_status(GetStatusRequest {}).await;
        let answer = match answer {
            Ok(answer) => answer.into_inner(),
            Err(status) if status.code() == Code::Unimplemented => return Err("it serves no node".to_owned()),
            Err(status) => return Err(format!("GetStatus answered {:?}: {}", status.code(), status.message())),
        };
        let operations = node_status::operations_of(&answer)?;
        Ok(DriverStatus { operations, faults: node_status::faults_of(answer) })
    };
    let late = |_| Err(format!("no answer within {limit:?}"));
    let answer = tokio::time::timeout(limit, ask).await.unwrap_or_else(late);
    answer.map_err(|why| format!("the driver at {endpoint} cannot be asked ({why}); name its socket with --endpoint"))
}

async fn connect(endpoint: &Endpoint) -> Result<CsiClient, String> {
    match endpoint {
        Endpoint::Unix(path) => CsiClient::unix(path.as_path()).await,
        Endpoint::Tcp(address) => CsiClient::tcp(address).await,
    }
}
