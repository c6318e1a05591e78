//! [`Endpoint`]: the address that the gRPC server listens at. A socket path that is too long for the kernel is a problem among
//! the other settings, not an error of bind(2).

use std::fmt;
use std::path::{Path, PathBuf};

use crate::domain::problem::Problem;
use crate::domain::text::quote;

/// Longest path of a socket, in bytes: `sun_path` has 108, one of them for the NUL at the end (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// An address to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A socket file, for kubelet and the sidecars.
    Unix(SocketPath),
    /// `host:port`, for tests. There is no TLS.
    Tcp(String),
}

impl Endpoint {
    /// Takes `unix:///path` or `tcp://host:port`. As in the Go driver, `unix://path` is taken from the root; `unix:/path` and
    /// a bare `/path` are what manifests of other CSI drivers and of sidecars hold.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.starts_with('/') {
            return SocketPath::new(text).map(Self::Unix);
        }
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        match (scheme.to_ascii_lowercase().as_str(), rest.strip_prefix("//")) {
            ("unix", Some(path)) if !path.is_empty() => SocketPath::new(Path::new("/").join(path)).map(Self::Unix),
            ("unix", None) if rest.starts_with('/') => SocketPath::new(rest).map(Self::Unix),
            ("tcp", Some(address)) if is_host_and_port(address) => Ok(Self::Tcp(address.to_owned())),
            _ => {
                let problem = Problem::new(format!("{} is not an endpoint", quote(text)));
                Err(problem.with_hint("use unix:///path/to/csi.sock, unix:/path, /path or tcp://host:port"))
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.as_path().display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Path of a socket file, absolute and short enough for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketPath(PathBuf);

impl SocketPath {
    /// Takes an absolute path of at most 107 bytes that names a file.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, Problem> {
        let path = path.into();
        let bytes = path.as_os_str().as_encoded_bytes();
        let shown = quote(&path.to_string_lossy());
        if bytes.len() > SOCKET_PATH_MAX {
            let problem =
                Problem::new(format!("{shown} has {} bytes; the kernel takes {SOCKET_PATH_MAX}", bytes.len()));
            return Err(problem.with_hint("use a shorter path for the socket"));
        }
        if !path.is_absolute() || path.file_name().is_none() || bytes.ends_with(b"/") || bytes.contains(&0) {
            return Err(Problem::new(format!("{shown} is not a socket path"))
                .with_hint("use an absolute path, such as /csi/csi.sock"));
        }
        Ok(Self(path))
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_the_go_driver_does() {
        for (text, expected) in [
            ("unix:///csi/csi.sock", "unix:///csi/csi.sock"),
            ("unix://tmp/csi.sock", "unix:///tmp/csi.sock"),
            ("UNIX:///tmp/csi.sock", "unix:///tmp/csi.sock"),
            ("unix:/csi/csi.sock", "unix:///csi/csi.sock"),
            ("Unix:/csi/csi.sock", "unix:///csi/csi.sock"),
            ("/csi/csi.sock", "unix:///csi/csi.sock"),
            ("tcp://127.0.0.1:10000", "tcp://127.0.0.1:10000"),
            ("tcp://[::1]:0", "tcp://[::1]:0"),
            ("TCP://localhost:1", "tcp://localhost:1"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_cannot_be_listened_at_is_refused_with_a_hint() {
        let long = format!("unix:///{}", "x".repeat(107));
        for bad in [
            "",
            "csi.sock",
            "/",
            "/csi/",
            "unix:",
            "unix:/",
            "unix:csi.sock",
            "unix://",
            "unix:///",
            "unix:///a/",
            "unix:///a/..",
            "tcp://",
            "tcp://:1",
            "tcp://h",
            "tcp://h:70000",
            "http://h:1",
            &long,
        ] {
            assert!(Endpoint::parse(bad).unwrap_err().hint.is_some(), "{bad}");
        }
        assert!(SocketPath::new(format!("/{}", "x".repeat(106))).is_ok());
    }
}
