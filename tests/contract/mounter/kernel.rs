//! The kernel adapter's worlds: real mounts of tmpfs, and Lustre mounts of a kernel that keeps them in a tree.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use azurelustre_csi::adapters::kernel::settings::{KernelSettings, Limits};
use azurelustre_csi::adapters::kernel::{Dependencies, KernelMounter};
use azurelustre_csi::domain::mount_source::{Host, MountSource, Nid};
use azurelustre_csi::ports::mounter::Mounter;
use libtest_mimic::Failed;
use tempfile::TempDir;

use super::world::{MounterWorld, SUB_DIR_MODE};
use crate::fakes::lustre::{TreeKernel, unmount_below};
use crate::fakes::mounts::source;

pub(crate) const UNAVAILABLE: Option<&str> = None;

struct KernelWorld {
    mounter: Arc<KernelMounter>,
    tree: Option<Arc<TreeKernel>>,
    root: TempDir,
}

/// The real kernel with a file system that needs no server.
pub(crate) fn on_tmpfs() -> io::Result<Box<dyn MounterWorld>> {
    world("tmpfs", |_| Ok(None))
}

/// Everything but the calls themselves, with shared data and servers.
pub(crate) fn on_a_tree() -> io::Result<Box<dyn MounterWorld>> {
    world("lustre", |root| TreeKernel::new(&root.path().join("tree")).map(Arc::new).map(Some))
}

fn world(
    fs_type: &str,
    tree: impl FnOnce(&TempDir) -> io::Result<Option<Arc<TreeKernel>>>,
) -> io::Result<Box<dyn MounterWorld>> {
    let root = tempfile::tempdir()?;
    let tree = tree(&root)?;
    let limits = Limits { recheck_after: Duration::ZERO, ..Limits::default() };
    let working_dir = root.path().join("working");
    let settings = KernelSettings {
        fs_type: fs_type.to_owned(),
        working_dir,
        sub_dir_mode: SUB_DIR_MODE,
        limits,
        ..KernelSettings::default()
    };
    let mut dependencies = Dependencies::default();
    if let Some(tree) = &tree {
        dependencies.syscalls = Arc::<TreeKernel>::clone(tree);
    }
    let mounter = Arc::new(KernelMounter::new(settings, dependencies));
    Ok(Box::new(KernelWorld { mounter, tree, root }))
}

impl KernelWorld {
    /// One that no other world has: what is mounted is seen by all, and who it is for may follow from its source.
    fn new_address() -> Ipv4Addr {
        static NUMBERS: AtomicU16 = AtomicU16::new(1);
        let [high, low] = NUMBERS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Ipv4Addr::new(10, 1, high, low)
    }
}

impl MounterWorld for KernelWorld {
    fn mounter(&self) -> Arc<dyn Mounter> {
        Arc::<KernelMounter>::clone(&self.mounter)
    }

    fn target(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn given_filesystem(&self) -> Result<MountSource, Failed> {
        let address = Self::new_address();
        if let Some(tree) = &self.tree {
            tree.serve(address);
        }
        Ok(source(address))
    }

    fn unreachable(&self) -> Result<MountSource, Failed> {
        Ok(source(Self::new_address()))
    }

    fn stop_servers(&self, source: &MountSource) {
        let Some(tree) = &self.tree else { return };
        for Nid { host, .. } in source.mgs.servers().iter().flatten() {
            let Host::V4(address) = host else { continue };
            tree.stop(*address);
        }
    }
}

impl Drop for KernelWorld {
    fn drop(&mut self) {
        unmount_below(self.root.path());
    }
}
