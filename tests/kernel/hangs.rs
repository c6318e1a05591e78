//! Mounts, measurements and sub-directories that hang: others are not hurt, retries join, and in the end all settles.

use std::time::Duration;

use azurelustre_csi::adapters::kernel::settings::Limits;
use azurelustre_csi::ports::mounter::{MountErrorKind, MountOutcome, Mounter};

use crate::world::{
    HEALTHY, SHORT, SICK, SICK_MOUNTS, TestNode, below, is_mounted, mounts_at, patient, plan, source, until,
    with_limits,
};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    a_retry_joins_and_gets_the_late_success,
    a_late_failure_is_reported_to_the_next_call,
    a_mount_that_was_unpublished_meanwhile_takes_itself_back,
    a_mount_whose_directory_was_removed_meanwhile_fails_by_itself,
    a_mount_abandoned_before_it_began_never_begins,
    a_caller_that_leaves_leaves_the_mount_to_go_on,
    a_measurement_that_hangs_is_asked_once,
    a_statfs_past_its_limit_is_not_waited_for_again,
    a_measurement_that_is_joined_gives_its_answer_to_all,
    a_sub_directory_that_hangs_is_joined_and_cleaned_up,
    another_volume_at_a_target_in_progress_is_refused,
    a_mount_in_progress_counts_as_published_until_it_is_abandoned,
];

fn impatient() -> Limits {
    Limits { mount: SHORT, ..patient() }
}

async fn a_retry_joins_and_gets_the_late_success() {
    let node = TestNode::new(with_limits(impatient()));
    let target = node.target("pod");
    let plan = plan(&source(SICK), &target);
    node.kernel.hang(SICK_MOUNTS);
    assert_eq!(node.mounter.mount(&plan).await.unwrap_err().kind, MountErrorKind::Stuck);
    assert!(!is_mounted(&target));
    let retry = tokio::spawn({
        let (mounter, plan) = (node.mounter.clone(), plan.clone());
        async move { mounter.mount(&plan).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    node.kernel.release(SICK_MOUNTS);
    retry.await.unwrap().unwrap();
    assert_eq!(node.calls_about(&target), ["mount"]);
    assert_eq!(node.mounter.published(&plan).await.unwrap(), [target]);
}

async fn a_late_failure_is_reported_to_the_next_call() {
    let node = TestNode::new(with_limits(impatient()));
    let target = node.target("pod");
    let plan = plan(&source(SICK), &target);
    node.kernel.hang(SICK_MOUNTS);
    assert_eq!(node.mounter.mount(&plan).await.unwrap_err().kind, MountErrorKind::Stuck);
    node.kernel.stop(SICK);
    node.kernel.release(SICK_MOUNTS);
    node.settled().await;
    node.kernel.serve(SICK);
    assert_eq!(node.mounter.mount(&plan).await.unwrap_err().kind, MountErrorKind::Unreachable);
    assert_eq!(node.calls_about(&target), ["mount"]);
    node.mounter.mount(&plan).await.unwrap();
}

async fn a_mount_that_was_unpublished_meanwhile_takes_itself_back() {
    let node = TestNode::new(with_limits(impatient()));
    let target = node.target("pod");
    let plan = plan(&source(SICK), &target);
    node.kernel.hang(SICK_MOUNTS);
    assert_eq!(node.mounter.mount(&plan).await.unwrap_err().kind, MountErrorKind::Stuck);
    node.mounter.unmount(&target).await.unwrap();
    let refused = node.mounter.mount(&plan).await.unwrap_err();
    assert_eq!(refused.kind, MountErrorKind::Stuck, "{refused}");
    node.kernel.release(SICK_MOUNTS);
    node.settled().await;
    assert!(!is_mounted(&target));
    assert!(!target.exists(), "the unmount removed it");
    node.mounter.mount(&plan).await.unwrap();
}

async fn a_mount_whose_directory_was_removed_meanwhile_fails_by_itself() {
    let node = TestNode::new(with_limits(impatient()));
    let target = node.target("pod");
    node.kernel.hang(SICK_MOUNTS);
    assert!(node.mounter.mount(&plan(&source(SICK), &target)).await.is_err());
    node.mounter.unmount(&target).await.unwrap();
    node.kernel.release(SICK_MOUNTS);
    node.settled().await;
    assert!(!is_mounted(&target) && !target.exists());
    assert_eq!(node.calls_about(&target), ["mount"]);
}

/// A thread may come late on a busy machine, after its caller was answered and the target was unpublished.
async fn a_mount_abandoned_before_it_began_never_begins() {
    let node = TestNode::new(with_limits(Limits { mount: Duration::ZERO, ..patient() }));
    let targets: Vec<_> = (0..300).map(|pod| node.target(&pod.to_string())).collect();
    for target in &targets {
        // Fast threads may have mounted it, slow ones not even begun.
        node.mounter.mount(&plan(&source(SICK), target)).await.ok();
        node.mounter.unmount(target).await.unwrap();
    }
    node.settled().await;
    let left: Vec<_> = targets.iter().filter(|target| is_mounted(target)).collect();
    assert!(left.is_empty(), "{left:?}");
}

async fn a_caller_that_leaves_leaves_the_mount_to_go_on() {
    let node = TestNode::new(with_limits(patient()));
    let target = node.target("pod");
    node.kernel.hang(SICK_MOUNTS);
    let call = tokio::spawn({
        let (mounter, plan) = (node.mounter.clone(), plan(&source(SICK), &target));
        async move { mounter.mount(&plan).await }
    });
    until("the mount hangs", || node.kernel.hanging(SICK_MOUNTS) == 1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    node.kernel.release(SICK_MOUNTS);
    node.settled().await;
    assert_eq!(mounts_at(&target), 1);
}

async fn a_measurement_that_hangs_is_asked_once() {
    let node = TestNode::new(with_limits(Limits { statfs: SHORT, observe: SHORT, ..patient() }));
    let target = node.mounted("pod", SICK).await;
    let statfs = format!("statfs {}", target.display());
    node.kernel.hang(&statfs);
    for _ in 0..3 {
        assert_eq!(node.mounter.usage(&target).await.unwrap_err().kind, MountErrorKind::Stuck);
    }
    let found = node.mounter.mount(&plan(&source(SICK), &target)).await.unwrap();
    assert_eq!(found, MountOutcome::AlreadyMounted, "no answer is not corrupt");
    assert_eq!(node.kernel.hanging(&statfs), 1);
    // It is not asked before an unmount either.
    node.mounter.unmount(&target).await.unwrap();
    assert_eq!(node.calls_about(&target), ["mount", "plain"]);
    node.kernel.release(&statfs);
    node.settled().await;
}

/// kubelet asks about one volume after the other.
async fn a_statfs_past_its_limit_is_not_waited_for_again() {
    let limit = Duration::from_millis(500);
    let node = TestNode::new(with_limits(Limits { statfs: limit, ..patient() }));
    let target = node.mounted("pod", SICK).await;
    let statfs = format!("statfs {}", target.display());
    node.kernel.hang(&statfs);
    assert_eq!(node.mounter.usage(&target).await.unwrap_err().kind, MountErrorKind::Stuck);
    for _ in 0..5 {
        let begun = std::time::Instant::now();
        assert_eq!(node.mounter.usage(&target).await.unwrap_err().kind, MountErrorKind::Stuck);
        assert!(begun.elapsed() < limit / 2, "{:?}", begun.elapsed());
    }
    node.kernel.release(&statfs);
    node.settled().await;
    assert!(node.mounter.usage(&target).await.unwrap().is_some());
}

async fn a_measurement_that_is_joined_gives_its_answer_to_all() {
    let node = TestNode::new(with_limits(patient()));
    let target = node.mounted("pod", SICK).await;
    let statfs = format!("statfs {}", target.display());
    node.kernel.hang(&statfs);
    let ask = || {
        let (mounter, target) = (node.mounter.clone(), target.clone());
        tokio::spawn(async move { mounter.usage(&target).await })
    };
    let calls = [ask(), ask(), ask()];
    until("one asks", || node.kernel.hanging(&statfs) == 1).await;
    tokio::time::sleep(SHORT).await;
    assert_eq!(node.kernel.hanging(&statfs), 1);
    node.kernel.release(&statfs);
    for call in calls {
        assert!(call.await.unwrap().unwrap().is_some());
    }
}

async fn a_sub_directory_that_hangs_is_joined_and_cleaned_up() {
    let node = TestNode::new(with_limits(impatient()));
    node.kernel.hang(SICK_MOUNTS);
    let (one, other) = (below(SICK, "a/b"), below(HEALTHY, "a/b"));
    for _ in 0..2 {
        assert_eq!(node.mounter.make_sub_dir(&one).await.unwrap_err().kind, MountErrorKind::Stuck);
    }
    assert_eq!(node.kernel.hanging(SICK_MOUNTS), 1);
    node.mounter.make_sub_dir(&other).await.unwrap();
    node.kernel.release(SICK_MOUNTS);
    node.settled().await;
    assert!(node.kernel.files(SICK).join("a/b").is_dir() && node.kernel.files(HEALTHY).join("a/b").is_dir());
    node.assert_no_leftovers();
}

async fn another_volume_at_a_target_in_progress_is_refused() {
    let node = TestNode::new(with_limits(impatient()));
    let target = node.target("pod");
    node.kernel.hang(SICK_MOUNTS);
    assert!(node.mounter.mount(&plan(&source(SICK), &target)).await.is_err());
    let refused = node.mounter.mount(&plan(&source(HEALTHY), &target)).await.unwrap_err();
    assert!(refused.kind == MountErrorKind::Busy && refused.to_string().contains("10.0.0.9@tcp"), "{refused}");
    node.kernel.release(SICK_MOUNTS);
    node.settled().await;
}

/// A single writer must not get a second mount while the first one hangs.
async fn a_mount_in_progress_counts_as_published_until_it_is_abandoned() {
    let node = TestNode::new(with_limits(impatient()));
    let target = node.target("pod");
    node.kernel.hang(SICK_MOUNTS);
    assert!(node.mounter.mount(&plan(&source(SICK), &target)).await.is_err());
    let asked = plan(&source(SICK), &node.target("other"));
    assert_eq!(node.mounter.published(&asked).await.unwrap(), [target.as_path()]);
    node.mounter.unmount(&target).await.unwrap();
    assert!(node.mounter.published(&asked).await.unwrap().is_empty());
    node.kernel.release(SICK_MOUNTS);
    node.settled().await;
}
