//! What a kernel mounter is put together from, besides its settings: the system calls, and where the state of the Lustre
//! client is read.

use std::fmt;
use std::sync::Arc;

use super::client_state::ClientStatePaths;
use super::propagation::Propagation;
use super::syscalls::{Kernel, Syscalls};
use crate::ports::mounter::Readiness;

/// What the Lustre client says of its connections to the servers of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imports {
    /// At least one server of the file system is connected: it is not dead, though some may be in failover.
    Full,
    /// No server of it is: the mount is dead until one comes back.
    NotFull,
    /// It cannot be read, or does not tell. Never taken for either of the others.
    Unknown,
}

/// The parts. The default is the real kernel, of which no further facts are known.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The operating system.
    pub calls: Arc<dyn Syscalls>,
    /// Where the tunables of the client are.
    pub paths: ClientStatePaths,
    /// Asked for [`Mounter::readiness`]; may block.
    ///
    /// [`Mounter::readiness`]: crate::ports::mounter::Mounter::readiness
    pub readiness: ReadinessSource,
    /// Asked before and during an unmount; may block for some seconds.
    pub imports: ImportsSource,
    /// Asked first at each publish: whether kubelet will see the mount. Without it, it is taken for granted.
    pub propagation: Option<Arc<Propagation>>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            calls: Arc::new(Kernel),
            paths: ClientStatePaths::default(),
            readiness: ReadinessSource::new(|| Readiness::Ready),
            imports: ImportsSource::new(|_| Imports::Unknown),
            propagation: None,
        }
    }
}

/// Where readiness is asked.
#[derive(Clone)]
pub struct ReadinessSource(Arc<dyn Fn() -> Readiness + Send + Sync>);

impl ReadinessSource {
    /// A source that asks this function.
    pub fn new(ask: impl Fn() -> Readiness + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(super) fn ask(&self) -> Readiness {
        (self.0)()
    }
}

impl fmt::Debug for ReadinessSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadinessSource")
    }
}

/// Where connections are asked, by the source of a mount as mountinfo shows it.
#[derive(Clone)]
pub struct ImportsSource(Arc<dyn Fn(&str) -> Imports + Send + Sync>);

impl ImportsSource {
    /// A source that asks this function.
    pub fn new(ask: impl Fn(&str) -> Imports + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(super) fn ask(&self, source: &str) -> Imports {
        (self.0)(source)
    }
}

impl fmt::Debug for ImportsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportsSource")
    }
}
