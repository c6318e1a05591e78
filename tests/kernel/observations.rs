//! What is observed at a target: corrupt or only silent, host names, options of the client that is loaded, odd paths.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use azurelustre_csi::adapters::kernel::settings::{KernelSettings, Limits};
use azurelustre_csi::adapters::kernel::syscalls::SysError;
use azurelustre_csi::adapters::kernel::{Dependencies, KernelMounter};
use azurelustre_csi::domain::client_tuning::{ClientTuning, Tunable};
use azurelustre_csi::domain::mount_options::MountOptions;
use azurelustre_csi::domain::mount_source::MountSource;
use azurelustre_csi::ports::inbound::Publishing;
use azurelustre_csi::ports::mounter::{MountErrorKind, MountOutcome, Mounter, Readiness};
use nix::errno::Errno;

use crate::mount_records::publish;
use crate::world::{
    FakeClient, HEALTHY, SICK, TestNode, below, is_mounted, mounts_at, patient, plan, request, source, vol_data,
    with_limits,
};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    an_error_that_passes_is_not_corrupt,
    an_error_that_stays_is_corrupt_and_silence_is_not,
    a_host_name_and_its_address_are_one_server,
    a_name_that_cannot_be_resolved_is_no_difference,
    a_client_of_2_17_is_understood,
    a_comma_in_a_sub_directory_is_no_matter_to_older_clients,
    a_file_system_that_the_mgs_does_not_have_is_lustrefs,
    lustrefs_is_not_tried_while_the_mgs_does_not_answer,
    errors_without_a_name_in_libc_are_named,
    unique_fsid_is_left_out_where_the_client_refuses_it,
    options_are_those_of_the_client_that_is_loaded,
    the_devices_of_a_mount_are_tuned_and_a_refusal_fails_no_mount,
    labels_are_handed_on_only_where_selinux_is,
    a_host_name_that_cannot_be_resolved_is_reported,
    paths_of_any_bytes_are_mounted_and_unmounted,
    a_target_below_a_link_is_known,
    readiness_is_that_of_the_lustre_client,
];

async fn an_error_that_passes_is_not_corrupt() {
    let pause = Duration::from_millis(200);
    let node = TestNode::new(with_limits(Limits { recheck_after: pause, ..patient() }));
    let target = node.mounted("pod", SICK).await;
    let statfs = format!("statfs {}", target.display());
    node.kernel.fail(&statfs, Some(Errno::ENOTCONN));
    let healing = tokio::spawn({
        let (kernel, statfs) = (node.kernel.clone(), statfs.clone());
        async move {
            tokio::time::sleep(pause / 2).await;
            kernel.fail(&statfs, None);
        }
    });
    let found = node.mounter.mount(&plan(&source(SICK), &target)).await.unwrap();
    assert_eq!(found, MountOutcome::AlreadyMounted);
    assert_eq!(node.calls_about(&target), ["mount"]);
    healing.await.unwrap();
}

async fn an_error_that_stays_is_corrupt_and_silence_is_not() {
    let node = TestNode::new(with_limits(patient()));
    let target = node.mounted("pod", SICK).await;
    let statfs = format!("statfs {}", target.display());
    let plan = plan(&source(SICK), &target);
    for errno in [Errno::EAGAIN, Errno::ETIMEDOUT] {
        node.kernel.fail(&statfs, Some(errno));
        assert_eq!(node.mounter.mount(&plan).await.unwrap(), MountOutcome::AlreadyMounted, "{errno}");
        assert_eq!(node.mounter.usage(&target).await.unwrap_err().kind, MountErrorKind::Unreachable);
    }
    for errno in [Errno::ENOTCONN, Errno::ESTALE, Errno::EIO, Errno::ESHUTDOWN] {
        node.kernel.fail(&statfs, Some(errno));
        let before = node.calls_about(&target).len();
        assert_eq!(node.mounter.mount(&plan).await.unwrap(), MountOutcome::Mounted, "{errno}");
        assert_eq!(node.calls_about(&target)[before..], ["plain", "mount"], "{errno}");
        assert_eq!(mounts_at(&target), 1);
    }
}

async fn a_host_name_and_its_address_are_one_server() {
    let node = TestNode::new(with_limits(patient()));
    let (sick, healthy) = (SICK.into(), HEALTHY.into());
    node.kernel.host("mgs.example", &["fd00::9".parse().unwrap(), sick]);
    node.kernel.host("other.example", &[healthy]);
    for (number, (text, mounted)) in [
        ("mgs.example:/lustrefs", "10.0.0.9@tcp:/lustrefs"),
        ("nowhere.example:MGS.example@tcp0:/lustrefs", "10.0.0.7@tcp:10.0.0.9@tcp:/lustrefs"),
    ]
    .into_iter()
    .enumerate()
    {
        node.kernel.host("nowhere.example", &["10.0.0.7".parse().unwrap()]);
        let plan = plan(&MountSource::parse(text).unwrap(), &node.target(&number.to_string()));
        node.mounter.mount(&plan).await.unwrap();
        let call = format!("mount {mounted} {}", plan.target.display());
        assert!(node.kernel.calls().contains(&call), "{call}");
        for mounter in [&node.mounter, &node.restarted()] {
            assert_eq!(mounter.mount(&plan).await.unwrap(), MountOutcome::AlreadyMounted, "{text}");
        }
        // Another name, or the same with other addresses, is another server.
        let mut other = plan.clone();
        other.source = MountSource::parse("other.example:/lustrefs").unwrap();
        let found = node.mounter.mount(&other).await.unwrap();
        assert!(matches!(found, MountOutcome::Occupied(_)), "{found:?}");
    }
    let moved = plan(&MountSource::parse("mgs.example:/lustrefs").unwrap(), &node.target("0"));
    node.kernel.host("mgs.example", &[healthy]);
    let found = node.mounter.mount(&moved).await.unwrap();
    assert_eq!(found, MountOutcome::AlreadyMounted, "the process that mounted it knows");
    let found = node.restarted().mount(&moved).await.unwrap();
    assert!(matches!(found, MountOutcome::Occupied(_)), "{found:?}");
}

/// The driver is restarted while DNS is down: a failed lookup is never a difference.
async fn a_name_that_cannot_be_resolved_is_no_difference() {
    let node = TestNode::new(with_limits(patient()));
    node.kernel.host("mgs.example", &[SICK.into()]);
    let plan = plan(&MountSource::parse("mgs.example:/lustrefs").unwrap(), &node.target("pod"));
    node.mounter.mount(&plan).await.unwrap();
    node.kernel.host_is_unknown("mgs.example");
    assert_eq!(node.mounter.mount(&plan).await.unwrap(), MountOutcome::AlreadyMounted, "this process made it");
    let restarted = node.restarted();
    let error = restarted.mount(&plan).await.unwrap_err();
    assert_eq!(error.kind, MountErrorKind::Unknown, "{error}");
    vol_data(&plan.target, "another");
    assert_eq!(restarted.mount(&plan).await.unwrap_err().kind, MountErrorKind::Unknown);
    vol_data(&plan.target, "volume");
    assert_eq!(restarted.mount(&plan).await.unwrap(), MountOutcome::AlreadyMounted, "kubelet knows it");
    let elsewhere = crate::world::plan(&MountSource::parse("mgs.example:/lustrefs/team").unwrap(), &plan.target);
    let found = restarted.mount(&elsewhere).await.unwrap();
    assert!(matches!(found, MountOutcome::Occupied(_)), "another directory is one: {found:?}");
    restarted.unmount(&plan.target).await.unwrap();
}

/// Lustre 2.17 shows a source as it was given, and ends it at a comma.
async fn a_client_of_2_17_is_understood() {
    let node = TestNode::new(with_limits(patient()));
    node.kernel.become_2_17();
    for (number, dir) in ["team a", "a  b ", "x\\040y", "plain"].iter().enumerate() {
        std::fs::create_dir_all(node.kernel.files(SICK).join(dir)).unwrap();
        let plan = plan(&below(SICK, dir), &node.target(&number.to_string()));
        assert_eq!(node.mounter.mount(&plan).await.unwrap(), MountOutcome::Mounted, "{dir}");
        for mounter in [&node.mounter, &node.restarted()] {
            assert_eq!(mounter.mount(&plan).await.unwrap(), MountOutcome::AlreadyMounted, "{dir}");
        }
    }
    for dir in ["team", "team,b", "team,flock"] {
        std::fs::create_dir_all(node.kernel.files(SICK).join(dir)).unwrap();
    }
    for dir in ["team,b", "team,flock"] {
        let plan = plan(&below(SICK, dir), &node.target("comma"));
        let error = node.mounter.mount(&plan).await.unwrap_err();
        assert!(error.kind == MountErrorKind::Invalid && error.to_string().contains("comma"), "{dir}: {error}");
        assert!(!is_mounted(&plan.target), "{dir}");
    }
}

async fn a_comma_in_a_sub_directory_is_no_matter_to_older_clients() {
    let node = TestNode::new(with_limits(patient()));
    std::fs::create_dir_all(node.kernel.files(SICK).join("team,b")).unwrap();
    let plan = plan(&below(SICK, "team,b"), &node.target("comma"));
    assert_eq!(node.mounter.mount(&plan).await.unwrap(), MountOutcome::Mounted);
    assert_eq!(node.restarted().mount(&plan).await.unwrap(), MountOutcome::AlreadyMounted);
}

/// The Go driver mounts `lustrefs` whatever `fs-name` says, so PVs in the field hold anything there.
async fn a_file_system_that_the_mgs_does_not_have_is_lustrefs() {
    let node = TestNode::new(with_limits(patient()));
    let named = |text: &str, pod: &str| plan(&MountSource::parse(text).unwrap(), &node.target(pod));
    let whole = named("10.0.0.9@tcp:/amlfs1", "whole");
    assert_eq!(node.mounter.mount(&whole).await.unwrap(), MountOutcome::Mounted);
    std::fs::create_dir(node.kernel.files(SICK).join("team")).unwrap();
    let part = named("10.0.0.9@tcp:/amlfs1/team", "part");
    assert_eq!(node.mounter.mount(&part).await.unwrap(), MountOutcome::Mounted);
    for plan in [&whole, &part] {
        for mounter in [&node.mounter, &node.restarted()] {
            assert_eq!(mounter.mount(plan).await.unwrap(), MountOutcome::AlreadyMounted);
            assert!(mounter.usage(&plan.target).await.unwrap().is_some());
        }
    }
    let missing = named("10.0.0.9@tcp:/amlfs1/new", "missing");
    assert_eq!(node.mounter.mount(&missing).await.unwrap_err().kind, MountErrorKind::NotFound);
    node.mounter.make_sub_dir(&missing.source).await.unwrap();
    assert_eq!(node.mounter.mount(&missing).await.unwrap(), MountOutcome::Mounted);
    assert!(node.kernel.files(SICK).join("new").is_dir());
    node.assert_no_leftovers();
}

async fn lustrefs_is_not_tried_while_the_mgs_does_not_answer() {
    let node = TestNode::new(with_limits(patient()));
    node.kernel.stop(SICK);
    let plan = plan(&MountSource::parse("10.0.0.9@tcp:/amlfs1/team").unwrap(), &node.target("pod"));
    assert_eq!(node.mounter.mount(&plan).await.unwrap_err().kind, MountErrorKind::Unreachable);
    assert!(!node.kernel.calls().iter().any(|call| call.contains("/lustrefs")), "{:?}", node.kernel.calls());
}

/// Only Microsoft's builds know it, and no version says which those are.
async fn unique_fsid_is_left_out_where_the_client_refuses_it() {
    for (is_microsofts, expected) in
        [(true, vec!["flock,unique_fsid"; 2]), (false, vec!["flock,unique_fsid", "flock", "flock"])]
    {
        let node = TestNode::new(with_limits(patient()));
        node.kernel.become_special(is_microsofts, false);
        for pod in ["1", "2"] {
            let mut plan = plan(&source(SICK), &node.target(pod));
            plan.options = MountOptions::parse(&["flock,unique_fsid".to_owned()]).unwrap();
            assert_eq!(node.mounter.mount(&plan).await.unwrap(), MountOutcome::Mounted);
            assert_eq!(node.mounter.mount(&plan).await.unwrap(), MountOutcome::AlreadyMounted);
        }
        assert_eq!(node.kernel.options(), expected, "the process remembers");
    }
}

async fn options_are_those_of_the_client_that_is_loaded() {
    let node = TestNode::new(with_limits(patient()));
    let asked = |pod: &str, options: &str| {
        let mut plan = plan(&source(SICK), &node.target(pod));
        plan.options = MountOptions::parse(&[options.to_owned()]).unwrap();
        plan
    };
    node.kernel.become_version("2.15.8_39_g2d32b59");
    let old = asked("old", "flock,statfs_project");
    let error = node.mounter.mount(&old).await.unwrap_err();
    assert_eq!(error.kind, MountErrorKind::Invalid);
    let text = error.to_string();
    assert!(
        text.contains("statfs_project needs a Lustre client of 2.17.0 or newer, and this node has 2.15.8"),
        "{text}"
    );
    assert!(node.kernel.options().is_empty(), "the kernel is not asked");
    assert_eq!(node.mounter.mount(&asked("plain", "flock,nosync_on_close")).await.unwrap(), MountOutcome::Mounted);
    node.kernel.become_version("2.17.0_24_gf517bc4");
    let new = asked("new", "flock,statfs_project");
    assert_eq!(node.mounter.mount(&new).await.unwrap(), MountOutcome::Mounted);
    assert_eq!(node.kernel.options(), ["flock", "flock,statfs_project"]);
}

async fn the_devices_of_a_mount_are_tuned_and_a_refusal_fails_no_mount() {
    let tuning = ClientTuning::new(Tunable::ALL.into_iter().zip([32, 512, 64, 50])).unwrap();
    let node = TestNode::new(KernelSettings { tuning, ..with_limits(patient()) });
    let client = node.root.join("client");
    let values = || {
        let mut values: Vec<String> = Vec::new();
        for device_type in ["mdc", "osc"] {
            for device in std::fs::read_dir(client.join("sys/fs/lustre").join(device_type)).into_iter().flatten() {
                for file in ["max_rpcs_in_flight", "max_mod_rpcs_in_flight", "max_dirty_mb"] {
                    let text = std::fs::read_to_string(device.as_ref().unwrap().path().join(file)).unwrap_or_default();
                    values.extend(text.split_whitespace().map(str::to_owned));
                }
            }
        }
        values
    };
    // A client that shows none of them.
    assert_eq!(node.mounter.mount(&plan(&source(SICK), &node.target("1"))).await.unwrap(), MountOutcome::Mounted);
    assert!(values().is_empty());
    node.kernel.show_devices_below(&client);
    assert_eq!(node.mounter.mount(&plan(&source(SICK), &node.target("2"))).await.unwrap(), MountOutcome::Mounted);
    assert_eq!(values(), ["64", "50", "32", "512"]);
    // What another process sets on a mount that exists stays.
    let osc = std::fs::read_dir(client.join("sys/fs/lustre/osc")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(osc.join("max_dirty_mb"), "100\n").unwrap();
    assert_eq!(node.mounter.mount(&plan(&source(HEALTHY), &node.target("3"))).await.unwrap(), MountOutcome::Mounted);
    let mut all = values();
    all.sort();
    assert_eq!(all, ["100", "32", "32", "50", "50", "512", "64", "64"]);
}

async fn labels_are_handed_on_only_where_selinux_is() {
    for (has_selinux, expected) in [(true, "context=a:b:c:s0"), (false, "")] {
        let node = TestNode::new(with_limits(patient()));
        node.kernel.become_special(false, has_selinux);
        let mut plan = plan(&source(SICK), &node.target("pod"));
        plan.options = MountOptions::parse(&["context=a:b:c:s0".to_owned()]).unwrap();
        assert_eq!(node.mounter.mount(&plan).await.unwrap(), MountOutcome::Mounted);
        assert_eq!(node.mounter.mount(&plan).await.unwrap(), MountOutcome::AlreadyMounted);
        assert_eq!(node.kernel.options(), [expected]);
    }
}

/// Numbers that the kernel keeps to itself.
async fn errors_without_a_name_in_libc_are_named() {
    let node = TestNode::new(with_limits(patient()));
    let target = node.mounted("mounted", SICK).await;
    for (number, name, kind) in
        [(524, "ENOTSUPP", MountErrorKind::Failed), (512, "ERESTARTSYS", MountErrorKind::Unknown)]
    {
        let plan = plan(&source(SICK), &node.target("pod"));
        let words = [format!("mount {}", plan.target.display()), format!("statfs {}", target.display())];
        for word in &words {
            node.kernel.fail_with(word, Some(SysError(number)));
        }
        for error in [node.mounter.mount(&plan).await.unwrap_err(), node.mounter.usage(&target).await.unwrap_err()] {
            let cause = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
            assert_eq!(error.kind, kind, "{error}");
            assert!(cause.contains(name) && cause.contains(&number.to_string()), "{error}: {cause}");
        }
    }
}

async fn a_host_name_that_cannot_be_resolved_is_reported() {
    let node = TestNode::new(with_limits(patient()));
    let plan = plan(&MountSource::parse("absent.example:/lustrefs").unwrap(), &node.target("pod"));
    let error = node.mounter.mount(&plan).await.unwrap_err();
    assert!(error.kind == MountErrorKind::Unreachable && error.to_string().contains("absent.example"), "{error}");
    assert!(node.kernel.calls().is_empty());
}

async fn paths_of_any_bytes_are_mounted_and_unmounted() {
    let node = TestNode::new(with_limits(patient()));
    for name in [&b"line\nbreak"[..], b"blank and\ttab", b"back\\040slash", b"not \xff\xfe UTF-8", &[b'x'; 255]] {
        let target = node.root.join(OsStr::from_bytes(name));
        let plan = plan(&source(SICK), &target);
        node.mounter.mount(&plan).await.unwrap();
        assert_eq!(node.mounter.mount(&plan).await.unwrap(), MountOutcome::AlreadyMounted);
        assert_eq!(node.mounter.published(&plan).await.unwrap(), [target.as_path()]);
        node.mounter.unmount(&target).await.unwrap();
        assert!(!target.exists());
    }
}

/// kubelet's directory may be reached through a link.
async fn a_target_below_a_link_is_known() {
    let node = TestNode::new(with_limits(patient()));
    let (real, alias) = (node.root.join("real"), node.root.join("alias"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &alias).unwrap();
    let driver = publish(node.mounter.clone());
    for _ in 0..2 {
        let request = request(&alias, "pod", SICK);
        let mut other = plan(&source(SICK), &node.target("other"));
        other.volume_id = "pod".into();
        driver.publish(request.clone(), None).await.unwrap();
        assert_eq!(node.mounter.published(&other).await.unwrap(), [request.target.as_path()]);
        driver.publish(request.clone(), None).await.unwrap();
        driver.unpublish("pod", &request.target, None).await.unwrap();
        assert!(!request.target.exists());
    }
    assert!(real.join("pods/pod").is_dir());
}

async fn readiness_is_that_of_the_lustre_client() {
    let missing = Readiness::NotReady(vec!["the module lustre is not loaded".into()]);
    let client = FakeClient::new(missing.clone(), &[]);
    let mounter = KernelMounter::new(with_limits(patient()), Dependencies { client, ..Dependencies::default() });
    assert_eq!(mounter.readiness().await, missing);
}
