//! Trees of files in the shape of a real client's, read through the whole module.

use std::path::Path;
use std::time::Duration;

use super::imports::ImportState;
use super::readiness::{Findings, NodeState};
use super::servers::ServerState;
use super::*;
use crate::ports::mounter::Readiness;

/// Where kubelet has a volume mounted.
pub(in crate::adapters::kernel) const POINT: &str = "/var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~csi/pvc-1/mount";

/// Longer than any read of a test takes.
const LONG: Duration = Duration::from_secs(20);

/// A directory with `sys` and `proc` in it.
#[derive(Debug)]
pub(in crate::adapters::kernel) struct Tree(tempfile::TempDir);

impl Default for Tree {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Tree {
    /// Lustre 2.17.57 with one mount of a file system of one MDT and one OST.
    pub(in crate::adapters::kernel) fn client() -> Self {
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
    pub(in crate::adapters::kernel) fn mounted() -> Self {
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

    pub(in crate::adapters::kernel) fn files(&self) -> KernelFiles {
        KernelFiles { root: self.0.path().to_owned() }
    }

    pub(in crate::adapters::kernel) fn write(&self, path: impl AsRef<Path>, text: &str) {
        let path = self.files().path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(in crate::adapters::kernel) fn import(&self, device: &str, state: &str) {
        self.write(format!("/sys/kernel/debug/lustre/{device}/import"), &import(state, "10.99.0.1@tcp"));
    }
}

/// `lnet/nis` of a node with one interface.
pub(in crate::adapters::kernel) fn nis(status: &str) -> String {
    format!(
        "nid                      status alive refs peer  rtr   max    tx   min\n\
         0@lo                         up     0    2    0    0     0     0     0\n\
         10.99.0.2@tcp              {status:>4}    -1    1    8    0   256   256   253\n"
    )
}

/// An import file.
pub(in crate::adapters::kernel) fn import(state: &str, nid: &str) -> String {
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

fn servers(tree: &Tree, limit: Duration, source: &MountSource) -> ServerState {
    servers::read(&BlockingCalls::new(limit), &tree.files(), source, std::slice::from_ref(source))
}

#[test]
fn a_node_is_assessed_by_its_files() {
    let tree = Tree::client();
    let read = |tree: &Tree| NodeState::read(&BlockingCalls::new(LONG), &tree.files());
    assert_eq!(read(&tree).assess(), Findings::default());
    tree.write(lnet::NIS, &nis("down"));
    let Readiness::NotReady(missing) = read(&tree).assess().readiness() else { panic!("LNet is down") };
    assert!(missing[0].contains("10.99.0.2@tcp is down"), "{missing:?}");
    std::fs::remove_file(tree.files().path(lnet::NIS)).unwrap();
    let findings = read(&tree).assess();
    assert_eq!((findings.readiness(), findings.notes.len()), (Readiness::Ready, 1));
    let empty = read(&Tree::default()).assess();
    assert_eq!(empty.reasons.len(), 1);
}

#[test]
fn the_state_of_servers_follows_from_the_imports_of_a_mount() {
    let tree = Tree::client();
    assert_eq!(servers(&tree, LONG, &source()), ServerState::Answering);
    tree.import("mdc/lustrefs-MDT0000-mdc-ffff01", "DISCONN");
    tree.import("osc/otherfs-OST0000-osc-ffff02", "DISCONN");
    assert_eq!(servers(&tree, LONG, &source()), ServerState::Answering);
    tree.import("osc/lustrefs-OST0000-osc-ffff01", "CONNECTING");
    assert_eq!(servers(&tree, LONG, &source()), ServerState::Unknown, "the MGS answers");
    tree.import("mgc/MGC10.99.0.1@tcp", "DISCONN");
    assert_eq!(servers(&tree, LONG, &source()), ServerState::Dead);
    let other = MountSource::parse("10.0.0.9@tcp:/none").unwrap();
    assert_eq!(servers(&tree, LONG, &other), ServerState::Unknown);
}

/// A pipe without a writer stands for an import whose lock is held; its readers end with the process.
#[test]
fn an_import_that_blocks_is_unknown_and_hides_no_other() {
    let tree = Tree::client();
    let blocked = tree.files().path("/sys/kernel/debug/lustre/osc/lustrefs-OST0000-osc-ffff01/import");
    std::fs::remove_file(&blocked).unwrap();
    nix::unistd::mkfifo(&blocked, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let limit = Duration::from_millis(200);
    assert_eq!(servers(&tree, limit, &source()), ServerState::Answering);
    tree.import("mdc/lustrefs-MDT0000-mdc-ffff01", "DISCONN");
    assert_eq!(servers(&tree, limit, &source()), ServerState::Unknown, "unknown is never dead");
    let imports = imports::read_all(&BlockingCalls::new(limit), &tree.files(), |_| true).unwrap();
    let why = ImportState::Unknown("the kernel did not answer within 200ms".to_owned());
    assert_eq!(imports.iter().map(|import| &import.state).filter(|state| **state == why).count(), 1);
}

#[test]
fn lustre_mounts_are_found_in_mountinfo() {
    let tree = Tree::mounted();
    assert_eq!(lustre_is_mounted(&tree.files()), Ok(true));
    let sources = mounted_sources(&tree.files()).map(|sources| sources.iter().map(ToString::to_string).collect());
    let expected = ["10.99.0.1@tcp:/lustrefs", "10.99.0.1@tcp:/lustrefs/sub/dir"].map(str::to_owned);
    assert_eq!(sources, Ok(expected.to_vec()));
    tree.write(MOUNTINFO, "31 1 8:1 / / rw - ext4 lustre rw\n32 31 0:9 / /lustre rw - tmpfs lustre rw\n");
    assert_eq!(lustre_is_mounted(&tree.files()), Ok(false));
    assert!(lustre_is_mounted(&Tree::default().files()).is_err());
}
