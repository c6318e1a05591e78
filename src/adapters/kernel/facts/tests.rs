//! Trees of files in the shape of a real client's, and looks at them through the whole of it.

use std::path::Path;
use std::time::Instant;

use super::*;
use crate::ports::mounter::Readiness;

/// Where kubelet has a volume mounted.
pub(super) const POINT: &str = "/var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~csi/pvc-1/mount";

/// A directory with `sys` and `proc` in it.
#[derive(Debug)]
pub(super) struct Tree(tempfile::TempDir);

impl Default for Tree {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Tree {
    /// Lustre 2.17.57 with one mount of a file system of one MDT and one OST.
    pub(super) fn client() -> Self {
        let tree = Self::default();
        tree.write("/sys/module/lustre/version", "2.17.57\n");
        tree.write("/sys/module/lnet/version", "0.7.0\n");
        tree.write("/sys/fs/lustre/version", "2.17.57\n");
        tree.write("/sys/fs/lustre/health_check", "healthy\n");
        tree.write("/proc/filesystems", "nodev\tsysfs\nnodev\tlustre\n");
        tree.write(lnet::NIS, &nis("up"));
        for device in ["mgc/MGC10.99.0.1@tcp", "mdc/lustrefs-MDT0000-mdc-ffff01", "osc/lustrefs-OST0000-osc-ffff01"] {
            tree.import(device, "FULL");
        }
        tree
    }

    /// The same with a mountinfo and kubelet's record.
    pub(super) fn mounted() -> Self {
        let tree = Self::client();
        let options = "rw,flock,checksum,encrypt,lazystatfs,lruresize,nouser_fid2path,nouser_xattr,verbose";
        let lines = format!(
            "31 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
             38 31 1296:295330 / {POINT} rw - lustre 10.99.0.1@tcp:/lustrefs {options}\n\
             39 31 1296:295330 / /mnt/by-hand ro - lustre 10.99.0.1@tcp0:/lustrefs/sub/dir {options}\n"
        );
        tree.write("/proc/self/mountinfo", &lines);
        let record = Path::new(POINT).with_file_name("vol_data.json");
        tree.write(record, r#"{"specVolID":"pvc-1","volumeHandle":"pvc-1#lustrefs#10.99.0.1##t#team"}"#);
        tree
    }

    pub(super) fn paths(&self) -> FactPaths {
        FactPaths { root: self.0.path().to_owned() }
    }

    pub(super) fn facts(&self) -> NodeFacts {
        NodeFacts::new(self.paths(), Duration::from_secs(20))
    }

    pub(super) fn write(&self, path: impl AsRef<Path>, text: &str) {
        let path = self.paths().at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn import(&self, device: &str, state: &str) {
        self.write(format!("/sys/kernel/debug/lustre/{device}/import"), &import(state, "10.99.0.1@tcp"));
    }
}

/// `lnet/nis` of a node with one interface.
pub(super) fn nis(status: &str) -> String {
    format!(
        "nid                      status alive refs peer  rtr   max    tx   min\n\
         0@lo                         up     0    2    0    0     0     0     0\n\
         10.99.0.2@tcp              {status:>4}    -1    1    8    0   256   256   253\n"
    )
}

/// An import file.
pub(super) fn import(state: &str, nid: &str) -> String {
    format!(
        "import:\n    name: lustrefs-MDT0000-mdc-ffff01\n    target: lustrefs-MDT0000_UUID\n    state: {state}\n    \
         connect_flags: [ version, acl, inode_bit_locks, getattr_by_fid ]\n    connect_data:\n       flags: 0xa0425\n       \
         instance: 5\n       target_version: 2.17.57.0\n    import_flags: [ replayable, pingable, connect_tried ]\n    \
         connection:\n       failover_nids: [ {nid} ]\n       current_connection: {nid}\n       connection_attempts: 1\n       \
         generation: 1\n       in-progress_invalidations: 0\n       idle: 12 sec\n    rpcs:\n       inflight: 0\n"
    )
}

fn source() -> MountSource {
    MountSource::parse("10.99.0.1@tcp:/lustrefs").unwrap()
}

#[tokio::test]
async fn a_node_is_judged_by_its_files() {
    let tree = Tree::client();
    assert_eq!(tree.facts().assess().await, Assessment::default());
    tree.write(lnet::NIS, &nis("down"));
    let Readiness::NotReady(missing) = tree.facts().assess().await.readiness() else { panic!("LNet is down") };
    assert!(missing[0].contains("10.99.0.2@tcp is down"), "{missing:?}");
    std::fs::remove_file(tree.paths().at(lnet::NIS)).unwrap();
    let assessment = tree.facts().assess().await;
    assert_eq!((assessment.readiness(), assessment.notes.len()), (Readiness::Ready, 1));
    let Readiness::NotReady(missing) = Tree::default().facts().assess().await.readiness() else { panic!("no files") };
    assert_eq!(missing.len(), 1);
}

#[tokio::test]
async fn the_servers_of_a_mount_are_judged_by_its_connections() {
    let tree = Tree::client();
    assert_eq!(tree.facts().servers(&source(), &[source()]).await, ServerState::Answering);
    tree.import("mdc/lustrefs-MDT0000-mdc-ffff01", "DISCONN");
    tree.import("osc/otherfs-OST0000-osc-ffff02", "DISCONN");
    let silent = ServerState::Silent { silent: vec!["MDT0000 is DISCONN".to_owned()], answering: 1 };
    assert_eq!(tree.facts().servers(&source(), &[source()]).await, silent);
    let other = MountSource::parse("10.0.0.9@tcp:/none").unwrap();
    assert!(matches!(tree.facts().servers(&other, &[]).await, ServerState::Unknown(_)));
}

/// A pipe that nobody writes to stands for a connection whose lock is held; its readers end with the process.
#[tokio::test]
async fn a_connection_that_blocks_is_unknown_and_takes_nobody_with_it() {
    let tree = Tree::client();
    let blocked = tree.paths().at("/sys/kernel/debug/lustre/osc/lustrefs-OST0000-osc-ffff01/import");
    std::fs::remove_file(&blocked).unwrap();
    nix::unistd::mkfifo(&blocked, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let facts = NodeFacts::new(tree.paths(), Duration::from_secs(1));
    let started = Instant::now();
    let state = facts.servers(&source(), &[source()]).await;
    assert_eq!(state, ServerState::Unknown("OST0000: the kernel did not answer within 1s".to_owned()));
    tree.import("mdc/lustrefs-MDT0000-mdc-ffff01", "DISCONN");
    let state = facts.servers(&source(), &[source()]).await;
    assert_eq!(state, ServerState::Silent { silent: vec!["MDT0000 is DISCONN".to_owned()], answering: 0 });
    assert!(facts.assess().await.missing.is_empty(), "a blocked connection does not hide the module");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_look_that_never_ends_knows_nothing_and_says_so() {
    let tree = Tree::client();
    std::fs::remove_file(tree.paths().at("/sys/fs/lustre/version")).unwrap();
    let blocked = tree.paths().at("/sys/fs/lustre/version");
    nix::unistd::mkfifo(&blocked, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let facts = NodeFacts::new(tree.paths(), Duration::from_millis(50));
    let missing = facts.assess().await.missing;
    assert!(missing[0].contains("did not answer within 50ms"), "{missing:?}");
}
