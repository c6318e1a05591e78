//! Many healthy mounts at once: nothing waits for anything else, and nothing is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::kernel::settings::KernelSettings;
use azurelustre_csi::adapters::kernel::{Dependencies, KernelMounter};
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::ports::inbound::Publishing;
use azurelustre_csi::ports::mounter::Mounter;
use azurelustre_csi::ports::operations::Operations;
use tokio::sync::Semaphore;

use crate::fakes::mounts::{MountRoot, mount_points};
use crate::world::{SICK, TestNode, patient, plan, request, source, with_limits};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] =
    tests![sixty_four_slow_mounts_take_the_time_of_one, five_hundred_pods_come_and_go_at_sixty_four_in_flight];

/// One after the other they would take 6.4 s, each time. Something else may keep the machine busy, but not each time.
async fn sixty_four_slow_mounts_take_the_time_of_one() {
    let node = TestNode::new(with_limits(patient()));
    node.kernel.slow_down(Duration::from_millis(100));
    let targets: Vec<_> = (0..64).map(|pod| node.target(&pod.to_string())).collect();
    let mut took = vec![];
    for _ in 0..5 {
        let begun = Instant::now();
        let calls = targets.iter().map(|target| {
            let (mounter, plan) = (node.mounter.clone(), plan(&source(SICK), target));
            tokio::spawn(async move { mounter.mount(&plan).await })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap().unwrap();
        }
        took.push(begun.elapsed());
        if begun.elapsed() < Duration::from_secs(2) {
            return;
        }
        for target in &targets {
            node.mounter.unmount(target).await.unwrap();
        }
    }
    panic!("{took:?}");
}

async fn five_hundred_pods_come_and_go_at_sixty_four_in_flight() {
    const PODS: usize = 500;
    let mounts = MountRoot::new().unwrap();
    let root = mounts.path();
    let settings =
        KernelSettings { fs_type: "tmpfs".into(), working_dir: root.join("working"), ..KernelSettings::default() };
    let mounter = Arc::new(KernelMounter::new(settings, Dependencies::default()));
    let driver = Arc::new(Publish::new(mounter.clone(), Arc::new(SystemClock::new())));
    let in_flight = Arc::new(Semaphore::new(64));
    for publish in [true, false] {
        let calls = (0..PODS).map(|pod| {
            let (driver, in_flight, request) =
                (driver.clone(), in_flight.clone(), request(&root, &pod.to_string(), SICK));
            tokio::spawn(async move {
                let _place = in_flight.acquire_owned().await.unwrap();
                if publish {
                    driver.publish(request, None).await
                } else {
                    driver.unpublish(&request.volume_id, &request.target, None).await
                }
            })
        });
        let mut failed = vec![];
        for call in calls.collect::<Vec<_>>() {
            failed.extend(call.await.unwrap().err());
        }
        let points = mount_points().iter().filter(|point| point.starts_with(&root)).count();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(points, if publish { PODS } else { 0 });
    }
    assert!(mounter.threads() <= 3 * 64, "{} threads", mounter.threads());
    assert!(mounter.in_progress().is_empty());
    let left = std::fs::read_dir(root.join("pods/1/volumes/kubernetes.io~csi/pv")).unwrap().count();
    assert_eq!(left, 0, "the directories of targets are removed");
}
