//! Worlds for laws of mounters: what a law may arrange (file systems, targets, servers that stop), and the simulator's world.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use azurelustre_csi::adapters::simulator::lustre::{Mode, SimulatedLustre};
use azurelustre_csi::adapters::simulator::servers::Servers;
use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::mount_source::{FsName, MountSource};
use azurelustre_csi::domain::sub_dir::SubDir;
use azurelustre_csi::ports::mounter::Mounter;
use libtest_mimic::Failed;

pub(crate) use crate::fakes::mounts::plan;
use crate::fakes::mounts::{MountRoot, addresses, new_address, source};

/// What not every adapter can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorldCapability {
    /// Two mounts of one file system show the same data.
    SharesData,
    /// A read-only mount refuses writes.
    EnforcesReadOnly,
    /// Servers can be stopped under a mount.
    StopsServers,
    /// There are servers, which refuse what they do not have.
    HasServers,
}

/// A node under test, and what a law may arrange for it. Dropping it unmounts everything.
pub(crate) trait MounterWorld: Send + Sync {
    /// The node.
    fn mounter(&self) -> Arc<dyn Mounter>;

    /// A path of its own for this name, below a directory that exists. Nothing is there yet.
    fn target(&self, name: &str) -> PathBuf;

    /// A new, empty file system that is served.
    fn given_filesystem(&self) -> MountSource;

    /// A source that no server answers at.
    fn unreachable(&self) -> MountSource {
        source(new_address())
    }

    /// Stops the servers of a source.
    fn stop_servers(&self, source: &MountSource);
}

/// Permissions of sub-directories in every world; with a bit that the process's umask usually clears.
pub(crate) const SUB_DIR_MODE: u32 = 0o777;

/// Whether a volume is mounted at a target.
pub(crate) async fn is_mounted(mounter: &dyn Mounter, target: &Path) -> Result<bool, Failed> {
    Ok(mounter.usage(target).await?.is_some())
}

/// The same file system with this sub-directory.
pub(crate) fn with_sub_dir(source: &MountSource, sub_dir: &str) -> Result<MountSource, Failed> {
    Ok(MountSource { sub_dir: Some(SubDir::parse(sub_dir)?), ..source.root() })
}

/// [`SimulatedLustre`] on a temporary directory.
pub(crate) struct SimulatorWorld {
    mounter: Arc<SimulatedLustre>,
    servers: Arc<Servers>,
    root: MountRoot,
}

impl SimulatorWorld {
    /// A world whose node mounts in this mode.
    pub(crate) fn boxed(mode: Mode) -> std::io::Result<Box<dyn MounterWorld>> {
        let root = MountRoot::new()?;
        let servers = Arc::new(Servers::new(&root.path().join("servers"), false));
        let lustre = SimulatedLustre::with_mode(Arc::clone(&servers), mode);
        let mounter = Arc::new(lustre.with_sub_dir_mode(SUB_DIR_MODE));
        Ok(Box::new(Self { mounter, servers, root }))
    }
}

impl MounterWorld for SimulatorWorld {
    fn mounter(&self) -> Arc<dyn Mounter> {
        Arc::clone(&self.mounter) as _
    }

    fn target(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn given_filesystem(&self) -> MountSource {
        let address = new_address();
        self.servers.start(address, &FsName::default(), Tib(4).bytes());
        source(address)
    }

    fn stop_servers(&self, source: &MountSource) {
        addresses(source).for_each(|address| drop(self.servers.stop(address)));
    }
}

impl Drop for SimulatorWorld {
    fn drop(&mut self) {
        self.mounter.close();
    }
}
