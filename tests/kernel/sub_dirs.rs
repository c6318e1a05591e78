//! Sub-directories among hostile tenants, their permissions, and private mounts that leave nothing behind.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use azurelustre_csi::adapters::kernel::settings::KernelSettings;
use azurelustre_csi::adapters::kernel::{Dependencies, KernelMounter};
use azurelustre_csi::ports::mounter::{MountErrorKind, Mounter};
use nix::fcntl::{RenameFlags, renameat2};
use nix::mount::{MsFlags, mount};

use crate::world::{SICK, TestNode, below, is_mounted, patient, with_limits};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    no_link_at_any_depth_leads_anywhere,
    a_directory_that_becomes_a_link_meanwhile_leads_nowhere,
    names_as_long_as_they_may_be_are_made,
    permissions_are_as_set_whatever_the_umask,
    a_failure_leaves_nothing_behind,
    leftovers_of_a_crash_are_removed_before_the_first_call,
    the_permit_ends_before_the_private_unmount,
    what_somebody_planted_in_the_working_directory_is_not_used,
    a_working_directory_that_cannot_be_used_is_named_with_its_setting,
];

async fn no_link_at_any_depth_leads_anywhere() {
    let node = TestNode::new(with_limits(patient()));
    let (files, outside) = (node.kernel.files(SICK), node.root.join("outside"));
    std::fs::create_dir(&outside).unwrap();
    std::fs::create_dir_all(files.join("a/b")).unwrap();
    let magic = format!("/proc/{}/root{}", std::process::id(), outside.display());
    for (number, goal) in
        [outside.to_str().unwrap(), "../../outside", "..", "/", &magic, "/proc/self/cwd"].iter().enumerate()
    {
        for depth in ["", "a/", "a/b/"] {
            let link = format!("{depth}link{number}");
            symlink(goal, files.join(&link)).unwrap();
            for path in [link.clone(), format!("{link}/new"), format!("{link}/new/more")] {
                let error = node.mounter.make_sub_dir(&below(SICK, &path)).await.unwrap_err();
                assert_eq!(error.kind, MountErrorKind::Invalid, "{path}: {error}");
            }
        }
    }
    std::fs::write(files.join("file"), "text").unwrap();
    let error = node.mounter.make_sub_dir(&below(SICK, "file/new")).await.unwrap_err();
    assert!(error.kind == MountErrorKind::Invalid && error.hint.is_some(), "{error}");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    node.assert_no_leftovers();
}

/// A tenant swaps a directory and a link as fast as it can.
async fn a_directory_that_becomes_a_link_meanwhile_leads_nowhere() {
    let node = TestNode::new(with_limits(patient()));
    let (files, outside) = (node.kernel.files(SICK), node.root.join("outside"));
    std::fs::create_dir(&outside).unwrap();
    std::fs::create_dir(files.join("swapped")).unwrap();
    symlink(&outside, files.join("link")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let tenant = std::thread::spawn({
        let (stop, files) = (stop.clone(), std::fs::File::open(&files).unwrap());
        move || {
            while !stop.load(Ordering::Relaxed) {
                renameat2(&files, "swapped", &files, "link", RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        }
    });
    let (mut made, mut refused) = (0, 0);
    for number in 0..200 {
        match node.mounter.make_sub_dir(&below(SICK, &format!("swapped/{number}/x"))).await {
            Ok(()) => made += 1,
            Err(error) => {
                assert_eq!(error.kind, MountErrorKind::Invalid, "{error}");
                refused += 1;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    tenant.join().unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(made + refused == 200);
    node.assert_no_leftovers();
}

async fn names_as_long_as_they_may_be_are_made() {
    let node = TestNode::new(with_limits(patient()));
    let path = format!("{}/{}", "x".repeat(255), "größe ".repeat(30).trim_end());
    node.mounter.make_sub_dir(&below(SICK, &path)).await.unwrap();
    assert!(node.kernel.files(SICK).join(path).is_dir());
}

async fn permissions_are_as_set_whatever_the_umask() {
    for (set, path) in [(0o775, "default"), (0o1707, "set")] {
        let node = TestNode::new(KernelSettings { sub_dir_mode: set, ..with_limits(patient()) });
        std::fs::create_dir(node.kernel.files(SICK).join("kept")).unwrap();
        std::fs::set_permissions(node.kernel.files(SICK).join("kept"), PermissionsExt::from_mode(0o700)).unwrap();
        node.mounter.make_sub_dir(&below(SICK, &format!("kept/{path}/below"))).await.unwrap();
        let mode =
            |path: &str| std::fs::metadata(node.kernel.files(SICK).join(path)).unwrap().permissions().mode() & 0o7777;
        let given = format!("kept/{path}");
        assert_eq!((mode("kept"), mode(&given), mode(&format!("{given}/below"))), (0o700, set, set), "{path}");
    }
}

async fn a_failure_leaves_nothing_behind() {
    let node = TestNode::new(with_limits(patient()));
    node.kernel.stop(SICK);
    assert_eq!(node.mounter.make_sub_dir(&below(SICK, "a")).await.unwrap_err().kind, MountErrorKind::Unreachable);
    node.assert_no_leftovers();
}

/// Where the private mount of the node's next process is made.
fn next_place(node: &TestNode) -> std::path::PathBuf {
    node.settings.working_dir.join("azurelustre-csi-root-00000000")
}

/// Leaves a private mount as a crash would.
async fn crash(node: &TestNode) -> std::path::PathBuf {
    node.mounter.make_sub_dir(&below(SICK, "a/b")).await.unwrap();
    let place = next_place(node);
    let mounted = format!("mount 10.0.0.9@tcp:/lustrefs {}", place.display());
    assert!(node.kernel.calls().contains(&mounted), "{:?}", node.kernel.calls());
    node.mounter.mount(&crate::world::plan(&crate::world::source(SICK), &place)).await.unwrap();
    place
}

async fn leftovers_of_a_crash_are_removed_before_the_first_call() {
    for first in ["clean", "mount", "unmount", "usage"] {
        let node = TestNode::new(with_limits(patient()));
        assert_eq!(node.restarted().clean_leftovers().await, 0, "no working directory yet");
        let place = crash(&node).await;
        let _in_use = std::fs::File::create(place.join("file")).unwrap();
        let mine = node.settings.working_dir.join("of-another-process");
        std::fs::create_dir(&mine).unwrap();
        let (restarted, target) = (node.restarted(), node.target("pod"));
        match first {
            "clean" => assert_eq!(restarted.clean_leftovers().await, 1),
            "mount" => _ = restarted.mount(&crate::world::plan(&crate::world::source(SICK), &target)).await.unwrap(),
            "unmount" => restarted.unmount(&target).await.unwrap(),
            _ => assert!(restarted.usage(&target).await.unwrap().is_none()),
        }
        std::fs::remove_dir(&mine).unwrap();
        node.assert_no_leftovers();
        assert!(node.kernel.files(SICK).join("a/b").is_dir(), "files are never deleted");
        // Only once, and never beside a call.
        let place = crash_again(&node).await;
        restarted.usage(&target).await.unwrap();
        assert!(is_mounted(&place), "{first}");
    }
}

/// A private mount that is in use by another process, as it were.
async fn crash_again(node: &TestNode) -> std::path::PathBuf {
    let place = node.settings.working_dir.join("azurelustre-csi-root-99999999");
    node.mounter.mount(&crate::world::plan(&crate::world::source(SICK), &place)).await.unwrap();
    place
}

/// The mount of the root lives for the mkdir alone: the permit of the MGS is free while it is unmounted.
async fn the_permit_ends_before_the_private_unmount() {
    let node = TestNode::new(KernelSettings { mounts_per_mgs: 1, ..with_limits(patient()) });
    let unmount = format!("unmount {}", next_place(&node).display());
    node.kernel.hang(&unmount);
    let call = tokio::spawn({
        let mounter = node.mounter.clone();
        async move { mounter.make_sub_dir(&below(SICK, "a")).await }
    });
    crate::world::until("it unmounts", || node.kernel.hanging(&unmount) == 1).await;
    node.mounted("pod", SICK).await;
    node.kernel.release(&unmount);
    call.await.unwrap().unwrap();
    node.assert_no_leftovers();
}

/// The words of the check at the start, and a code that is repeated.
async fn a_working_directory_that_cannot_be_used_is_named_with_its_setting() {
    let node = TestNode::new(with_limits(patient()));
    std::fs::write(&node.settings.working_dir, "in the way").unwrap();
    let mut settings = node.settings.clone();
    for working_dir in [settings.working_dir.clone(), settings.working_dir.join("below"), "/proc/self/work".into()] {
        settings.working_dir.clone_from(&working_dir);
        let dependencies = Dependencies { syscalls: node.kernel.clone(), ..Dependencies::default() };
        let error =
            KernelMounter::new(settings.clone(), dependencies).make_sub_dir(&below(SICK, "a/b")).await.unwrap_err();
        assert_eq!(error.kind, MountErrorKind::NotReady, "{error}");
        let words = format!("--working-mount-dir: {} cannot be used for private mounts: ", working_dir.display());
        assert!(error.to_string().contains(&words), "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("mount an emptyDir there")));
    }
}

async fn what_somebody_planted_in_the_working_directory_is_not_used() {
    let node = TestNode::new(with_limits(patient()));
    let (place, elsewhere) = (next_place(&node), node.root.join("elsewhere"));
    std::fs::create_dir(&node.settings.working_dir).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    // A process that has cleaned up, and whose first private mount is to come.
    let started = || async {
        let restarted = node.restarted();
        restarted.clean_leftovers().await;
        restarted
    };
    let mounter = started().await;
    symlink(&elsewhere, &place).unwrap();
    assert!(mounter.make_sub_dir(&below(SICK, "a/b")).await.is_err());
    assert!(!is_mounted(&elsewhere));
    std::fs::remove_file(&place).unwrap();
    let mounter = started().await;
    std::fs::create_dir(&place).unwrap();
    // A user namespace may know no other user to give it to.
    if std::os::unix::fs::chown(&place, Some(1), None).is_ok() {
        assert!(mounter.make_sub_dir(&below(SICK, "a/b")).await.is_err(), "a directory of another process");
        assert!(!is_mounted(&place));
    }
    std::fs::remove_dir(&place).ok();
    let mounter = started().await;
    std::fs::create_dir(&place).unwrap();
    mount(Some("x"), &place, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    assert!(mounter.make_sub_dir(&below(SICK, "a/b")).await.is_err());
    assert!(is_mounted(&place), "a mount of another type stays");
}
