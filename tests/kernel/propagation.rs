//! Mounts that kubelet would not see: refused at publish, seen again when the mount table changes, reported by doctor.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use azurelustre_csi::adapters::csi::client::CsiClient;
use azurelustre_csi::adapters::csi::proto::volume_capability::{AccessMode, AccessType, MountVolume, access_mode};
use azurelustre_csi::adapters::csi::proto::{
    NodePublishVolumeRequest, NodeUnpublishVolumeRequest, ProbeRequest, VolumeCapability,
};
use azurelustre_csi::adapters::kernel::client_state::KernelFiles;
use azurelustre_csi::adapters::kernel::propagation::{Propagation, Watch};
use azurelustre_csi::adapters::kernel::{Dependencies, KernelMounter};
use azurelustre_csi::domain::mount::MountPlan;
use azurelustre_csi::ports::mounter::{MountErrorKind, Mounter};
use nix::mount::{MsFlags, mount};
use tonic::Code;

use super::world::{HEALTHY, LONG, TestNode, is_mounted, patient, plan, source, until, with_limits};
use super::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    a_publish_that_kubelet_would_not_see_is_refused,
    a_mount_that_kubelet_no_longer_sees_is_no_success,
    doctor_finds_a_directory_that_is_not_shared,
    the_driver_answers_unavailable_and_stays_ready,
];

/// A node whose kubelet directory is a mount of its own.
struct Node {
    base: TestNode,
    kubelet_dir: PathBuf,
    propagation: Arc<Propagation>,
    mounter: KernelMounter,
    _watch: Watch,
}

fn set_propagation(point: &Path, flags: MsFlags) {
    mount(None::<&str>, point, None::<&str>, flags, None::<&str>).unwrap();
}

impl Node {
    fn new(flags: MsFlags) -> Self {
        let node = TestNode::new(with_limits(patient()));
        let kubelet_dir = node.root.join("kubelet");
        std::fs::create_dir(&kubelet_dir).unwrap();
        mount(Some("kubelet"), &kubelet_dir, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        set_propagation(&kubelet_dir, flags);
        let propagation = Arc::new(Propagation::new(KernelFiles::default(), kubelet_dir.clone()));
        let watch = Watch::start(Arc::clone(&propagation)).unwrap();
        let dependencies = Dependencies {
            syscalls: node.kernel.clone(),
            propagation: Some(Arc::clone(&propagation)),
            ..Dependencies::default()
        };
        let mounter = KernelMounter::new(node.settings.clone(), dependencies);
        Self { base: node, kubelet_dir, propagation, mounter, _watch: watch }
    }

    /// A plan whose target's parent is there, as kubelet makes it.
    fn plan(&self, pod: &str) -> MountPlan {
        let target = self.kubelet_dir.join(format!("pods/{pod}/volumes/kubernetes.io~csi/pv/mount"));
        std::fs::create_dir_all(&target).unwrap();
        plan(&source(HEALTHY), &target)
    }

    async fn assert_refused(&self, plan: &MountPlan) {
        let error = self.mounter.mount(plan).await.unwrap_err();
        assert_eq!(error.kind, MountErrorKind::NotReady);
        let point = self.kubelet_dir.display().to_string();
        assert!(error.message.contains(&point), "{error}");
        assert!(error.hint.as_ref().unwrap().contains("mountPropagation: Bidirectional"), "{error:?}");
    }
}

async fn a_publish_that_kubelet_would_not_see_is_refused() {
    let node = Node::new(MsFlags::MS_PRIVATE);
    let plan = node.plan("pod");
    node.assert_refused(&plan).await;
    assert!(!is_mounted(&plan.target), "nothing is mounted");
    // The mount is shared afterwards: no restart is needed.
    set_propagation(&node.kubelet_dir, MsFlags::MS_SHARED);
    until("the change is seen", || node.propagation.standing_fault().is_none()).await;
    node.mounter.mount(&plan).await.unwrap();
    assert!(is_mounted(&plan.target));
    node.mounter.unmount(&plan.target).await.unwrap();
    drop(node.base);
}

async fn a_mount_that_kubelet_no_longer_sees_is_no_success() {
    let node = Node::new(MsFlags::MS_SHARED);
    let plan = node.plan("pod");
    node.mounter.mount(&plan).await.unwrap();
    // Below it all is as before, but what is mounted from now on reaches nobody.
    set_propagation(&node.kubelet_dir, MsFlags::MS_PRIVATE);
    // That alone is no event of the mount table.
    let elsewhere = node.base.root.join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    mount(Some("elsewhere"), &elsewhere, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    until("the change is seen", || node.propagation.standing_fault().is_some()).await;
    node.assert_refused(&node.plan("pod")).await;
    node.assert_refused(&node.plan("other")).await;
    node.mounter.unmount(&plan.target).await.unwrap();
    assert!(!is_mounted(&plan.target), "what is there can still be unmounted");
    drop(node.base);
}

async fn doctor_finds_a_directory_that_is_not_shared() {
    let node = Node::new(MsFlags::MS_PRIVATE);
    let nobody = node.base.root.join("absent.sock");
    let doctor = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_azurelustre-csi"));
        command.env_clear().env("AZURELUSTRE_CSI_KUBELET_DIR", &node.kubelet_dir);
        command.args(["doctor", "node", "--endpoint", &format!("unix://{}", nobody.display())]);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let finding = format!(
        "{} is not a shared mount: kubelet and pods do not see what the driver mounts below it, and write to the node's \
         own disk: set `mountPropagation: Bidirectional`",
        node.kubelet_dir.display()
    );
    let (code, text) = doctor();
    assert!(code == Some(1) && text.contains(&finding), "{text}");
    set_propagation(&node.kubelet_dir, MsFlags::MS_SHARED);
    assert!(!doctor().1.contains("is not a shared mount"));
}

/// The driver as a process. Dropping it kills the process.
struct Driver(std::process::Child);

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts the driver for this kubelet directory, with tmpfs in the place of Lustre; its log up to then.
fn serve(socket: &Path, kubelet_dir: &Path, work: &Path) -> (Driver, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_azurelustre-csi"));
    command.env_clear().args(["serve", "--mode=node", "--nodeid=n", "--mount-fs-type=tmpfs"]);
    command.arg(format!("--endpoint=unix://{}", socket.display()));
    command.arg(format!("--kubelet-dir={}", kubelet_dir.display()));
    command.arg(format!("--working-mount-dir={}", work.display()));
    let mut driver = Driver(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(driver.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut log: Vec<String> = Vec::new();
    while !log.last().is_some_and(|line| line.contains("serving")) {
        log.push(lines.next().unwrap());
    }
    std::thread::spawn(move || lines.for_each(drop));
    (driver, log.join("\n"))
}

fn publication(target: &Path) -> NodePublishVolumeRequest {
    let capability = VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume::default())),
        access_mode: Some(AccessMode { mode: access_mode::Mode::MultiNodeMultiWriter.into() }),
    };
    NodePublishVolumeRequest {
        volume_id: "pv#lustrefs#10.0.0.1##f#".to_owned(),
        target_path: target.display().to_string(),
        volume_capability: Some(capability),
        volume_context: [("mgs-ip-address".to_owned(), "10.0.0.1".to_owned())].into(),
        ..Default::default()
    }
}

async fn the_driver_answers_unavailable_and_stays_ready() {
    let node = Node::new(MsFlags::MS_PRIVATE);
    let (socket, work) = (node.base.root.join("csi.sock"), node.base.root.join("work"));
    let target = node.plan("pod").target;
    std::fs::remove_dir(&target).unwrap();
    let (_driver, log) = serve(&socket, &node.kubelet_dir, &work);
    let finding = format!("{} is not a shared mount", node.kubelet_dir.display());
    assert!(log.contains(&finding) && log.contains("mountPropagation: Bidirectional"), "{log}");
    let driver = CsiClient::unix(&socket).await.unwrap();
    let (mut kubelet, mut identity) = (driver.node(), driver.identity());
    let refused = kubelet.node_publish_volume(publication(&target)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    for part in [finding.as_str(), "mountPropagation: Bidirectional"] {
        assert!(refused.message().contains(part), "{part} in {}", refused.message());
    }
    assert!(!is_mounted(&target), "nothing is mounted");
    assert_eq!(identity.probe(ProbeRequest {}).await.unwrap().into_inner().ready, Some(true));
    // The change is seen without a restart, after a moment at most.
    set_propagation(&node.kubelet_dir, MsFlags::MS_SHARED);
    let begun = Instant::now();
    while let Err(refused) = kubelet.node_publish_volume(publication(&target)).await {
        assert!(refused.code() == Code::Unavailable && begun.elapsed() < LONG, "{refused}");
        tokio::task::yield_now().await;
    }
    assert!(is_mounted(&target));
    let unpublish = NodeUnpublishVolumeRequest {
        volume_id: "pv#lustrefs#10.0.0.1##f#".to_owned(),
        target_path: target.display().to_string(),
    };
    kubelet.node_unpublish_volume(unpublish).await.unwrap();
    assert!(!target.exists());
}
