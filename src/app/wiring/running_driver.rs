//! Client of a running driver: CSI's Probe, and the service `NodeStatus`.

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

/// The result of Probe; `ready` that is not set counts as true (CSI, Probe). Waits as long as the driver does.
pub async fn probe(endpoint: &Endpoint) -> Result<bool, String> {
    let response = connect(endpoint).await?.identity().probe(ProbeRequest {}).await;
    let response = response.map_err(|status| format!("Probe answered {:?}: {}", status.code(), status.message()))?;
    Ok(response.into_inner().ready.unwrap_or(true))
}

/// The driver's operations and faults, or why they are unknown. Fails within `limit`.
#[cfg(feature = "kernel")]
pub async fn node_status(endpoint: &Endpoint, limit: Duration) -> Result<DriverStatus, String> {
    let call = async {
        let response = NodeStatusClient::new(connect(endpoint).await?.channel()).get_status(GetStatusRequest {}).await;
        let response = match response {
            Ok(response) => response.into_inner(),
            Err(status) if status.code() == Code::Unimplemented => return Err("it serves no node".to_owned()),
            Err(status) => return Err(format!("GetStatus answered {:?}: {}", status.code(), status.message())),
        };
        let (operations, faults) = node_status::parse(response)?;
        Ok(DriverStatus { operations, faults })
    };
    let late = |_| Err(format!("no answer within {limit:?}"));
    let response = tokio::time::timeout(limit, call).await.unwrap_or_else(late);
    response.map_err(|why| format!("the driver at {endpoint} gives no status ({why}); name its socket with --endpoint"))
}

async fn connect(endpoint: &Endpoint) -> Result<CsiClient, String> {
    match endpoint {
        Endpoint::Unix(path) => CsiClient::unix(path.as_path()).await,
        Endpoint::Tcp(address) => CsiClient::tcp(address).await,
    }
}
