//! [`ServerError`]: why the gRPC server cannot start or ended.

use std::path::PathBuf;

use crate::domain::problem::Problem;

/// Why the server cannot start or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another process answers at the socket.
    #[error("{} is in use by {holder}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
        /// The other process, as far as it is known.
        holder: String,
    },
    /// The path exists and is not a socket.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {subject}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        subject: String,
        /// Its error.
        #[source]
        source: std::io::Error,
    },
    /// The transport failed.
    #[error("gRPC server failed")]
    Transport(#[from] tonic::transport::Error),
}

impl ServerError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InUse { .. } => {
                "end the other process, or give this one another --endpoint; on a node of the Go driver take over from it with \
                 deploy/install-driver.sh"
            }
            Self::NotASocket { .. } => "remove it, or give another --endpoint",
            Self::Io { .. } => "check --endpoint, its directory's owner and mode, and the process's user",
            Self::Transport(_) => "see the log; the process can be started again",
        }
    }
}

impl From<ServerError> for Problem {
    fn from(error: ServerError) -> Self {
        Self::from_error(&error).with_hint(error.hint())
    }
}
