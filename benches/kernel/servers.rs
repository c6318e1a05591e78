//! The driver on its kernel adapter, with tmpfs in Lustre's place.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::csi::{Node, NodeInfo, NodeServer};
use azurelustre_csi::adapters::kernel::call::MountCall;
use azurelustre_csi::adapters::kernel::settings::KernelSettings;
use azurelustre_csi::adapters::kernel::syscalls::{Kernel, Syscalls};
use azurelustre_csi::adapters::kernel::{KernelMounter, Parts};
use azurelustre_csi::app::usecase::publish::Publish;
use nix::errno::Errno;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use super::serve::serve;

/// The kernel, whose mounts take longer.
#[derive(Debug)]
struct Slow(Duration);

impl Syscalls for Slow {
    fn mount(&self, call: &MountCall, directory: &File) -> Result<(), Errno> {
        std::thread::sleep(self.0);
        Kernel.mount(call, directory)
    }
}

/// Serves the driver; returns its socket.
pub(crate) fn driver(folder: &Path, slowness: Duration) -> PathBuf {
    let settings =
        KernelSettings { fs_type: "tmpfs".into(), working_dir: folder.join("working"), ..KernelSettings::default() };
    serve(folder.join("driver.sock"), move || {
        let calls: Arc<dyn Syscalls> = if slowness.is_zero() { Arc::new(Kernel) } else { Arc::new(Slow(slowness)) };
        let mounter = Arc::new(KernelMounter::new(settings, Parts { calls, ..Parts::default() }));
        let publish = Arc::new(Publish::new(mounter, Arc::new(SystemClock::new())));
        Routes::new(NodeServer::new(Node::new(NodeInfo { node_id: "bench".into() }, publish, TaskTracker::new())))
    })
}
