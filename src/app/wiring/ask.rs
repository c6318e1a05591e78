//! One question to a running driver, over its own protocol.

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint as Remote, Uri};

use crate::adapters::csi::proto::ProbeRequest;
use crate::adapters::csi::proto::identity_client::IdentityClient;
use crate::app::settings::Endpoint;

/// What Probe answers; not set counts as ready, as CSI has it. Waits as long as the driver does.
pub async fn probe(endpoint: &Endpoint) -> Result<bool, String> {
    let answer = IdentityClient::new(connect(endpoint).await?).probe(ProbeRequest {}).await;
    let answer = answer.map_err(|status| format!("Probe answered {:?}: {}", status.code(), status.message()))?;
    Ok(answer.into_inner().ready.unwrap_or(true))
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
