//! A node on a machine of its own, whose Lustre can be made to hang, fail and die.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use azurelustre_csi::adapters::kernel::client_state::KernelFiles;
use azurelustre_csi::adapters::kernel::client_state::servers::ServerState;
use azurelustre_csi::adapters::kernel::lustre_client::LustreClient;
use azurelustre_csi::adapters::kernel::settings::{KernelSettings, Limits};
use azurelustre_csi::adapters::kernel::{Dependencies, KernelMounter};
use azurelustre_csi::domain::access::{AccessMode, AccessType, Capability};
use azurelustre_csi::domain::mount::PublishRequest;
use azurelustre_csi::domain::mount_source::MountSource;
use azurelustre_csi::ports::mounter::{Mounter, Readiness};
use azurelustre_csi::ports::operations::Operations;

use crate::fakes::lustre::TreeKernel;
use crate::fakes::mounts::{MountRoot, mount_points};
pub(crate) use crate::fakes::mounts::{plan, source};

/// A server that works.
pub(crate) const HEALTHY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// A server that works until a test says otherwise.
pub(crate) const SICK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
/// What hangs mounts of the sick server.
pub(crate) const SICK_MOUNTS: &str = "mount 10.0.0.9@tcp";

/// Long enough for anything that does not hang.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// The limit of operations that are to run into it.
pub(crate) const SHORT: Duration = Duration::from_millis(150);

/// Runs a test on a runtime of its own, which waits for nothing that hangs.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// Limits that nothing healthy meets.
pub(crate) fn patient() -> Limits {
    Limits {
        mount: LONG,
        unmount: LONG,
        unmount_at_most: LONG,
        thread: LONG,
        statfs: LONG,
        observe: LONG,
        recheck_after: Duration::ZERO,
        connect: SHORT,
        abandon: SHORT,
    }
}

/// Settings that leave patience to a test.
pub(crate) fn with_limits(limits: Limits) -> KernelSettings {
    KernelSettings { limits, ..KernelSettings::default() }
}

/// One machine with one node on it.
pub(crate) struct TestNode {
    pub(crate) mounter: Arc<KernelMounter>,
    pub(crate) kernel: Arc<TreeKernel>,
    pub(crate) settings: KernelSettings,
    pub(crate) root: PathBuf,
    _mounts: MountRoot,
}

impl TestNode {
    /// Directories are set here, all else is as given.
    pub(crate) fn new(settings: KernelSettings) -> Self {
        let mounts = MountRoot::new().unwrap();
        let root = mounts.path();
        let kernel = Arc::new(TreeKernel::new(&root.join("tree")).unwrap());
        kernel.serve(HEALTHY);
        kernel.serve(SICK);
        let settings = KernelSettings { working_dir: root.join("working"), kubelet_dir: root.clone(), ..settings };
        let mounter = Self::mounter(&kernel, &settings);
        Self { mounter, kernel, settings, root, _mounts: mounts }
    }

    fn mounter(kernel: &Arc<TreeKernel>, settings: &KernelSettings) -> Arc<KernelMounter> {
        let files = KernelFiles { root: settings.kubelet_dir.join("client") };
        let dependencies = Dependencies { syscalls: kernel.clone(), files, ..Dependencies::default() };
        Arc::new(KernelMounter::new(settings.clone(), dependencies))
    }

    /// The node after a restart of the driver.
    pub(crate) fn restarted(&self) -> Arc<KernelMounter> {
        Self::mounter(&self.kernel, &self.settings)
    }

    /// A target with its directory, as kubelet lays it out.
    pub(crate) fn target(&self, pod: &str) -> PathBuf {
        let target = self.root.join(format!("pods/{pod}/volumes/kubernetes.io~csi/pv/mount"));
        std::fs::create_dir_all(&target).unwrap();
        target
    }

    /// Mounts a server's file system at a new target.
    pub(crate) async fn mounted(&self, pod: &str, server: Ipv4Addr) -> PathBuf {
        let target = self.target(pod);
        self.mounter.mount(&plan(&source(server), &target)).await.unwrap();
        target
    }

    /// Waits until nothing is in progress.
    pub(crate) async fn settled(&self) {
        until("everything has ended", || self.mounter.in_progress().is_empty()).await;
    }

    /// Nothing is left of private mounts.
    pub(crate) fn assert_no_leftovers(&self) {
        let left: Vec<_> = std::fs::read_dir(&self.settings.working_dir).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        let working_dir = &self.settings.working_dir;
        assert!(!mount_points().iter().any(|point| point.starts_with(working_dir)), "a private mount is left");
    }

    /// The calls about a path.
    pub(crate) fn calls_about(&self, path: &Path) -> Vec<String> {
        let path = path.display().to_string();
        let calls = self.kernel.calls().into_iter().filter(|call| call.ends_with(&path));
        calls.map(|call| call.split(' ').next().unwrap().to_owned()).collect()
    }
}

/// A Lustre client in the state that a test sets.
#[derive(Debug)]
pub(crate) struct FakeClient {
    readiness: Readiness,
    /// One per observation; the last one stays.
    server_states: Mutex<Vec<ServerState>>,
}

impl FakeClient {
    pub(crate) fn new(readiness: Readiness, server_states: &[ServerState]) -> Arc<Self> {
        Arc::new(Self { readiness, server_states: Mutex::new(server_states.to_vec()) })
    }
}

impl LustreClient for FakeClient {
    fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    fn server_state(&self, _source: &str) -> ServerState {
        let mut states = self.server_states.lock().unwrap();
        if states.len() > 1 { states.remove(0) } else { states[0] }
    }
}

/// What kubelet writes beside a target before it publishes.
pub(crate) fn vol_data(target: &Path, volume_id: &str) {
    let text = serde_json::json!({ "volumeHandle": volume_id, "driverName": "azurelustre.csi.azure.com" });
    std::fs::write(target.parent().unwrap().join("vol_data.json"), text.to_string()).unwrap();
}

/// Whether something is mounted, seen from outside.
pub(crate) fn is_mounted(target: &Path) -> bool {
    mount_points().iter().any(|point| point == target)
}

/// How many mounts are at a target, seen from outside.
pub(crate) fn mounts_at(target: &Path) -> usize {
    mount_points().iter().filter(|point| *point == target).count()
}

/// Waits for something that happens on another thread.
pub(crate) async fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < LONG, "{what}: not within {LONG:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A sub-directory of a server's file system.
pub(crate) fn below(server: Ipv4Addr, path: &str) -> MountSource {
    MountSource::parse(&format!("{server}:/lustrefs/{path}")).unwrap()
}

/// What kubelet asks for a pod with a volume of its own, after it has made the directory of the target.
pub(crate) fn request(root: &Path, pod: &str, server: Ipv4Addr) -> PublishRequest {
    let mode = Some(AccessMode::MultiNodeMultiWriter);
    let directory = root.join(format!("pods/{pod}/volumes/kubernetes.io~csi/pv"));
    std::fs::create_dir_all(&directory).unwrap();
    PublishRequest {
        volume_id: pod.to_owned(),
        target: directory.join("mount"),
        capability: Capability { access: Some(AccessType::Mount { flags: vec![] }), mode },
        read_only: false,
        context: [("mgs-ip-address".to_owned(), server.to_string())].into(),
    }
}
