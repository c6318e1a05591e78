//! The rule as a table, and a real mount table that changes.

use std::time::{Duration, Instant};

use super::*;

const KUBELET: &str = "/var/lib/kubelet";
const TARGET: &str = "/var/lib/kubelet/pods/uid/volumes/kubernetes.io~csi/pvc/mount";

/// Mounts as `(id, parent, mount point, tags)`.
type Mounts<'a> = &'a [(u64, u64, &'a str, &'a str)];

fn text(mounts: Mounts<'_>) -> String {
    let line = |(id, parent, point, tags): &(u64, u64, &str, &str)| {
        let tags = if tags.is_empty() { String::new() } else { format!("{tags} ") };
        format!("{id} {parent} 8:1 / {point} rw {tags}- ext4 /dev/sda1 rw\n")
    };
    mounts.iter().map(line).collect::<Vec<_>>().concat()
}

fn fault(mounts: Mounts<'_>, target: &str) -> Option<String> {
    let parent = Path::new(target).parent().unwrap();
    unsharing(&Mountinfo::new(text(mounts).into_bytes()), KUBELET.as_ref(), parent)
        .map(|point| point.display().to_string())
}

#[test]
fn the_deepest_mount_point_below_kubelets_directory_must_be_shared() {
    let root = (1, 0, "/", "");
    for (mounts, expected) in [
        // No mount point at or below kubelet's directory: outside a container, and in a private namespace of a test.
        (vec![root], None),
        (vec![(1, 0, "/", "shared:1")], None),
        (vec![root, (2, 1, "/var/lib", "")], None),
        (vec![root, (2, 1, "/var/lib/kubelet-other", "")], None),
        // Bidirectional, also on a node that is a container.
        (vec![root, (2, 1, KUBELET, "shared:5")], None),
        (vec![root, (2, 1, KUBELET, "shared:5 master:1")], None),
        // HostToContainer, and none.
        (vec![root, (2, 1, KUBELET, "master:1")], Some(KUBELET)),
        (vec![root, (2, 1, KUBELET, "master:1 propagate_from:2")], Some(KUBELET)),
        (vec![root, (2, 1, KUBELET, "")], Some(KUBELET)),
        (vec![root, (2, 1, KUBELET, "unbindable")], Some(KUBELET)),
        // The deepest one counts, whatever is above it, beside it or at the target.
        (vec![root, (2, 1, KUBELET, ""), (3, 2, "/var/lib/kubelet/pods", "shared:6")], None),
        (
            vec![root, (2, 1, KUBELET, "shared:5"), (3, 2, "/var/lib/kubelet/pods", "master:6")],
            Some("/var/lib/kubelet/pods"),
        ),
        (vec![root, (2, 1, KUBELET, "shared:5"), (3, 2, "/var/lib/kubelet/pods/other", "")], None),
        (vec![root, (2, 1, KUBELET, "shared:5"), (3, 2, TARGET, "")], None),
        // Of two at one place the upper one; one that is hidden does not count.
        (vec![root, (2, 1, KUBELET, "shared:5"), (3, 2, KUBELET, "")], Some(KUBELET)),
        (vec![root, (2, 1, KUBELET, ""), (3, 2, KUBELET, "shared:5")], None),
        (vec![root, (2, 1, KUBELET, ""), (3, 1, "/var/lib", "shared:5")], None),
    ] {
        assert_eq!(fault(&mounts, TARGET).as_deref(), expected, "{mounts:?}");
    }
    let outside = [root, (2, 1, KUBELET, "")];
    assert_eq!(fault(&outside, "/mnt/elsewhere/mount"), None);
}

#[test]
fn a_fault_says_what_to_set_and_where() {
    let fault = PropagationFault { mount_point: KUBELET.into(), kubelet_dir: "/data/kubelet".into() };
    let NodeFault { message, hint } = fault.into();
    assert!(message.starts_with("/var/lib/kubelet is not a shared mount: kubelet"), "{message}");
    assert_eq!(hint, "set `mountPropagation: Bidirectional` for /data/kubelet in the driver's container");
}

/// A tree with this mount table, and kubelet's directory in it.
fn state(tree: &Path, mounts: Mounts<'_>) -> Propagation {
    std::fs::create_dir_all(tree.join("proc/self")).unwrap();
    std::fs::write(tree.join("proc/self/mountinfo"), text(mounts)).unwrap();
    Propagation::new(KernelFiles { root: tree.to_owned() }, KUBELET.into())
}

#[test]
fn a_sound_table_is_not_kept_and_a_changed_one_is_read_again() {
    let tree = tempfile::tempdir().unwrap();
    let sound = [(1, 0, "/", "shared:1"), (2, 1, KUBELET, "shared:5"), (3, 2, TARGET, "shared:6")];
    let propagation = state(tree.path(), &sound);
    assert!(propagation.unsound().is_none());
    assert_eq!((propagation.fault_for(TARGET.as_ref()), propagation.standing_fault()), (None, None));
    drop(state(tree.path(), &[(1, 0, "/", "shared:1"), (2, 1, KUBELET, "master:5")]));
    propagation.refresh();
    let fault = PropagationFault { mount_point: KUBELET.into(), kubelet_dir: KUBELET.into() };
    assert_eq!(propagation.fault_for(TARGET.as_ref()), Some(fault.clone()));
    assert_eq!(propagation.standing_fault(), Some(fault.clone()));
    std::fs::remove_file(tree.path().join("proc/self/mountinfo")).unwrap();
    propagation.refresh();
    assert_eq!(propagation.standing_fault(), Some(fault), "a table that cannot be read changes nothing");
    drop(state(tree.path(), &sound));
    propagation.refresh();
    assert_eq!(propagation.standing_fault(), None);
}

#[test]
fn one_pod_whose_directory_is_not_shared_is_no_standing_fault() {
    let tree = tempfile::tempdir().unwrap();
    let pod = "/var/lib/kubelet/pods/uid";
    let propagation = state(tree.path(), &[(1, 0, "/", ""), (2, 1, KUBELET, "shared:5"), (3, 2, pod, "")]);
    assert_eq!(propagation.standing_fault(), None);
    assert_eq!(propagation.fault_for(TARGET.as_ref()).unwrap().mount_point, Path::new(pod));
    assert_eq!(propagation.fault_for("/var/lib/kubelet/pods/other/mount".as_ref()), None);
}

/// Watching ends when its handle is dropped, and holds the state no longer.
#[test]
fn the_thread_ends_with_its_handle() {
    let state = Arc::new(Propagation::new(KernelFiles::default(), "/nowhere".into()));
    let watch = Watch::start(Arc::clone(&state)).unwrap();
    assert_eq!(Arc::strong_count(&state), 2);
    drop(watch);
    let started = Instant::now();
    while Arc::strong_count(&state) > 1 {
        assert!(started.elapsed() < Duration::from_secs(20), "the thread has not ended");
        std::thread::yield_now();
    }
}
