//! The kernel adapter's worlds: real mounts of tmpfs, and Lustre mounts of a kernel that keeps them in a tree.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::kernel::settings::{KernelSettings, Limits};
use azurelustre_csi::adapters::kernel::{Dependencies, KernelMounter};
use azurelustre_csi::domain::mount_source::MountSource;
use azurelustre_csi::ports::mounter::Mounter;

use super::world::{MounterWorld, SUB_DIR_MODE, WorldCapability};
use crate::fakes::lustre::TreeKernel;
use crate::fakes::mounts::{MountRoot, addresses, new_address, source};

/// What mounts of tmpfs are not capable of.
pub(crate) const TMPFS_LACKS: &[(WorldCapability, &str)] = &[
    (WorldCapability::SharesData, "each tmpfs is empty; kernel-tree has it"),
    (WorldCapability::StopsServers, "a tmpfs has no servers; kernel-tree has them"),
    (WorldCapability::HasServers, "a tmpfs has no servers; kernel-tree has them"),
];

struct KernelWorld {
    mounter: Arc<KernelMounter>,
    tree: Option<Arc<TreeKernel>>,
    root: MountRoot,
}

/// The real kernel with a file system that needs no server.
pub(crate) fn on_tmpfs() -> io::Result<Box<dyn MounterWorld>> {
    let root = MountRoot::new()?;
    let mounter = Arc::new(KernelMounter::new(settings("tmpfs", &root), Dependencies::default()));
    Ok(Box::new(KernelWorld { mounter, tree: None, root }))
}

/// Everything but the system calls, with shared data and servers.
pub(crate) fn on_a_tree() -> io::Result<Box<dyn MounterWorld>> {
    let root = MountRoot::new()?;
    let tree = Arc::new(TreeKernel::new(&root.path().join("tree"))?);
    let parts = Dependencies { syscalls: Arc::clone(&tree) as _, ..Dependencies::default() };
    let mounter = Arc::new(KernelMounter::new(settings("lustre", &root), parts));
    Ok(Box::new(KernelWorld { mounter, tree: Some(tree), root }))
}

fn settings(fs_type: &str, root: &MountRoot) -> KernelSettings {
    KernelSettings {
        fs_type: fs_type.to_owned(),
        working_dir: root.path().join("working"),
        sub_dir_mode: SUB_DIR_MODE,
        limits: Limits { recheck_after: Duration::ZERO, ..Limits::default() },
        ..KernelSettings::default()
    }
}

impl MounterWorld for KernelWorld {
    fn mounter(&self) -> Arc<dyn Mounter> {
        Arc::clone(&self.mounter) as _
    }

    fn target(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn given_filesystem(&self) -> MountSource {
        let address = new_address();
        if let Some(tree) = &self.tree {
            tree.serve(address);
        }
        source(address)
    }

    fn stop_servers(&self, source: &MountSource) {
        if let Some(tree) = &self.tree {
            addresses(source).for_each(|address| tree.stop(address));
        }
    }
}
