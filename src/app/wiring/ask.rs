//! Requests to a running driver: CSI's Probe, and the status that only this driver serves.

#[cfg(feature = "kernel")]
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
#[cfg(feature = "kernel")]
use tonic::Code;
use tonic::transport::{Channel, Endpoint as Remote, Uri};

use crate::adapters::csi::proto::ProbeRequest;
use crate::adapters::csi::proto::identity_client::IdentityClient;
#[cfg(feature = "kernel")]
use crate::adapters::{
    kernel::doctor::DriverStatus,
    node_status::{self, NodeStatusClient, proto::GetStatusRequest},
};
use crate::app::settings::Endpoint;

/// What Probe answers; not set counts as ready, as CSI has it. Waits as long as the driver does.
pub async fn probe(endpoint: &Endpoint) -> Result<bool, String> {
    let answer = IdentityClient::new(connect(endpoint).await?).probe(ProbeRequest {}).await;
    let answer = answer.map_err(|status| format!("Probe answered {:?}: {}", status.code(), status.message()))?;
    Ok(answer.into_inner().ready.unwrap_or(true))
}

/// What the driver reports about its node, or why that is not known. Answers at once or fails within `limit`.
#[cfg(feature = "kernel")]
pub async fn node_status(endpoint: &Endpoint, limit: Duration) -> Result<DriverStatus, String> {
    let ask = async {
        let answer = NodeStatusClient::new(connect(endpoint).await?).get_status(GetStatusRequest {}).await;
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

async fn connect(endpoint: &Endpoint) -> Result<Channel, String> {
    let channel = match endpoint {
        Endpoint::Unix(path) => {
            let path = path.as_path().to_owned();
            let connector = tower::service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            Remote::from_static("http://csi.sock").connect_with_connector(connector).await
        }
        Endpoint::Tcp(address) => match Remote::from_shared(format!("http://{address}")) {
            Ok(remote) => remote.connect().await,
            Err(error) => Err(error),
        },
    };
    channel.map_err(|error| {
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        causes.last().map_or_else(|| error.to_string(), ToString::to_string)
    })
}
