//! Places of a server, and what is told while its mounts are stuck.

use std::time::{Duration, Instant};

use azurelustre_csi::adapters::kernel::settings::{KernelSettings, Limits};
use azurelustre_csi::ports::mounter::{MountErrorKind, Mounter};

use crate::world::{Bench, HEALTHY, SHORT, SICK, SICK_MOUNTS, below, patient, plan, source, until, with_limits};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    while_mounts_are_stuck_an_mgs_without_connection_is_told_at_once,
    while_mounts_are_stuck_an_mgs_that_listens_is_tried,
    a_server_has_no_more_places_than_set,
    healthy_mounts_wait_for_a_place,
    when_all_threads_are_taken_calls_fail_and_do_not_hang,
];

async fn stick(bench: &Bench, mounts: usize) {
    bench.kernel.hang(SICK_MOUNTS);
    for pod in 0..mounts {
        let target = bench.target(&format!("stuck-{pod}"));
        let error = bench.mounter.mount(&plan(&source(SICK), &target)).await.unwrap_err();
        assert_eq!(error.kind, MountErrorKind::Stuck, "{error}");
    }
}

async fn while_mounts_are_stuck_an_mgs_without_connection_is_told_at_once() {
    let bench = Bench::new(with_limits(Limits { mount: Duration::from_millis(400), ..patient() }));
    stick(&bench, 1).await;
    bench.kernel.listen(SICK.into(), false);
    let begun = Instant::now();
    let target = bench.target("new");
    let error = bench.mounter.mount(&plan(&source(SICK), &target)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(error.kind, MountErrorKind::Unreachable);
    let hint = error.hint.clone().unwrap();
    assert!(error.to_string().contains("the MGS 10.0.0.9@tcp does not answer: 1 mounts of it hang"), "{error}");
    assert!(["peering", "security groups", "988", "1019 to 1023"].iter().all(|word| hint.contains(word)), "{hint}");
    let error = bench.mounter.make_sub_dir(&below(SICK, "a")).await.unwrap_err();
    assert_eq!(error.kind, MountErrorKind::Unreachable, "sub-directories too");
    assert_eq!(bench.kernel.hanging(SICK_MOUNTS), 1, "nothing more was begun");
    bench.mounted("healthy", HEALTHY).await;
    bench.kernel.release(SICK_MOUNTS);
    bench.settled().await;
    bench.mounter.mount(&plan(&source(SICK), &target)).await.unwrap();
}

async fn while_mounts_are_stuck_an_mgs_that_listens_is_tried() {
    let bench = Bench::new(with_limits(Limits { mount: SHORT, ..patient() }));
    stick(&bench, 2).await;
    assert_eq!(bench.kernel.hanging(SICK_MOUNTS), 2);
    bench.kernel.release(SICK_MOUNTS);
    bench.settled().await;
}

async fn a_server_has_no_more_places_than_set() {
    let bench = Bench::new(KernelSettings { mounts_per_mgs: 2, ..with_limits(Limits { mount: SHORT, ..patient() }) });
    stick(&bench, 2).await;
    let target = bench.target("third");
    let error = bench.mounter.mount(&plan(&source(SICK), &target)).await.unwrap_err();
    assert_eq!(error.kind, MountErrorKind::Stuck);
    assert!(error.to_string().contains("2 mounts of the MGS 10.0.0.9@tcp are under way, 2 of them stuck"), "{error}");
    assert_eq!(bench.kernel.hanging(SICK_MOUNTS), 2);
    bench.mounted("healthy", HEALTHY).await;
    bench.kernel.release(SICK_MOUNTS);
    bench.settled().await;
}

async fn healthy_mounts_wait_for_a_place() {
    let bench = Bench::new(KernelSettings { mounts_per_mgs: 1, ..with_limits(patient()) });
    bench.kernel.hang(SICK_MOUNTS);
    let publish = |pod: &str| {
        let (mounter, plan) = (bench.mounter.clone(), plan(&source(SICK), &bench.target(pod)));
        tokio::spawn(async move { mounter.mount(&plan).await })
    };
    let calls = [publish("a"), publish("b"), publish("c")];
    until("one mounts", || bench.kernel.hanging(SICK_MOUNTS) == 1).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(bench.kernel.hanging(SICK_MOUNTS), 1);
    bench.kernel.release(SICK_MOUNTS);
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

async fn when_all_threads_are_taken_calls_fail_and_do_not_hang() {
    let bench = Bench::new(KernelSettings { threads: 3, ..with_limits(Limits { mount: SHORT, ..patient() }) });
    let more = bench.target("more");
    stick(&bench, 2).await;
    let last = plan(&source(SICK), &bench.target("last"));
    assert_eq!(bench.mounter.mount(&last).await.unwrap_err().kind, MountErrorKind::Stuck);
    let error = bench.mounter.mount(&plan(&source(HEALTHY), &more)).await.unwrap_err();
    assert!(error.kind == MountErrorKind::Stuck && error.to_string().contains("all 3 threads"), "{error}");
    bench.kernel.release(SICK_MOUNTS);
    bench.settled().await;
    bench.mounter.mount(&plan(&source(HEALTHY), &more)).await.unwrap();
}
