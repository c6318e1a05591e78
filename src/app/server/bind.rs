//! [`Bound`]: a listening endpoint, and the rules of its socket file.
//!
//! A process that can connect can delete volumes and mount as root, so the file is private from the start. A socket of a dead
//! process is replaced, one that a living process serves is not.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, fchmod};
use tokio::net::{TcpListener, UnixListener, UnixSocket, UnixStream};

use super::error::ServerError;
use crate::app::settings::Endpoint;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;

/// A listening endpoint. Dropping it removes its socket file.
#[derive(Debug)]
pub struct Bound {
    pub(super) listener: Listener,
    pub(super) file: Option<SocketFile>,
    pub(super) address: String,
}

#[derive(Debug)]
pub(super) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Bound {
    /// Begins to listen. For a socket file: its directory is created if absent, a stale file replaced, one in use refused.
    pub async fn bind(endpoint: &Endpoint) -> Result<Self, ServerError> {
        match endpoint {
            Endpoint::Unix(path) => bind_unix(path.as_path(), endpoint.to_string()).await,
            Endpoint::Tcp(address) => bind_tcp(address).await,
        }
    }

    /// Where it listens, as an endpoint; a TCP port 0 has become a real one.
    pub fn address(&self) -> &str {
        &self.address
    }
}

async fn bind_tcp(address: &str) -> Result<Bound, ServerError> {
    let failed = |source| ServerError::Io { action: "listen at", subject: format!("tcp://{address}"), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    if !local.ip().is_loopback() {
        tracing::warn!(address = %local, "listening without TLS or authentication at an address that others can reach");
    }
    Ok(Bound { listener: Listener::Tcp(listener), file: None, address: format!("tcp://{local}") })
}

async fn bind_unix(path: &Path, address: String) -> Result<Bound, ServerError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|source| failed("make the directory", parent, source))?;
    }
    remove_stale(path).await?;
    let socket = UnixSocket::new_stream().map_err(|source| failed("make a socket for", path, source))?;
    // Linux gives the file that bind makes the mode of the socket itself, less the umask. So no other process ever sees a
    // wider one, and the umask, which all threads share, is left alone.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|errno| failed("restrict", path, errno.into()))?;
    socket.bind(path).map_err(|source| failed("listen at", path, source))?;
    let file = SocketFile::at(path).map_err(|source| failed("examine", path, source))?;
    let listener = socket.listen(BACKLOG).map_err(|source| failed("listen at", path, source))?;
    Ok(Bound { listener: Listener::Unix(listener), file: Some(file), address })
}

/// Removes a socket file that no process serves; refuses to touch anything else.
async fn remove_stale(path: &Path) -> Result<(), ServerError> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed("examine", path, source)),
    };
    if !found.file_type().is_socket() {
        return Err(ServerError::NotASocket { path: path.to_owned() });
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "replacing the socket of a process that is gone");
            remove_same(path, identity(&found)).map_err(|source| failed("remove", path, source))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        answered => Err(ServerError::InUse { path: path.to_owned(), holder: holder(answered.ok().as_ref()) }),
    }
}

/// The process at the other end, as far as it is known: in a container, a process of another one has no number.
fn holder(connection: Option<&UnixStream>) -> String {
    let credentials = connection.and_then(|connection| connection.peer_cred().ok());
    match credentials.and_then(|credentials| credentials.pid()).filter(|pid| *pid > 0) {
        Some(pid) => {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("process {pid} {}", name.trim()).trim().to_owned()
        }
        None => "another process".to_owned(),
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ServerError {
    ServerError::Io { action, subject: path.display().to_string(), source }
}

/// The socket file of a listener. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let identity = identity(&std::fs::symlink_metadata(path)?);
        Ok(Self { path: path.to_owned(), identity })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = remove_same(&self.path, self.identity) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

/// Device and inode: what a file is, whatever its name.
type Identity = (u64, u64);

fn identity(metadata: &std::fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Removes the file if it is still this one, and not one that another process has put in its place.
fn remove_same(path: &Path, expected: Identity) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if identity(&found) == expected => std::fs::remove_file(path),
        _ => Ok(()),
    }
}
