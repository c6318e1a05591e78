//! Unmounts that hang, mounts in use, servers that are dead: force only where it is right, and never a foreign mount.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::kernel::settings::Limits;
use azurelustre_csi::adapters::kernel::{Imports, ImportsSource, KernelMounter, Parts};
use azurelustre_csi::domain::mount::MountState;
use azurelustre_csi::ports::mounter::{MountErrorKind, Mounter};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::world::{Bench, SHORT, SICK, is_mounted, patient, plan, source, state, until, vol_data, with_limits};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    an_unmount_that_hangs_after_the_path_is_gone_is_done,
    an_unmount_that_hangs_while_servers_answer_is_never_forced,
    an_unmount_that_hangs_on_dead_servers_is_ended_by_force,
    a_mount_in_use_is_told_with_its_users_and_never_forced,
    a_mount_in_use_on_dead_servers_is_forced_then_detached,
    servers_that_answer_at_second_thought_are_not_dead,
    whole_connections_forbid_force_whatever_statfs_says,
    a_bind_mount_is_never_forced,
    a_mount_of_somebody_else_is_never_forced,
    what_only_makes_room_for_a_mount_is_never_forced,
    a_mount_that_kubelet_knows_is_forced_after_a_restart,
    a_foreign_file_system_is_never_unmounted,
    a_foreign_file_system_upon_ours_is_told_and_ours_kept,
    all_of_a_stack_is_taken_away,
];

fn short_unmounts() -> Limits {
    Limits { unmount: SHORT, statfs: SHORT, ..patient() }
}

fn key(call: &str, target: &Path) -> String {
    format!("{call} {}", target.display())
}

async fn an_unmount_that_hangs_after_the_path_is_gone_is_done() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.mounted("pod", SICK).await;
    let hung = key("unmounted", &target);
    bench.kernel.hang(&hung);
    bench.mounter.unmount(&target).await.unwrap();
    assert!(bench.mounter.under_way().iter().any(|one| one.what == "unmount"), "it stays visible");
    let refused = bench.mounter.mount(&plan(&source(SICK), &target)).await.unwrap_err();
    assert_eq!(refused.kind, MountErrorKind::Stuck, "{refused}");
    bench.mounter.unmount(&target).await.unwrap();
    bench.mounter.remove_target(&target).await.unwrap();
    assert_eq!(bench.calls_about(&target), ["mount", "plain"]);
    bench.kernel.release(&hung);
    bench.settled().await;
}

async fn an_unmount_that_hangs_while_servers_answer_is_never_forced() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.mounted("pod", SICK).await;
    let hung = key("unmount", &target);
    bench.kernel.hang(&hung);
    for _ in 0..2 {
        assert_eq!(bench.mounter.unmount(&target).await.unwrap_err().kind, MountErrorKind::Stuck);
    }
    assert_eq!(bench.calls_about(&target), ["mount", "plain"]);
    bench.kernel.release(&hung);
    bench.settled().await;
    assert!(!is_mounted(&target), "the first one went on");
}

async fn an_unmount_that_hangs_on_dead_servers_is_ended_by_force() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.mounted("pod", SICK).await;
    let (hung, statfs) = (key("unmount", &target), key("statfs", &target));
    bench.kernel.hang(&hung);
    bench.kernel.hang(&statfs);
    assert_eq!(bench.mounter.unmount(&target).await.unwrap_err().kind, MountErrorKind::Stuck);
    until("it was forced", || !is_mounted(&target)).await;
    bench.mounter.unmount(&target).await.unwrap();
    assert_eq!(bench.calls_about(&target)[..3], ["mount", "plain", "force"]);
    bench.kernel.release(&hung);
    bench.kernel.release(&statfs);
    bench.settled().await;
}

async fn a_mount_in_use_is_told_with_its_users_and_never_forced() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.mounted("pod", SICK).await;
    let in_use = std::fs::File::create(target.join("file")).unwrap();
    let error = bench.mounter.unmount(&target).await.unwrap_err();
    assert_eq!(error.kind, MountErrorKind::Busy);
    let me = format!("process {} (", std::process::id());
    assert!(error.to_string().contains(&me) && error.to_string().contains("has files of it open"), "{error}");
    drop(in_use);
    std::fs::create_dir(target.join("inner")).unwrap();
    mount(Some("x"), &target.join("inner"), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let error = bench.mounter.unmount(&target).await.unwrap_err();
    assert!(error.to_string().contains("a tmpfs mount at"), "{error}");
    umount2(&target.join("inner"), MntFlags::empty()).unwrap();
    assert!(matches!(state(&bench.mounter, &target).await, MountState::Mounted(_)));
    bench.mounter.unmount(&target).await.unwrap();
    assert!(bench.calls_about(&target)[1..].iter().all(|call| call == "plain"));
}

/// An evicted client fails once.
async fn servers_that_answer_at_second_thought_are_not_dead() {
    let pause = Duration::from_millis(200);
    let bench = Bench::new(with_limits(Limits { second_look: pause, ..patient() }));
    let target = bench.mounted("pod", SICK).await;
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    let statfs = key("statfs", &target);
    bench.kernel.fail(&statfs, Some(Errno::ENOTCONN));
    let healing = tokio::spawn({
        let kernel = bench.kernel.clone();
        async move {
            tokio::time::sleep(pause / 2).await;
            kernel.fail(&statfs, None);
        }
    });
    assert_eq!(bench.mounter.unmount(&target).await.unwrap_err().kind, MountErrorKind::Busy);
    assert_eq!(bench.calls_about(&target), ["mount", "plain", "plain"]);
    healing.await.unwrap();
}

async fn a_mount_in_use_on_dead_servers_is_forced_then_detached() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.mounted("pod", SICK).await;
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    bench.kernel.stop(SICK);
    bench.mounter.unmount(&target).await.unwrap();
    assert!(!is_mounted(&target));
    assert_eq!(bench.calls_about(&target), ["mount", "plain", "force", "detach"]);
}

async fn whole_connections_forbid_force_whatever_statfs_says() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let imports = ImportsSource::new(|_| Imports::Full);
    let parts = Parts { calls: bench.kernel.clone(), imports, ..Parts::default() };
    let mounter = Arc::new(KernelMounter::new(bench.settings.clone(), parts));
    let target = bench.target("pod");
    mounter.mount(&plan(&source(SICK), &target)).await.unwrap();
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    bench.kernel.fail(&key("statfs", &target), Some(Errno::EAGAIN));
    assert_eq!(mounter.unmount(&target).await.unwrap_err().kind, MountErrorKind::Busy);
    assert_eq!(bench.calls_about(&target), ["mount", "plain", "plain"]);
}

async fn a_bind_mount_is_never_forced() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.mounted("pod", SICK).await;
    bench.kernel.show_as_bind(&target);
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    bench.kernel.stop(SICK);
    bench.mounter.unmount(&target).await.unwrap();
    assert_eq!(bench.calls_about(&target), ["mount", "plain", "detach"]);
}

async fn what_only_makes_room_for_a_mount_is_never_forced() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.mounted("pod", SICK).await;
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    bench.kernel.stop(SICK);
    bench.mounter.clear(&target).await.unwrap();
    assert!(!is_mounted(&target));
    assert_eq!(bench.calls_about(&target), ["mount", "plain", "detach"]);
}

async fn a_mount_of_somebody_else_is_never_forced() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.mounted("pod", SICK).await;
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    bench.kernel.stop(SICK);
    bench.restarted().unmount(&target).await.unwrap();
    assert_eq!(bench.calls_about(&target), ["mount", "plain", "detach"]);
}

async fn a_mount_that_kubelet_knows_is_forced_after_a_restart() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.mounted("pod", SICK).await;
    vol_data(&target, "volume");
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    bench.kernel.stop(SICK);
    bench.restarted().unmount(&target).await.unwrap();
    assert_eq!(bench.calls_about(&target), ["mount", "plain", "force", "detach"]);
}

async fn a_foreign_file_system_is_never_unmounted() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.target("pod");
    mount(Some("somebody's"), &target, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    std::fs::write(target.join("file"), "text").unwrap();
    let error = bench.mounter.unmount(&target).await.unwrap_err();
    assert!(error.to_string().contains("a tmpfs mount of somebody's is there"), "{error}");
    assert!(target.join("file").exists());
    assert!(bench.mounter.remove_target(&target).await.is_err());
    assert!(bench.calls_about(&target).is_empty());
    assert_eq!(bench.mounter.usage(&target).await.unwrap(), None, "it is no volume");
}

async fn a_foreign_file_system_upon_ours_is_told_and_ours_kept() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.mounted("pod", SICK).await;
    mount(Some("x"), &target, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let MountState::Mounted(mounts) = state(&bench.mounter, &target).await else { panic!("not mounted") };
    assert_eq!(mounts.iter().map(|one| one.fs_type.as_str()).collect::<Vec<_>>(), ["lustre", "tmpfs"]);
    assert_eq!(bench.mounter.unmount(&target).await.unwrap_err().kind, MountErrorKind::Busy);
    umount2(&target, MntFlags::empty()).unwrap();
    bench.mounter.unmount(&target).await.unwrap();
}

async fn all_of_a_stack_is_taken_away() {
    let bench = Bench::new(with_limits(short_unmounts()));
    let target = bench.target("pod");
    // Two processes of the driver that knew nothing of each other, as it were.
    let call = azurelustre_csi::adapters::kernel::call::MountCall::new(
        &source(SICK),
        &azurelustre_csi::domain::mount_options::MountOptions::default(),
        &target,
        "lustre",
    );
    let directory = std::fs::File::open(&target).unwrap();
    for _ in 0..2 {
        use azurelustre_csi::adapters::kernel::syscalls::Syscalls;
        bench.kernel.mount(call.as_ref().unwrap(), &directory).unwrap();
    }
    drop(directory);
    assert!(matches!(state(&bench.mounter, &target).await, MountState::Mounted(mounts) if mounts.len() == 2));
    bench.mounter.unmount(&target).await.unwrap();
    assert!(!is_mounted(&target));
}
