//! The driver on its kernel adapter, with tmpfs in Lustre's place, and the least that any driver has to do.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::csi::{Node, NodeInfo, NodeServer, RunningCalls};
use azurelustre_csi::adapters::kernel::mount_args::MountArgs;
use azurelustre_csi::adapters::kernel::settings::KernelSettings;
use azurelustre_csi::adapters::kernel::syscalls::{Kernel, SysError, Syscalls};
use azurelustre_csi::adapters::kernel::{Dependencies, KernelMounter};
use azurelustre_csi::app::usecase::publish::Publish;
use tonic::service::Routes;

use super::floor::{Effect, Floor};
use super::serve::serve;

/// The kernel, with mounts that take longer.
#[derive(Debug)]
struct Slow(Duration);

impl Syscalls for Slow {
    fn mount(&self, call: &MountArgs, directory: &File) -> Result<(), SysError> {
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
        let mounter =
            Arc::new(KernelMounter::new(settings, Dependencies { syscalls: calls, ..Dependencies::default() }));
        let publish = Arc::new(Publish::new(mounter, Arc::new(SystemClock::new())));
        Routes::new(NodeServer::new(Node::new(NodeInfo { node_id: "bench".into() }, publish, RunningCalls::default())))
    })
}

/// The two bare system calls, each on a thread that it may block: it reads nothing, and its only state is which directories
/// are free.
struct Bare {
    free: Mutex<Vec<PathBuf>>,
    mounted: Mutex<Vec<PathBuf>>,
}

fn take(from: &Mutex<Vec<PathBuf>>) -> PathBuf {
    from.lock().unwrap_or_else(PoisonError::into_inner).pop().expect("as many unpublishes as publishes")
}

fn put(to: &Mutex<Vec<PathBuf>>, path: PathBuf) {
    to.lock().unwrap_or_else(PoisonError::into_inner).push(path);
}

#[tonic::async_trait]
impl Effect for Bare {
    async fn run(&self, method: &'static str) {
        let publishes = method == "node_publish_volume";
        let (from, to) = if publishes { (&self.free, &self.mounted) } else { (&self.mounted, &self.free) };
        let (path, call) = (take(from), if publishes { super::mount_bare } else { super::unmount_bare });
        let given = path.clone();
        tokio::task::spawn_blocking(move || call(&given)).await.expect("a thread");
        put(to, path);
    }
}

/// Serves the bare system calls for so many targets; returns the socket.
pub(crate) fn bare(folder: &Path, targets: usize) -> PathBuf {
    let free = (0..targets).map(|number| folder.join(format!("least-{number}"))).collect::<Vec<_>>();
    for target in &free {
        std::fs::create_dir(target).expect("a directory");
    }
    serve(folder.join("bare.sock"), || {
        Routes::new(NodeServer::new(Floor(Bare { free: Mutex::new(free), mounted: Mutex::default() })))
    })
}
