//! State of the node's Lustre client, as mounts and unmounts need it: readiness, and whether servers answer.

use std::fmt::Debug;

use super::client_state::readiness::NodeState;
use super::client_state::servers::{self, ServerState};
use super::client_state::{self, BlockingCalls, KernelFiles};
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::Readiness;

/// Observes the client. The defaults are those of a client of which nothing is known. Both calls may block for seconds.
pub trait LustreClient: Send + Sync + Debug {
    /// Whether the client can mount.
    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }

    /// The servers of a mount, by its source as mountinfo shows it. Called before and during an unmount.
    fn server_state(&self, _source: &str) -> ServerState {
        ServerState::Unknown
    }
}

/// A client without observable state, for mounts of other types.
#[derive(Debug, Clone, Copy, Default)]
pub struct UnobservedClient;

impl LustreClient for UnobservedClient {}

/// The client of this node, from the files of the kernel.
#[derive(Debug)]
pub struct ObservedClient {
    files: KernelFiles,
    readiness: BlockingCalls,
    /// Apart from those of the readiness: a blocked import must not hide the module.
    imports: BlockingCalls,
}

impl ObservedClient {
    /// The client whose state is in these files.
    pub fn new(files: KernelFiles) -> Self {
        Self { files, readiness: BlockingCalls::default(), imports: BlockingCalls::default() }
    }
}

impl LustreClient for ObservedClient {
    fn readiness(&self) -> Readiness {
        let findings = NodeState::read(&self.readiness, &self.files).assess();
        for note in &findings.notes {
            tracing::debug!("{note}");
        }
        findings.readiness()
    }

    fn server_state(&self, source: &str) -> ServerState {
        match (MountSource::parse(source), client_state::mounted_sources(&self.files)) {
            (Ok(source), Ok(mounted)) => servers::read(&self.imports, &self.files, &source, &mounted),
            _ => ServerState::Unknown,
        }
    }
}
