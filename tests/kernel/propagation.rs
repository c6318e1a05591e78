//! Mounts that kubelet would not see: refused at publish, seen again when the mount table changes, reported by doctor.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use azurelustre_csi::adapters::kernel::client_state::ClientStatePaths;
use azurelustre_csi::adapters::kernel::propagation::{Propagation, Watch};
use azurelustre_csi::adapters::kernel::{KernelMounter, Parts};
use azurelustre_csi::domain::mount::MountPlan;
use azurelustre_csi::ports::mounter::{MountErrorKind, Mounter};
use nix::mount::{MsFlags, mount};

use super::world::{Bench, HEALTHY, is_mounted, patient, plan, source, until, with_limits};
use super::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    a_publish_that_kubelet_would_not_see_is_refused,
    a_mount_that_kubelet_no_longer_sees_is_no_success,
    doctor_finds_a_directory_that_is_not_shared,
];

/// A node whose kubelet directory is a mount of its own.
struct Node {
    bench: Bench,
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
        let bench = Bench::new(with_limits(patient()));
        let kubelet_dir = bench.root.join("kubelet");
        std::fs::create_dir(&kubelet_dir).unwrap();
        mount(Some("kubelet"), &kubelet_dir, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        set_propagation(&kubelet_dir, flags);
        let propagation = Arc::new(Propagation::new(ClientStatePaths::default(), kubelet_dir.clone()));
        let watch = Watch::start(Arc::clone(&propagation)).unwrap();
        let parts =
            Parts { calls: bench.kernel.clone(), propagation: Some(Arc::clone(&propagation)), ..Parts::default() };
        let mounter = KernelMounter::new(bench.settings.clone(), parts);
        Self { bench, kubelet_dir, propagation, mounter, _watch: watch }
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
    drop(node.bench);
}

async fn a_mount_that_kubelet_no_longer_sees_is_no_success() {
    let node = Node::new(MsFlags::MS_SHARED);
    let plan = node.plan("pod");
    node.mounter.mount(&plan).await.unwrap();
    // Below it all is as before, but what is mounted from now on reaches nobody.
    set_propagation(&node.kubelet_dir, MsFlags::MS_PRIVATE);
    until("the change is seen", || node.propagation.standing_fault().is_some()).await;
    node.assert_refused(&node.plan("pod")).await;
    node.assert_refused(&node.plan("other")).await;
    node.mounter.unmount(&plan.target).await.unwrap();
    assert!(!is_mounted(&plan.target), "what is there can still be unmounted");
    drop(node.bench);
}

async fn doctor_finds_a_directory_that_is_not_shared() {
    let node = Node::new(MsFlags::MS_PRIVATE);
    let nobody = node.bench.root.join("absent.sock");
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
