//! What is seen at a target: corrupt or only silent, host names, odd paths, and what an earlier process published.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::kernel::settings::Limits;
use azurelustre_csi::adapters::kernel::{KernelMounter, Parts, ReadinessSource};
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::domain::access::{AccessMode, AccessType, Capability};
use azurelustre_csi::domain::mount::{MountAction, MountState, PublishRequest};
use azurelustre_csi::domain::mount_source::MountSource;
use azurelustre_csi::ports::inbound::{FailureKind, Publishing};
use azurelustre_csi::ports::mounter::{MountErrorKind, Mounter, Readiness};
use nix::errno::Errno;

use crate::world::{Bench, HEALTHY, SICK, patient, plan, request, source, state, vol_data, with_limits};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    an_error_that_passes_is_not_corrupt,
    an_error_that_stays_is_corrupt_and_silence_is_not,
    a_host_name_and_its_address_are_one_server,
    a_host_name_that_cannot_be_resolved_is_told,
    paths_of_any_bytes_are_mounted_and_unmounted,
    two_spellings_of_a_target_are_one,
    a_target_whose_parents_are_made_below_a_link_is_known,
    what_is_published_survives_a_restart,
    a_single_writer_stays_alone_after_a_restart,
    readiness_is_asked_where_it_was_said,
];

async fn an_error_that_passes_is_not_corrupt() {
    let pause = Duration::from_millis(200);
    let bench = Bench::new(with_limits(Limits { second_look: pause, ..patient() }));
    let target = bench.mounted("pod", SICK).await;
    let statfs = format!("statfs {}", target.display());
    bench.kernel.fail(&statfs, Some(Errno::ENOTCONN));
    let healing = tokio::spawn({
        let (kernel, statfs) = (bench.kernel.clone(), statfs.clone());
        async move {
            tokio::time::sleep(pause / 2).await;
            kernel.fail(&statfs, None);
        }
    });
    assert!(matches!(state(&bench.mounter, &target).await, MountState::Mounted(_)));
    healing.await.unwrap();
}

async fn an_error_that_stays_is_corrupt_and_silence_is_not() {
    let bench = Bench::new(with_limits(patient()));
    let target = bench.mounted("pod", SICK).await;
    let statfs = format!("statfs {}", target.display());
    for errno in [Errno::ENOTCONN, Errno::ESTALE, Errno::EIO, Errno::ESHUTDOWN] {
        bench.kernel.fail(&statfs, Some(errno));
        let state = state(&bench.mounter, &target).await;
        assert!(
            matches!(&state, MountState::Corrupt { reason } if reason.contains(&format!("{errno:?}"))),
            "{state:?}"
        );
    }
    for errno in [Errno::EAGAIN, Errno::ETIMEDOUT] {
        bench.kernel.fail(&statfs, Some(errno));
        assert!(matches!(state(&bench.mounter, &target).await, MountState::Mounted(_)), "{errno}");
        assert_eq!(bench.mounter.usage(&target).await.unwrap_err().kind, MountErrorKind::Unreachable);
    }
}

async fn a_host_name_and_its_address_are_one_server() {
    let bench = Bench::new(with_limits(patient()));
    let (sick, healthy) = (SICK.into(), HEALTHY.into());
    bench.kernel.host("mgs.example", &["fd00::9".parse().unwrap(), sick]);
    bench.kernel.host("other.example", &[healthy]);
    for (number, (text, mounted)) in [
        ("mgs.example:/lustrefs", "10.0.0.9@tcp:/lustrefs"),
        ("nowhere.example:MGS.example@tcp0:/lustrefs", "10.0.0.7@tcp:10.0.0.9@tcp:/lustrefs"),
    ]
    .into_iter()
    .enumerate()
    {
        bench.kernel.host("nowhere.example", &["10.0.0.7".parse().unwrap()]);
        let plan = plan(&MountSource::parse(text).unwrap(), &bench.target(&number.to_string()));
        bench.mounter.mount(&plan).await.unwrap();
        let MountState::Mounted(shown) = state(&bench.mounter, &plan.target).await else { panic!("not mounted") };
        assert_eq!(shown[0].source, mounted);
        for mounter in [&bench.mounter, &bench.restarted()] {
            assert_eq!(plan.action(&mounter.inspect_for(&plan).await.unwrap()), MountAction::Done, "{text}");
        }
        // Another name, or the same with other addresses, is another server.
        let mut other = plan.clone();
        other.source = MountSource::parse("other.example:/lustrefs").unwrap();
        let state = bench.mounter.inspect_for(&other).await.unwrap();
        assert!(matches!(other.action(&state), MountAction::Conflict(_)), "{state:?}");
    }
    let moved = plan(&MountSource::parse("mgs.example:/lustrefs").unwrap(), &bench.target("0"));
    bench.kernel.host("mgs.example", &[healthy]);
    let action = moved.action(&bench.mounter.inspect_for(&moved).await.unwrap());
    assert_eq!(action, MountAction::Done, "the process that mounted it knows");
    let action = moved.action(&bench.restarted().inspect_for(&moved).await.unwrap());
    assert!(matches!(action, MountAction::Conflict(_)), "{action:?}");
}

async fn a_host_name_that_cannot_be_resolved_is_told() {
    let bench = Bench::new(with_limits(patient()));
    let plan = plan(&MountSource::parse("absent.example:/lustrefs").unwrap(), &bench.target("pod"));
    let error = bench.mounter.mount(&plan).await.unwrap_err();
    assert!(error.kind == MountErrorKind::Unreachable && error.to_string().contains("absent.example"), "{error}");
    assert!(bench.kernel.calls().is_empty());
}

async fn paths_of_any_bytes_are_mounted_and_unmounted() {
    let bench = Bench::new(with_limits(patient()));
    for name in [&b"line\nbreak"[..], b"blank and\ttab", b"back\\040slash", b"not \xff\xfe UTF-8", &[b'x'; 255]] {
        let target = bench.root.join(OsStr::from_bytes(name));
        assert!(bench.mounter.make_target(&target).await.unwrap());
        bench.mounter.mount(&plan(&source(SICK), &target)).await.unwrap();
        assert!(matches!(state(&bench.mounter, &target).await, MountState::Mounted(mounts) if mounts.len() == 1));
        assert_eq!(bench.mounter.published("volume").await.unwrap(), [target.as_path()]);
        bench.mounter.unmount(&target).await.unwrap();
        bench.mounter.remove_target(&target).await.unwrap();
        assert!(!target.exists());
    }
}

async fn two_spellings_of_a_target_are_one() {
    let bench = Bench::new(with_limits(patient()));
    let target = bench.mounted("pod", SICK).await;
    let alias = bench.root.join("alias");
    std::os::unix::fs::symlink(target.parent().unwrap(), &alias).unwrap();
    for spelled in [alias.join("mount"), alias.join(".//mount/")] {
        assert!(matches!(state(&bench.mounter, &spelled).await, MountState::Mounted(mounts) if mounts.len() == 1));
        let refused = bench.mounter.mount(&plan(&source(SICK), &spelled)).await.unwrap_err();
        assert_eq!(refused.kind, MountErrorKind::Busy, "{refused}");
    }
    bench.mounter.unmount(&alias.join("mount")).await.unwrap();
    assert_eq!(state(&bench.mounter, &target).await, MountState::Directory);
}

async fn a_target_whose_parents_are_made_below_a_link_is_known() {
    let bench = Bench::new(with_limits(patient()));
    let (real, alias) = (bench.root.join("real"), bench.root.join("alias"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &alias).unwrap();
    let driver = Publish::new(bench.mounter.clone(), Arc::new(SystemClock::new()));
    for _ in 0..2 {
        let request = request(&alias, "pod", SICK);
        driver.publish(request.clone(), None).await.unwrap();
        assert_eq!(bench.mounter.published("pod").await.unwrap(), [request.target.as_path()]);
        driver.publish(request.clone(), None).await.unwrap();
        driver.unpublish("pod", &request.target, None).await.unwrap();
        assert_eq!(state(&bench.mounter, &request.target).await, MountState::Absent);
    }
    assert!(real.join("pods/pod").is_dir());
}

async fn what_is_published_survives_a_restart() {
    let bench = Bench::new(with_limits(patient()));
    let (one, two) = (bench.mounted("1", SICK).await, bench.mounted("2", SICK).await);
    vol_data(&one, "volume");
    vol_data(&two, "volume-2");
    let restarted = bench.restarted();
    assert_eq!(restarted.published("volume").await.unwrap(), [one.as_path()]);
    assert_eq!(restarted.published("volume-2").await.unwrap(), [two.as_path()]);
    // Without kubelet's file the source tells, if the id names it.
    std::fs::remove_file(one.parent().unwrap().join("vol_data.json")).unwrap();
    assert_eq!(restarted.published("x#lustrefs#10.0.0.9").await.unwrap(), [one.as_path()]);
    restarted.unmount(&one).await.unwrap();
    assert!(restarted.published("x#lustrefs#10.0.0.9").await.unwrap().is_empty());
}

async fn a_single_writer_stays_alone_after_a_restart() {
    let bench = Bench::new(with_limits(patient()));
    let request = |pod: &str| {
        let target = bench.target(pod);
        vol_data(&target, "volume");
        PublishRequest {
            volume_id: "volume".into(),
            target,
            capability: Capability {
                access: Some(AccessType::Mount { flags: vec![] }),
                mode: Some(AccessMode::SingleNodeSingleWriter),
            },
            read_only: false,
            context: [("mgs-ip-address".to_owned(), SICK.to_string())].into(),
        }
    };
    let publish = |mounter: Arc<KernelMounter>| Publish::new(mounter, Arc::new(SystemClock::new()));
    publish(bench.mounter.clone()).publish(request("1"), None).await.unwrap();
    let restarted = publish(bench.restarted());
    let failure = restarted.publish(request("2"), None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Precondition, "{failure:?}");
    restarted.publish(request("1"), None).await.unwrap();
    restarted.unpublish("volume", &bench.target("1"), None).await.unwrap();
    restarted.publish(request("2"), None).await.unwrap();
}

async fn readiness_is_asked_where_it_was_said() {
    let missing = Readiness::NotReady(vec!["the module lustre is not loaded".into()]);
    let answer = missing.clone();
    let readiness = ReadinessSource::new(move || answer.clone());
    let mounter = KernelMounter::new(with_limits(patient()), Parts { readiness, ..Parts::default() });
    assert_eq!(mounter.readiness().await, missing);
}
