//! What a kernel mounter is put together from, besides its settings: the system calls, and where the state of the Lustre
//! client is read.

use std::fmt;
use std::sync::Arc;

use super::client_state::KernelFiles;
use super::client_state::servers::ServerState;
use super::propagation::Propagation;
use super::syscalls::{Kernel, Syscalls};
use crate::ports::mounter::Readiness;

/// The parts. The default is the real kernel, of which no further facts are known.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The operating system.
    pub calls: Arc<dyn Syscalls>,
    /// Where the tunables of the client are.
    pub paths: KernelFiles,
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
            paths: KernelFiles::default(),
            readiness: ReadinessSource::new(|| Readiness::Ready),
            imports: ImportsSource::new(|_| ServerState::Unknown),
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
pub struct ImportsSource(Arc<dyn Fn(&str) -> ServerState + Send + Sync>);

impl ImportsSource {
    /// A source that asks this function.
    pub fn new(ask: impl Fn(&str) -> ServerState + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(super) fn ask(&self, source: &str) -> ServerState {
        (self.0)(source)
    }
}

impl fmt::Debug for ImportsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportsSource")
    }
}
