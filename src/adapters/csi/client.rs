//! [`CsiClient`]: a client of a running CSI driver: a connection, and the three services over it.

use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{self, Channel, Endpoint, Uri};

use super::proto::controller_client::ControllerClient;
use super::proto::identity_client::IdentityClient;
use super::proto::node_client::NodeClient;

/// A connection to a driver. Clones share it.
#[derive(Debug, Clone)]
pub struct CsiClient {
    channel: Channel,
}

impl CsiClient {
    /// Connects to a driver's socket file. Fails with the innermost cause, such as "No such file or directory".
    pub async fn unix(socket: &Path) -> Result<Self, String> {
        let socket: PathBuf = socket.to_owned();
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // HTTP/2 needs an authority; a socket's path is not a valid one.
        Self::of(Endpoint::from_static("http://csi.sock").connect_with_connector(connector).await)
    }

    /// Connects to `host:port`, without TLS. Fails with the innermost cause.
    pub async fn tcp(address: &str) -> Result<Self, String> {
        Self::of(match Endpoint::from_shared(format!("http://{address}")) {
            Ok(endpoint) => endpoint.connect().await,
            Err(error) => Err(error),
        })
    }

    fn of(connected: Result<Channel, transport::Error>) -> Result<Self, String> {
        let channel = connected.map_err(|error| {
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            causes.last().map_or_else(|| error.to_string(), ToString::to_string)
        })?;
        Ok(Self { channel })
    }

    /// The connection, for a service that is not CSI's.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// CSI's Identity service.
    pub fn identity(&self) -> IdentityClient<Channel> {
        IdentityClient::new(self.channel())
    }

    /// CSI's Controller service.
    pub fn controller(&self) -> ControllerClient<Channel> {
        ControllerClient::new(self.channel())
    }

    /// CSI's Node service.
    pub fn node(&self) -> NodeClient<Channel> {
        NodeClient::new(self.channel())
    }
}
