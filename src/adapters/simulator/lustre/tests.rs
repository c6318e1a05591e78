//! What only the simulator does: mounts of earlier processes, options of bind mounts, file systems made anew.

use super::*;
use crate::adapters::target;
use crate::domain::capacity::Bytes;
use crate::domain::mount_options::MountOptions;
use crate::domain::mount_source::{FsName, MgsAddress};
use crate::domain::sub_dir::SubDir;
use nix::mount::MsFlags;
use std::net::Ipv4Addr;
use tempfile::TempDir;

const MGS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
const CAPACITY: Bytes = Bytes(4 << 40);

pub(super) fn servers(root: &Path) -> Servers {
    let servers = Servers::new(&root.join("servers"), false);
    servers.start(MGS, &FsName::default(), CAPACITY);
    servers
}

pub(super) fn plan(target: impl Into<PathBuf>, sub_dir: Option<&str>, flags: &[&str]) -> MountPlan {
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let mgs = MgsAddress::parse(&MGS.to_string()).unwrap();
    let sub_dir = sub_dir.map(|path| SubDir::parse(path).unwrap());
    MountPlan {
        volume_id: "vol".into(),
        source: MountSource { mgs, fs_name: FsName::default(), sub_dir },
        target: target.into(),
        options: MountOptions::parse(&flags).unwrap(),
        exclusive: false,
    }
}

/// A node on a temporary directory. Mounts that a failed test leaves are detached.
struct Bench {
    node: Mounts,
    mode: Mode,
    servers: Arc<Servers>,
    target: PathBuf,
    root: TempDir,
}

impl Bench {
    fn new(mode: Mode) -> Self {
        let root = tempfile::tempdir().unwrap();
        let servers = Arc::new(servers(root.path()));
        let target = root.path().canonicalize().unwrap().join("target");
        Self { node: Mounts::new(Arc::clone(&servers), mode), mode, servers, target, root }
    }

    fn each() -> Vec<Self> {
        let modes = [Some(Mode::Link), (Mode::detect() == Mode::Bind).then_some(Mode::Bind)];
        modes.into_iter().flatten().map(Self::new).collect()
    }

    /// None where the process may not mount; `a_process_that_may_mount_gets_bind_mounts` fails if that is a mistake.
    fn with_bind_mounts() -> Option<Self> {
        Self::each().into_iter().find(|bench| bench.mode == Mode::Bind)
    }

    fn mount(&self, plan: &MountPlan) -> MountOutcome {
        self.node.mount(plan).unwrap()
    }

    fn published(&self) -> Vec<PathBuf> {
        self.node.published(&plan(&self.target, None, &[])).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.node.close();
        bind::detach(&self.target).ok();
    }
}

#[test]
fn a_process_that_may_mount_gets_bind_mounts() {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let effective = u64::from_str_radix(effective.trim(), 16).unwrap();
    assert_eq!(Mode::detect() == Mode::Bind, effective & (1 << CAP_SYS_ADMIN) != 0);
}

#[test]
fn mounts_of_another_process_are_seen_never_covered_and_unmounted() {
    let Some(bench) = Bench::with_bind_mounts() else { return };
    let directory = target::open_directory(bench.root.path()).unwrap();
    std::fs::create_dir(&bench.target).unwrap();
    for _ in 0..2 {
        bind::mount(&directory, &bench.target, &MountOptions::default(), bench.root.path()).unwrap();
    }
    let MountOutcome::Occupied(difference) = bench.mount(&plan(&bench.target, None, &[])) else { panic!("covered") };
    assert!(difference.contains("2 mounts"), "{difference}");
    bench.node.unmount(&bench.target).unwrap();
    assert!(!bench.target.exists());
}

#[test]
fn options_of_a_bind_mount_are_the_kernels() {
    let Some(bench) = Bench::with_bind_mounts() else { return };
    bench.node.mount(&plan(&bench.target, None, &["ro", "nosuid", "nodev", "noexec"])).unwrap();
    let shown = bind::at(&bench.target).unwrap().pop().unwrap().options;
    for word in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(shown.iter().any(|option| option == word), "{word} in {shown:?}");
    }
    let refused = std::fs::write(bench.target.join("file"), "").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}

/// A directory with a shared mount at two paths, each a peer of the other (`mount_namespaces(7)`), as kubelet's and the
/// driver's are.
struct Peers {
    here: PathBuf,
    there: PathBuf,
}

impl Peers {
    fn new(root: &Path) -> Self {
        let root = root.canonicalize().unwrap();
        let peers = Self { here: root.join("here"), there: root.join("there") };
        let flags = [MsFlags::MS_BIND, MsFlags::MS_SHARED];
        std::fs::create_dir(&peers.here).unwrap();
        std::fs::create_dir(&peers.there).unwrap();
        for flags in flags {
            nix::mount::mount(Some(&peers.here), &peers.here, None::<&Path>, flags, None::<&Path>).unwrap();
        }
        nix::mount::mount(Some(&peers.here), &peers.there, None::<&Path>, MsFlags::MS_BIND, None::<&Path>).unwrap();
        peers
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for path in [&self.there, &self.here] {
            bind::detach(path).ok();
        }
    }
}

#[test]
fn every_peer_of_a_shared_mount_sees_the_same_options() {
    let Some(bench) = Bench::with_bind_mounts() else { return };
    let peers = Peers::new(bench.root.path());
    let target = peers.here.join("target");
    for options in [&["ro"][..], &["nosuid", "noexec"], &["ro", "nosuid", "nodev", "noexec"], &[]] {
        bench.node.mount(&plan(&target, None, options)).unwrap();
        let at = |peer: &Path| bind::at(&peer.join("target")).unwrap().pop().unwrap().options;
        assert_eq!(at(&peers.there), at(&peers.here), "{options:?}");
        assert!(options.iter().all(|option| at(&peers.there).iter().any(|shown| shown == option)), "{options:?}");
        bench.node.unmount(&target).unwrap();
        assert!(bind::at(&peers.there.join("target")).unwrap().is_empty());
    }
}

#[test]
fn no_staged_mount_stays() {
    let Some(bench) = Bench::with_bind_mounts() else { return };
    bench.node.mount(&plan(&bench.target, None, &["ro"])).unwrap();
    let staging = bench.servers.root().canonicalize().unwrap();
    let listed = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!listed.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| Path::new(at).starts_with(&staging))));
    let left: Vec<_> = std::fs::read_dir(&staging).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [MGS.to_string().as_str()]);
}

#[test]
fn options_are_set_or_nothing_stays_mounted() {
    let Some(bench) = Bench::with_bind_mounts() else { return };
    // A user namespace refuses to change the access times of the mount below.
    match bench.node.mount(&plan(&bench.target, None, &["noatime"])) {
        Ok(_) => {
            let shown = bind::at(&bench.target).unwrap().pop().unwrap().options;
            assert!(shown.iter().any(|option| option == "noatime"), "{shown:?}");
        }
        Err(error) => {
            assert_eq!(error.kind, MountErrorKind::NotReady, "{error}");
            assert!(!bench.target.exists());
        }
    }
}

#[test]
fn a_link_that_is_planted_after_the_check_leads_nowhere() {
    let Some(bench) = Bench::with_bind_mounts() else { return };
    let directory = target::open_directory(bench.root.path()).unwrap();
    let link = bench.root.path().join("planted");
    std::fs::create_dir(&bench.target).unwrap();
    std::os::unix::fs::symlink(&bench.target, &link).unwrap();
    assert!(bind::mount(&directory, &link, &MountOptions::default(), bench.root.path()).is_err());
    assert!(bind::at(&bench.target).unwrap().is_empty());
}

#[test]
fn a_mount_that_another_process_unmounted_is_not_published() {
    for bench in Bench::each() {
        let plan = plan(&bench.target, None, &[]);
        bench.mount(&plan);
        assert_eq!(bench.published(), [bench.target.as_path()]);
        match bench.mode {
            Mode::Bind => bind::detach(&bench.target).unwrap(),
            Mode::Link => {
                std::fs::remove_file(&bench.target).and_then(|()| std::fs::create_dir(&bench.target)).unwrap();
            }
        }
        assert!(bench.published().is_empty());
        assert_eq!(bench.node.usage(&bench.target).unwrap(), None);
        assert_eq!(bench.mount(&plan), MountOutcome::Mounted);
        assert_eq!(bench.published().len(), 1);
    }
}

#[test]
fn a_file_system_made_anew_at_the_same_address_is_another_one() {
    for bench in Bench::each() {
        bench.mount(&plan(&bench.target, None, &[]));
        bench.servers.stop(MGS).unwrap();
        bench.servers.start(MGS, &FsName::default(), CAPACITY);
        for made_anew in [false, true] {
            if made_anew {
                bench.node.make_sub_dir(&plan("/x", Some("a"), &[]).source, SUB_DIR_MODE).unwrap();
            }
            let error = bench.node.usage(&bench.target).unwrap_err();
            assert!(error.kind == MountErrorKind::Unreachable && error.message.contains("ESTALE"), "{error}");
        }
        assert_eq!(bench.mount(&plan(&bench.target, None, &[])), MountOutcome::Mounted, "the corrupt one is replaced");
        assert!(bench.target.join("a").is_dir());
    }
}

#[test]
fn other_names_at_an_address_are_not_found_and_files_are_no_sub_directories() {
    for bench in Bench::each() {
        let mut other = plan(&bench.target, None, &[]);
        other.source.fs_name = FsName::parse("other").unwrap();
        bench.servers.start(MGS, &FsName::parse("third").unwrap(), CAPACITY);
        assert_eq!(bench.node.mount(&other).unwrap_err().kind, MountErrorKind::NotFound);
        bench.servers.start(MGS, &FsName::default(), CAPACITY);
        bench.node.mount(&plan(&bench.target, None, &[])).unwrap();
        std::fs::write(bench.target.join("file"), "text").unwrap();
        bench.node.unmount(&bench.target).unwrap();
        for path in ["file", "file/below"] {
            let error = bench.node.mount(&plan(&bench.target, Some(path), &[])).unwrap_err();
            assert!(error.kind == MountErrorKind::Invalid && error.hint.is_some(), "{error}");
        }
    }
}

#[test]
fn usage_counts_the_whole_file_system_and_never_more_than_there_is() {
    for bench in Bench::each() {
        bench.servers.start(MGS, &FsName::default(), Bytes(4096));
        bench.node.make_sub_dir(&plan("/x", Some("a/b"), &[]).source, SUB_DIR_MODE).unwrap();
        bench.node.mount(&plan(&bench.target, Some("a"), &[])).unwrap();
        std::fs::write(bench.target.join("file"), vec![1; 1 << 20]).unwrap();
        let usage = bench.node.usage(&bench.target).unwrap().unwrap();
        assert_eq!((usage.bytes.total, usage.bytes.used, usage.bytes.available), (4096, 4096, 0));
        assert_eq!(usage.inodes, None, "none are counted");
    }
}

#[test]
fn close_detaches_mounts_in_use() {
    for bench in Bench::each() {
        bench.node.mount(&plan(&bench.target, None, &[])).unwrap();
        let in_use = std::fs::File::create(bench.target.join("open")).unwrap();
        bench.node.close();
        assert!(
            std::fs::symlink_metadata(&bench.target).unwrap().is_dir() && bind::at(&bench.target).unwrap().is_empty()
        );
        assert!(bench.published().is_empty());
        drop(in_use);
    }
}

#[test]
fn a_mount_in_use_is_busy_and_stays() {
    let Some(bench) = Bench::with_bind_mounts() else { return };
    bench.node.mount(&plan(&bench.target, None, &[])).unwrap();
    let in_use = std::fs::File::create(bench.target.join("open")).unwrap();
    assert_eq!(bench.node.unmount(&bench.target).unwrap_err().kind, MountErrorKind::Busy);
    assert_eq!(bench.published().len(), 1);
    drop(in_use);
    bench.node.unmount(&bench.target).unwrap();
}
