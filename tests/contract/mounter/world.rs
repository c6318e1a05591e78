//! What a law may arrange: file systems, targets, servers that stop; and the simulator's way to do so.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use azurelustre_csi::adapters::simulator::lustre::{Mode, SimulatedLustre};
use azurelustre_csi::adapters::simulator::servers::Servers;
use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::mount_source::{FsName, Host, MountSource, Nid};
use azurelustre_csi::domain::sub_dir::SubDir;
use azurelustre_csi::ports::mounter::Mounter;
use libtest_mimic::Failed;
use nix::mount::{MntFlags, umount2};
use tempfile::TempDir;

pub(crate) use crate::fakes::mounts::plan;
use crate::fakes::mounts::source;

/// What not every adapter can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorldCapability {
    /// Two mounts of one file system show the same data.
    SharesData,
    /// A read-only mount refuses writes.
    EnforcesReadOnly,
    /// Servers can be stopped under a mount.
    StopsServers,
    /// There are servers, which say no to what they do not have.
    HasServers,
}

/// A node under test and what is round it. Dropping it unmounts everything.
pub(crate) trait MounterWorld: Send + Sync {
    /// The node.
    fn mounter(&self) -> Arc<dyn Mounter>;

    /// A path of its own for this name, below a directory that exists. Nothing is there yet.
    fn target(&self, name: &str) -> PathBuf;

    /// A new, empty file system that answers.
    fn given_filesystem(&self) -> Result<MountSource, Failed>;

    /// A source that nothing answers at.
    fn unreachable(&self) -> Result<MountSource, Failed>;

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
    addresses: AtomicU8,
    targets: Mutex<Vec<PathBuf>>,
    root: TempDir,
}

impl SimulatorWorld {
    /// A world whose node mounts in this mode.
    pub(crate) fn boxed(mode: Mode) -> std::io::Result<Box<dyn MounterWorld>> {
        let root = tempfile::tempdir()?;
        let servers = Arc::new(Servers::new(&root.path().join("servers"), false));
        let lustre = SimulatedLustre::with_mode(Arc::clone(&servers), mode);
        let mounter = Arc::new(lustre.with_sub_dir_mode(SUB_DIR_MODE));
        Ok(Box::new(Self { mounter, servers, addresses: AtomicU8::new(1), targets: Mutex::default(), root }))
    }

    fn new_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, self.addresses.fetch_add(1, Ordering::Relaxed))
    }
}

impl MounterWorld for SimulatorWorld {
    fn mounter(&self) -> Arc<dyn Mounter> {
        Arc::clone(&self.mounter) as Arc<dyn Mounter>
    }

    fn target(&self, name: &str) -> PathBuf {
        let target = self.root.path().join(name);
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).push(target.clone());
        target
    }

    fn given_filesystem(&self) -> Result<MountSource, Failed> {
        let address = self.new_address();
        self.servers.start(address, &FsName::default(), Tib(4).bytes());
        Ok(source(address))
    }

    fn unreachable(&self) -> Result<MountSource, Failed> {
        Ok(source(self.new_address()))
    }

    fn stop_servers(&self, source: &MountSource) {
        for Nid { host, .. } in source.mgs.servers().iter().flatten() {
            let Host::V4(address) = host else { continue };
            self.servers.stop(*address).ok();
        }
    }
}

impl Drop for SimulatorWorld {
    /// Detaches also what the node does not know of, so that removing the directory removes no data through a mount.
    fn drop(&mut self) {
        self.mounter.close();
        for target in self.targets.get_mut().unwrap_or_else(PoisonError::into_inner) {
            while umount2(target.as_path(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).is_ok() {}
        }
    }
}
