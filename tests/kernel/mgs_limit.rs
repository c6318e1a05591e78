//! The limit of mounts of one MGS, what an MGS has to show after it did not answer, and the limit of threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::kernel::settings::{KernelSettings, Limits};
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::domain::access::AccessMode;
use azurelustre_csi::ports::inbound::{FailureKind, Publishing};
use azurelustre_csi::ports::mounter::{MountErrorKind, Mounter};
use azurelustre_csi::ports::operations::Operations;
use nix::errno::Errno;

use crate::world::{
    HEALTHY, LONG, SHORT, SICK, SICK_MOUNTS, TestNode, below, is_mounted, patient, plan, request, source, until,
    with_limits,
};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    while_mounts_are_stuck_an_mgs_without_connection_is_reported_at_once,
    while_mounts_are_stuck_an_mgs_that_listens_is_tried,
    a_server_has_no_more_places_than_set,
    healthy_mounts_wait_for_a_place,
    an_mgs_that_just_failed_to_answer_has_to_take_a_connection,
    work_waits_for_a_free_thread_and_else_the_limit_is_named,
    a_call_that_ends_while_it_waits_for_a_thread_names_the_limit,
    a_hundred_mounts_share_a_few_threads,
    the_threads_of_a_burst_end,
];

async fn stick(node: &TestNode, mounts: usize) {
    node.kernel.hang(SICK_MOUNTS);
    for pod in 0..mounts {
        let target = node.target(&format!("stuck-{pod}"));
        let error = node.mounter.mount(&plan(&source(SICK), &target)).await.unwrap_err();
        assert_eq!(error.kind, MountErrorKind::Stuck, "{error}");
    }
}

async fn while_mounts_are_stuck_an_mgs_without_connection_is_reported_at_once() {
    let node = TestNode::new(with_limits(Limits { mount: Duration::from_millis(400), ..patient() }));
    stick(&node, 1).await;
    node.kernel.listen(SICK.into(), false);
    let begun = Instant::now();
    let target = node.target("new");
    let error = node.mounter.mount(&plan(&source(SICK), &target)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(error.kind, MountErrorKind::Unreachable);
    let hint = error.hint.clone().unwrap();
    assert!(error.to_string().contains("the MGS 10.0.0.9@tcp does not answer: 1 mount of it hangs"), "{error}");
    assert!(["peering", "security groups", "988", "1019 to 1023"].iter().all(|word| hint.contains(word)), "{hint}");
    let error = node.mounter.make_sub_dir(&below(SICK, "a")).await.unwrap_err();
    assert_eq!(error.kind, MountErrorKind::Unreachable, "sub-directories too");
    assert_eq!(node.kernel.hanging(SICK_MOUNTS), 1, "nothing more was begun");
    node.mounted("healthy", HEALTHY).await;
    node.kernel.release(SICK_MOUNTS);
    node.settled().await;
    node.mounter.mount(&plan(&source(SICK), &target)).await.unwrap();
}

async fn while_mounts_are_stuck_an_mgs_that_listens_is_tried() {
    let node = TestNode::new(with_limits(Limits { mount: SHORT, ..patient() }));
    stick(&node, 2).await;
    assert_eq!(node.kernel.hanging(SICK_MOUNTS), 2);
    node.kernel.release(SICK_MOUNTS);
    node.settled().await;
}

async fn a_server_has_no_more_places_than_set() {
    let node = TestNode::new(KernelSettings { mounts_per_mgs: 2, ..with_limits(Limits { mount: SHORT, ..patient() }) });
    stick(&node, 2).await;
    let target = node.target("third");
    let error = node.mounter.mount(&plan(&source(SICK), &target)).await.unwrap_err();
    assert_eq!(error.kind, MountErrorKind::Unreachable, "nothing of it continues");
    assert!(
        error.to_string().contains("2 mounts of the MGS 10.0.0.9@tcp are in progress, 2 of them overdue"),
        "{error}"
    );
    assert_eq!(node.kernel.hanging(SICK_MOUNTS), 2);
    node.mounted("healthy", HEALTHY).await;
    node.kernel.release(SICK_MOUNTS);
    node.settled().await;
}

async fn healthy_mounts_wait_for_a_place() {
    let node = TestNode::new(KernelSettings { mounts_per_mgs: 1, ..with_limits(patient()) });
    node.kernel.hang(SICK_MOUNTS);
    let publish = |pod: &str| {
        let (mounter, plan) = (node.mounter.clone(), plan(&source(SICK), &node.target(pod)));
        tokio::spawn(async move { mounter.mount(&plan).await })
    };
    let calls = [publish("a"), publish("b"), publish("c")];
    until("one mounts", || node.kernel.hanging(SICK_MOUNTS) == 1).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(node.kernel.hanging(SICK_MOUNTS), 1);
    node.kernel.release(SICK_MOUNTS);
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

/// A client of 2.15 stops before any limit of ours has passed.
async fn an_mgs_that_just_failed_to_answer_has_to_take_a_connection() {
    let node = TestNode::new(with_limits(patient()));
    let target = node.target("pod");
    node.kernel.fail(&format!("mount {}", target.display()), Some(Errno::ETIMEDOUT));
    let mount = |pod: &str| {
        let plan = plan(&source(SICK), &node.target(pod));
        let mounter = node.mounter.clone();
        async move { mounter.mount(&plan).await }
    };
    assert_eq!(mount("pod").await.unwrap_err().kind, MountErrorKind::Unreachable);
    node.kernel.listen(SICK.into(), false);
    let before = node.kernel.calls().len();
    let error = mount("other").await.unwrap_err();
    assert!(error.to_string().contains("a mount of it has just failed"), "{error}");
    assert_eq!(node.kernel.calls().len(), before, "no mount was begun");
    node.mounted("healthy", HEALTHY).await;
    node.kernel.listen(SICK.into(), true);
    mount("other").await.unwrap();
    node.kernel.listen(SICK.into(), false);
    mount("another").await.unwrap();
}

/// The limit of the container counts, and not the servers.
async fn work_waits_for_a_free_thread_and_else_the_limit_is_named() {
    let limits = Limits { mount: LONG, thread: SHORT, ..patient() };
    let node = TestNode::new(KernelSettings { threads: 3, ..with_limits(limits) });
    node.kernel.hang(SICK_MOUNTS);
    let mount = |pod: &str| {
        let (mounter, plan) = (node.mounter.clone(), plan(&source(SICK), &node.target(pod)));
        tokio::spawn(async move { mounter.mount(&plan).await })
    };
    let hanging = [mount("a"), mount("b"), mount("c")];
    until("all threads are occupied", || node.kernel.hanging(SICK_MOUNTS) == 3).await;
    let target = node.target("healthy");
    let error = node.mounter.mount(&plan(&source(HEALTHY), &target)).await.unwrap_err();
    assert_eq!(error.kind, MountErrorKind::NotReady, "{error}");
    assert!(error.to_string().contains("no thread is free: 3 are occupied"), "{error}");
    let hint = error.hint.unwrap();
    assert!(hint.contains("pids.max") && !hint.contains("peering"), "{hint}");
    let error = node.mounter.unmount(&target).await.unwrap_err();
    assert_eq!(error.kind, MountErrorKind::NotReady, "not dead: {error}");
    node.kernel.release(SICK_MOUNTS);
    for call in hanging {
        call.await.unwrap().unwrap();
    }
    node.mounter.mount(&plan(&source(HEALTHY), &target)).await.unwrap();
}

/// A call whose time ends before the wait for a thread does.
async fn a_call_that_ends_while_it_waits_for_a_thread_names_the_limit() {
    let node = TestNode::new(KernelSettings { threads: 2, ..with_limits(patient()) });
    let driver =
        Publish::new(node.mounter.clone(), Arc::new(SystemClock::new())).with_operations(Some(node.mounter.clone()));
    let earlier = request(&node.root, "mounted", HEALTHY);
    driver.publish(earlier.clone(), None).await.unwrap();
    node.kernel.hang(SICK_MOUNTS);
    let hanging = ["a", "b"].map(|pod| {
        let (mounter, plan) = (node.mounter.clone(), plan(&source(SICK), &node.target(pod)));
        tokio::spawn(async move { mounter.mount(&plan).await })
    });
    until("all threads are occupied", || node.kernel.hanging(SICK_MOUNTS) == 2).await;
    let timeout = Some(2 * SHORT);
    let mut single = request(&node.root, "single", HEALTHY);
    single.capability.mode = Some(AccessMode::SingleNodeSingleWriter);
    let answers = [
        driver.publish(request(&node.root, "healthy", HEALTHY), timeout).await.unwrap_err(),
        driver.publish(single, timeout).await.unwrap_err(),
        driver.unpublish("mounted", &earlier.target, timeout).await.unwrap_err(),
        driver.usage("mounted", &earlier.target, timeout).await.unwrap_err(),
    ];
    for answer in answers {
        assert_eq!(answer.kind, FailureKind::Unavailable, "{answer:?}");
        assert!(answer.message.contains("no thread is free: 2 are occupied"), "{answer:?}");
        assert!(answer.hint.as_deref().is_some_and(|hint| hint.contains("pids.max")), "{answer:?}");
    }
    assert!(is_mounted(&earlier.target));
    // One that has its thread is not finished, whatever others wait for.
    node.kernel.release(SICK_MOUNTS);
    for call in hanging {
        call.await.unwrap().unwrap();
    }
    node.kernel.hang(SICK_MOUNTS);
    let answer = driver.publish(request(&node.root, "c", SICK), timeout).await.unwrap_err();
    assert_eq!(answer.kind, FailureKind::TimedOut, "{answer:?}");
    node.kernel.release(SICK_MOUNTS);
    node.settled().await;
}

/// Many more calls than threads, none of which hangs.
async fn a_hundred_mounts_share_a_few_threads() {
    let node = TestNode::new(KernelSettings { threads: 5, ..with_limits(patient()) });
    node.kernel.slow_down(Duration::from_millis(20));
    let calls: Vec<_> = (0..100)
        .map(|pod| {
            let (mounter, plan) = (node.mounter.clone(), plan(&source(SICK), &node.target(&pod.to_string())));
            tokio::spawn(async move { mounter.mount(&plan).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert!(node.mounter.threads() <= 5);
}

/// Threads of a burst end, and the memory of their stacks with them.
async fn the_threads_of_a_burst_end() {
    let node = TestNode::new(with_limits(patient()));
    node.kernel.hang(SICK_MOUNTS);
    let calls: Vec<_> = (0..64)
        .map(|pod| {
            let (mounter, plan) = (node.mounter.clone(), plan(&source(SICK), &node.target(&pod.to_string())));
            tokio::spawn(async move { mounter.mount(&plan).await })
        })
        .collect();
    until("all hang", || node.kernel.hanging(SICK_MOUNTS) == 64).await;
    assert!(node.mounter.threads() >= 64);
    node.kernel.release(SICK_MOUNTS);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    // With work now and then, as Probe and kubelet bring it.
    until("but a few threads have ended", || {
        node.mounter.in_progress();
        node.mounter.threads() <= 2
    })
    .await;
}
