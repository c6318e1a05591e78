//! Unmounts that hang, mounts in use, servers that are dead: never forced, detached only where the servers are dead, and
//! never a mount of another driver.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::kernel::client_state::servers::ServerState;
use azurelustre_csi::adapters::kernel::mount_args::MountArgs;
use azurelustre_csi::adapters::kernel::settings::{KernelSettings, Limits};
use azurelustre_csi::adapters::kernel::syscalls::Syscalls;
use azurelustre_csi::adapters::kernel::{Dependencies, KernelMounter};
use azurelustre_csi::domain::mount_options::MountOptions;
use azurelustre_csi::ports::mounter::{MountErrorKind, MountOutcome, Mounter, Readiness};
use azurelustre_csi::ports::operations::{OperationKind, Operations};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::world::{
    FakeClient, LONG, SHORT, SICK, TestNode, is_mounted, mounts_at, patient, plan, source, until, vol_data, with_limits,
};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    no_code_can_force_an_unmount,
    an_unmount_that_flushes_is_waited_for,
    an_unmount_that_flushes_for_too_long_is_abandoned_with_a_free_path,
    an_unmount_that_flushes_to_dead_servers_frees_the_target,
    an_unmount_that_hangs_in_its_place_is_never_abandoned_while_servers_answer,
    an_unmount_that_hangs_in_its_place_on_dead_servers_is_detached,
    calls_shorter_than_the_limit_of_an_unmount_free_the_target_too,
    what_was_known_before_the_unmount_counts_when_nothing_is_known_later,
    a_publish_waits_for_the_unmount_in_progress,
    a_mount_in_use_is_reported_with_its_users_and_stays,
    a_mount_in_use_on_dead_servers_is_detached,
    a_failover_is_not_death,
    servers_that_answer_the_second_time_are_not_dead,
    what_cannot_be_determined_is_not_dead,
    connected_servers_forbid_a_detach_whatever_the_network_says,
    a_mount_that_kubelet_knows_is_never_forced_after_a_restart,
    a_file_system_of_another_type_is_never_unmounted,
    a_file_system_of_another_type_upon_ours_is_reported_and_ours_kept,
    equal_mounts_that_are_stacked_are_as_planned_and_all_unmounted,
];

fn short_unmounts() -> Limits {
    Limits { unmount: SHORT, statfs: SHORT, ..patient() }
}

fn key(call: &str, target: &Path) -> String {
    format!("{call} {}", target.display())
}

fn node() -> TestNode {
    TestNode::new(with_limits(short_unmounts()))
}

/// A mounter on the node's machine whose imports show these states, one per observation.
fn with_server_states(node: &TestNode, states: &[ServerState]) -> Arc<KernelMounter> {
    let client = FakeClient::new(Readiness::Ready, states);
    let dependencies = Dependencies { syscalls: node.kernel.clone(), client, ..Dependencies::default() };
    Arc::new(KernelMounter::new(node.settings.clone(), dependencies))
}

/// Runs an unmount beside the test.
fn spawn_unmount(mounter: &Arc<KernelMounter>, target: &Path) -> tokio::task::JoinHandle<Result<(), MountErrorKind>> {
    let (mounter, target) = (mounter.clone(), target.to_owned());
    tokio::spawn(async move { mounter.unmount(&target).await.map_err(|error| error.kind) })
}

/// `MNT_FORCE` drops unwritten pages of servers that answer, and may use freed memory in the kernel.
async fn no_code_can_force_an_unmount() {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (number, line) in code.enumerate() {
            let forces = ["MNT_FORCE", "UnmountFlags::FORCE", "MntFlags::all", "MntFlags::from_bits"];
            assert!(!forces.iter().any(|word| line.contains(word)), "{}, code line {number}: {line}", path.display());
        }
        read += 1;
    }
    assert!(read > 50, "only {read} files");
}

/// The kernel removes the path before it writes back.
async fn an_unmount_that_flushes_is_waited_for() {
    let node = node();
    let target = node.mounted("pod", SICK).await;
    let hung = key("unmounted", &target);
    node.kernel.hang(&hung);
    let call = spawn_unmount(&node.mounter, &target);
    until("it flushes", || node.kernel.hanging(&hung) == 1).await;
    assert!(!is_mounted(&target));
    let early = tokio::time::timeout(4 * SHORT, node.mounter.unmount(&target)).await;
    assert!(early.is_err() && !call.is_finished(), "data is still on its way: {early:?}");
    assert!(target.is_dir());
    let listed = node.mounter.in_progress();
    assert!(listed.iter().any(|one| one.kind == OperationKind::Unmount && one.overdue), "{listed:?}");
    assert_eq!(listed[0].mgs.as_deref(), Some("10.0.0.9@tcp"));
    node.kernel.release(&hung);
    call.await.unwrap().unwrap();
    node.settled().await;
    assert!(!target.exists());
    assert_eq!(node.calls_about(&target), ["mount", "plain"]);
}

async fn an_unmount_that_flushes_for_too_long_is_abandoned_with_a_free_path() {
    let limits = Limits { unmount_at_most: 3 * SHORT, ..short_unmounts() };
    let node = TestNode::new(with_limits(limits));
    let target = node.mounted("pod", SICK).await;
    let hung = key("unmounted", &target);
    node.kernel.hang(&hung);
    node.mounter.unmount(&target).await.unwrap();
    assert!(!target.exists());
    assert_eq!(node.mounter.in_progress().len(), 1, "it stays visible");
    node.kernel.release(&hung);
    node.settled().await;
    let target = node.mounted("other", SICK).await;
    let hung = key("unmount", &target);
    node.kernel.hang(&hung);
    assert_eq!(node.mounter.unmount(&target).await.unwrap_err().kind, MountErrorKind::Stuck, "it is still mounted");
    assert!(is_mounted(&target));
    node.kernel.release(&hung);
    node.settled().await;
}

async fn an_unmount_that_flushes_to_dead_servers_frees_the_target() {
    let node = node();
    let target = node.mounted("pod", SICK).await;
    let hung = key("unmounted", &target);
    node.kernel.hang(&hung);
    node.kernel.stop(SICK);
    node.mounter.unmount(&target).await.unwrap();
    assert!(!target.exists());
    assert_eq!(node.calls_about(&target), ["mount", "plain"], "nothing is left to detach");
    node.kernel.release(&hung);
    node.settled().await;
}

async fn an_unmount_that_hangs_in_its_place_is_never_abandoned_while_servers_answer() {
    let node = node();
    let target = node.mounted("pod", SICK).await;
    let hung = key("unmount", &target);
    node.kernel.hang(&hung);
    let call = spawn_unmount(&node.mounter, &target);
    until("it hangs", || node.kernel.hanging(&hung) == 1).await;
    assert!(tokio::time::timeout(5 * SHORT, node.mounter.unmount(&target)).await.is_err());
    assert_eq!(node.calls_about(&target), ["mount", "plain"]);
    node.kernel.release(&hung);
    call.await.unwrap().unwrap();
    assert!(!is_mounted(&target), "the first one went on");
}

/// kubelet's calls may be shorter than the time after which servers are examined, which counts from the first of them.
async fn calls_shorter_than_the_limit_of_an_unmount_free_the_target_too() {
    let node = TestNode::new(with_limits(Limits { unmount: 4 * SHORT, ..short_unmounts() }));
    let target = node.mounted("pod", SICK).await;
    let hung = key("unmount", &target);
    node.kernel.hang(&hung);
    node.kernel.stop(SICK);
    let mut calls = 0;
    while tokio::time::timeout(2 * SHORT, node.mounter.unmount(&target)).await.is_err() {
        calls += 1;
        assert!(calls < 10, "never examined");
    }
    assert!(calls > 0 && !is_mounted(&target) && !target.exists());
    node.kernel.release(&hung);
    node.settled().await;
}

async fn an_unmount_that_hangs_in_its_place_on_dead_servers_is_detached() {
    let node = node();
    let target = node.mounted("pod", SICK).await;
    let hung = key("unmount", &target);
    node.kernel.hang(&hung);
    node.kernel.stop(SICK);
    node.mounter.unmount(&target).await.unwrap();
    assert!(!is_mounted(&target) && !target.exists());
    assert_eq!(node.calls_about(&target), ["mount", "plain", "detach"]);
    node.kernel.release(&hung);
    node.settled().await;
}

/// umount2(2) removes the imports of the mount with its first step.
async fn what_was_known_before_the_unmount_counts_when_nothing_is_known_later() {
    for (before, network, freed) in [
        (ServerState::Dead, Err(Some(Errno::EMFILE)), true),
        (ServerState::Dead, Err(None), true),
        // They came back, and take the data now.
        (ServerState::Dead, Ok(()), false),
        (ServerState::Answering, Ok(()), false),
        (ServerState::Answering, Err(Some(Errno::EMFILE)), false),
        (ServerState::Unknown, Ok(()), false),
        (ServerState::Unknown, Err(Some(Errno::EMFILE)), false),
    ] {
        let node = node();
        match network {
            Ok(()) => {}
            Err(None) => node.kernel.listen(SICK.into(), false),
            Err(errno) => node.kernel.fail("connect", errno),
        }
        let mounter = with_server_states(&node, &[before, ServerState::Unknown]);
        let target = node.mounted("pod", SICK).await;
        let hung = key("unmounted", &target);
        node.kernel.hang(&hung);
        let ended = tokio::time::timeout(5 * SHORT, mounter.unmount(&target)).await;
        assert_eq!(ended.is_ok(), freed, "{before:?} {network:?}: {ended:?}");
        node.kernel.release(&hung);
    }
}

async fn a_publish_waits_for_the_unmount_in_progress() {
    let node = node();
    let target = node.mounted("pod", SICK).await;
    let hung = key("unmounted", &target);
    node.kernel.hang(&hung);
    let unmount = spawn_unmount(&node.mounter, &target);
    until("it flushes", || node.kernel.hanging(&hung) == 1).await;
    let publish = tokio::spawn({
        let (mounter, plan) = (node.mounter.clone(), plan(&source(SICK), &target));
        async move { mounter.mount(&plan).await }
    });
    tokio::time::sleep(SHORT).await;
    assert!(!publish.is_finished() && !is_mounted(&target));
    node.kernel.release(&hung);
    unmount.await.unwrap().unwrap();
    assert_eq!(publish.await.unwrap().unwrap(), MountOutcome::Mounted);
    assert_eq!(mounts_at(&target), 1);
}

async fn a_mount_in_use_is_reported_with_its_users_and_stays() {
    let node = node();
    let target = node.mounted("pod", SICK).await;
    let in_use = std::fs::File::create(target.join("file")).unwrap();
    let error = node.mounter.unmount(&target).await.unwrap_err();
    assert_eq!(error.kind, MountErrorKind::Busy);
    let me = format!("process {} (", std::process::id());
    assert!(error.to_string().contains(&me) && error.to_string().contains("has files of it open"), "{error}");
    drop(in_use);
    std::fs::create_dir(target.join("inner")).unwrap();
    mount(Some("x"), &target.join("inner"), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let error = node.mounter.unmount(&target).await.unwrap_err();
    assert!(error.to_string().contains("a tmpfs mount at"), "{error}");
    umount2(&target.join("inner"), MntFlags::empty()).unwrap();
    assert!(is_mounted(&target));
    node.mounter.unmount(&target).await.unwrap();
    assert!(node.calls_about(&target)[1..].iter().all(|call| call == "plain"));
}

async fn a_mount_in_use_on_dead_servers_is_detached() {
    for restarted in [false, true] {
        let node = node();
        let target = node.mounted("pod", SICK).await;
        let _in_use = std::fs::File::create(target.join("file")).unwrap();
        node.kernel.stop(SICK);
        let mounter = if restarted { node.restarted() } else { node.mounter.clone() };
        mounter.unmount(&target).await.unwrap();
        assert!(!is_mounted(&target) && !target.exists());
        assert_eq!(node.calls_about(&target), ["mount", "plain", "detach"]);
    }
}

/// An MDT in recovery: statfs says EAGAIN at once, since `lazystatfs` is on, while the OSTs take data.
async fn a_failover_is_not_death() {
    let node = node();
    let target = node.mounted("pod", SICK).await;
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    node.kernel.fail(&key("statfs", &target), Some(Errno::EAGAIN));
    assert_eq!(node.mounter.unmount(&target).await.unwrap_err().kind, MountErrorKind::Busy);
    assert_eq!(node.calls_about(&target), ["mount", "plain", "plain"]);
    assert!(is_mounted(&target));
}

async fn servers_that_answer_the_second_time_are_not_dead() {
    let pause = Duration::from_millis(300);
    let node = TestNode::new(with_limits(Limits { recheck_after: pause, ..patient() }));
    let target = node.mounted("pod", SICK).await;
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    node.kernel.listen(SICK.into(), false);
    let healing = tokio::spawn({
        let kernel = node.kernel.clone();
        async move {
            tokio::time::sleep(pause / 3).await;
            kernel.listen(SICK.into(), true);
        }
    });
    assert_eq!(node.mounter.unmount(&target).await.unwrap_err().kind, MountErrorKind::Busy);
    assert!(is_mounted(&target));
    healing.await.unwrap();
}

/// No descriptor for a connection, imports that cannot be read, a source that names no address.
async fn what_cannot_be_determined_is_not_dead() {
    let node = node();
    let target = node.mounted("pod", SICK).await;
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    node.kernel.listen(SICK.into(), false);
    node.kernel.fail("connect", Some(Errno::EMFILE));
    let error = node.mounter.unmount(&target).await.unwrap_err();
    assert_eq!(error.kind, MountErrorKind::Busy);
    assert!(error.to_string().contains("whether its servers answer is unknown"), "{error}");
    assert!(is_mounted(&target));
    assert!(!node.calls_about(&target).contains(&"detach".to_owned()));
}

async fn connected_servers_forbid_a_detach_whatever_the_network_says() {
    let node = node();
    let mounter = with_server_states(&node, &[ServerState::Answering]);
    let target = node.mounted("pod", SICK).await;
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    node.kernel.stop(SICK);
    assert_eq!(mounter.unmount(&target).await.unwrap_err().kind, MountErrorKind::Busy);
    assert_eq!(node.calls_about(&target), ["mount", "plain", "plain"]);
}

/// Lustre keeps a pointer to the root mount of the container that mounted, which force would follow.
async fn a_mount_that_kubelet_knows_is_never_forced_after_a_restart() {
    let node = node();
    let target = node.mounted("pod", SICK).await;
    vol_data(&target, "volume");
    let _in_use = std::fs::File::create(target.join("file")).unwrap();
    node.kernel.stop(SICK);
    node.restarted().unmount(&target).await.unwrap();
    assert_eq!(node.calls_about(&target), ["mount", "plain", "detach"]);
}

async fn a_file_system_of_another_type_is_never_unmounted() {
    let node = node();
    let target = node.target("pod");
    mount(Some("somebody's"), &target, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    std::fs::write(target.join("file"), "text").unwrap();
    let error = node.mounter.unmount(&target).await.unwrap_err();
    assert!(error.to_string().contains("a tmpfs mount of somebody's is there"), "{error}");
    assert!(target.join("file").exists());
    assert!(node.calls_about(&target).is_empty());
    assert_eq!(node.mounter.usage(&target).await.unwrap(), None, "it is no volume");
}

async fn a_file_system_of_another_type_upon_ours_is_reported_and_ours_kept() {
    let node = node();
    let target = node.mounted("pod", SICK).await;
    mount(Some("x"), &target, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let found = node.mounter.mount(&plan(&source(SICK), &target)).await.unwrap();
    assert!(matches!(&found, MountOutcome::Occupied(what) if what.contains("tmpfs")), "{found:?}");
    assert_eq!(node.mounter.unmount(&target).await.unwrap_err().kind, MountErrorKind::Busy);
    umount2(&target, MntFlags::empty()).unwrap();
    node.mounter.unmount(&target).await.unwrap();
}

/// Two processes, or another driver, that knew nothing of each other.
async fn equal_mounts_that_are_stacked_are_as_planned_and_all_unmounted() {
    let node = TestNode::new(KernelSettings { ..with_limits(Limits { unmount: LONG, ..short_unmounts() }) });
    let target = node.target("pod");
    let directory = std::fs::File::open(&target).unwrap();
    for server in [SICK, SICK, crate::world::HEALTHY] {
        let call = MountArgs::new(&source(server), &MountOptions::default(), &target, "lustre").unwrap();
        node.kernel.mount(&call, &directory).unwrap();
        let found = node.mounter.mount(&plan(&source(SICK), &target)).await.unwrap();
        if server == SICK {
            assert_eq!(found, MountOutcome::AlreadyMounted);
        } else {
            assert!(matches!(found, MountOutcome::Occupied(_)), "{found:?}");
        }
    }
    drop(directory);
    assert_eq!(mounts_at(&target), 3);
    node.mounter.unmount(&target).await.unwrap();
    assert!(!is_mounted(&target) && !target.exists());
}
