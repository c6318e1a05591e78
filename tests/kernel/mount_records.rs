//! Mount records: what an earlier process published, by kubelet's `vol_data.json`, the PV's directory or the source.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::kernel::KernelMounter;
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::domain::access::{AccessMode, AccessType, Capability};
use azurelustre_csi::domain::mount::PublishRequest;
use azurelustre_csi::ports::inbound::{FailureKind, Publishing};
use azurelustre_csi::ports::mounter::Mounter;

use crate::world::{HEALTHY, SICK, TestNode, patient, plan, source, vol_data, with_limits};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    what_is_published_survives_a_restart,
    a_mount_without_a_record_belongs_to_its_source,
    a_single_writer_stays_alone_after_a_restart,
    a_single_writer_stays_alone_with_a_torn_record,
];

/// A target at kubelet's path for a pod and a PV.
fn kubelets(node: &TestNode, pod: &str, pv: &str) -> PathBuf {
    let directory = node.root.join(format!("pods/{pod}/volumes/kubernetes.io~csi/{pv}"));
    std::fs::create_dir_all(&directory).unwrap();
    directory.join("mount")
}

/// A publish for the only writer of a volume.
fn single_writer(volume_id: &str, target: PathBuf) -> PublishRequest {
    let access = Some(AccessType::Mount { flags: vec![] });
    PublishRequest {
        volume_id: volume_id.into(),
        target,
        capability: Capability { access, mode: Some(AccessMode::SingleNodeSingleWriter) },
        read_only: false,
        context: [("mgs-ip-address".to_owned(), SICK.to_string())].into(),
    }
}

/// The use-case over a mounter.
pub(crate) fn publish(mounter: Arc<KernelMounter>) -> Publish {
    Publish::new(mounter, Arc::new(SystemClock::new()))
}

async fn what_is_published_survives_a_restart() {
    let node = TestNode::new(with_limits(patient()));
    let targets = [kubelets(&node, "1", "pv-1"), kubelets(&node, "2", "pv-2")];
    for target in &targets {
        node.mounter.mount(&plan(&source(SICK), target)).await.unwrap();
    }
    vol_data(&targets[0], "volume");
    vol_data(&targets[1], "volume-2");
    let restarted = node.restarted();
    let published = |volume: &str, asking: &Path| {
        let mut plan = plan(&source(SICK), asking);
        volume.clone_into(&mut plan.volume_id);
        let restarted = restarted.clone();
        async move { restarted.published(&plan).await.unwrap() }
    };
    let elsewhere = kubelets(&node, "3", "pv-3");
    assert_eq!(published("volume", &elsewhere).await, [targets[0].as_path()]);
    assert_eq!(published("volume-2", &elsewhere).await, [targets[1].as_path()]);
    // kubelet's record of the first is torn: the PV's directory decides, whatever the source is.
    for torn in [Some("{"), Some(""), None] {
        let record = targets[0].parent().unwrap().join("vol_data.json");
        match torn {
            Some(text) => std::fs::write(&record, text).unwrap(),
            None => std::fs::remove_file(&record).unwrap(),
        }
        let again = kubelets(&node, "4", "pv-1");
        assert_eq!(published("any", &again).await, [targets[0].as_path()], "{torn:?}");
        assert!(published("any", &elsewhere).await.is_empty(), "{torn:?}");
    }
    // A directory that nothing is mounted on blocks nobody.
    restarted.unmount(&targets[0]).await.unwrap();
    assert!(published("any", &kubelets(&node, "4", "pv-1")).await.is_empty());
}

/// Paths that hold no PV's name, as other orchestrators have them.
async fn a_mount_without_a_record_belongs_to_its_source() {
    let node = TestNode::new(with_limits(patient()));
    let target = node.root.join("plain");
    node.mounter.mount(&plan(&source(SICK), &target)).await.unwrap();
    let restarted = node.restarted();
    let other = node.root.join("other");
    assert_eq!(restarted.published(&plan(&source(SICK), &other)).await.unwrap(), [target.as_path()]);
    assert!(restarted.published(&plan(&source(HEALTHY), &other)).await.unwrap().is_empty());
    // A private mount of the root, of whichever process, is nobody's.
    restarted.unmount(&target).await.unwrap();
    let private = node.root.join("azurelustre-csi-root-00000007");
    node.mounter.mount(&plan(&source(SICK), &private)).await.unwrap();
    assert!(node.restarted().published(&plan(&source(SICK), &other)).await.unwrap().is_empty());
}

async fn a_single_writer_stays_alone_after_a_restart() {
    let node = TestNode::new(with_limits(patient()));
    let request = |pod: &str| {
        let target = node.target(pod);
        vol_data(&target, "volume");
        single_writer("volume", target)
    };
    publish(node.mounter.clone()).publish(request("1"), None).await.unwrap();
    let restarted = publish(node.restarted());
    let failure = restarted.publish(request("2"), None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Precondition, "{failure:?}");
    restarted.publish(request("1"), None).await.unwrap();
    restarted.unpublish("volume", &node.target("1"), None).await.unwrap();
    restarted.publish(request("2"), None).await.unwrap();
}

/// A power cut has emptied kubelet's record, and the handle of the volume says nothing.
async fn a_single_writer_stays_alone_with_a_torn_record() {
    let node = TestNode::new(with_limits(patient()));
    let request = |pod: &str| single_writer("any handle", kubelets(&node, pod, "pv-1"));
    publish(node.mounter.clone()).publish(request("1"), None).await.unwrap();
    std::fs::write(request("1").target.parent().unwrap().join("vol_data.json"), "").unwrap();
    let restarted = publish(node.restarted());
    let failure = restarted.publish(request("2"), None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Precondition, "{failure:?}");
    // The pod's own repeated publish, in any spelling, is never refused.
    std::os::unix::fs::symlink(&node.root, node.root.join("alias")).unwrap();
    let spelled = node.root.join("alias").join(request("1").target.strip_prefix(&node.root).unwrap());
    for target in [request("1").target, spelled] {
        restarted.publish(PublishRequest { target, ..request("1") }, None).await.unwrap();
    }
    // The pod is gone; its directory is left and blocks nobody.
    restarted.unpublish("any handle", &request("1").target, None).await.unwrap();
    std::fs::create_dir(request("1").target).unwrap();
    publish(node.restarted()).publish(request("2"), None).await.unwrap();
}
