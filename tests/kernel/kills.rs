//! A driver that is killed between any two steps: the next one finishes the work, and nothing is left.
//!
//! Why a process of its own: only then is nothing tidied up. The victim publishes and unpublishes a volume with a
//! sub-directory on real tmpfs mounts and ends, without any clean-up, before or after the call whose turn it is.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::kernel::mount_args::MountArgs;
use azurelustre_csi::adapters::kernel::settings::KernelSettings;
use azurelustre_csi::adapters::kernel::syscalls::{Kernel, SysError, Syscalls, UnmountFlags};
use azurelustre_csi::adapters::kernel::{Dependencies, KernelMounter};
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::domain::access::{AccessMode, AccessType, Capability};
use azurelustre_csi::domain::mount::PublishRequest;
use azurelustre_csi::ports::inbound::Publishing;
use nix::errno::Errno;

use crate::fakes::mounts::{MountRoot, mount_points};
use crate::world::run;
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    a_driver_killed_at_any_point_is_taken_up_by_the_next,
    a_driver_killed_while_it_mounts_in_one_act_is_taken_up_by_the_next,
];

const ROOT: &str = "AZURELUSTRE_TEST_ROOT";
const POINT: &str = "AZURELUSTRE_TEST_KILL_AT";
/// Set for a volume with a sub-directory, which takes more steps.
const SUB_DIR: &str = "AZURELUSTRE_TEST_SUB_DIR";
const KILLED: i32 = 9;
/// No other test's: their mounts are seen too.
const VOLUME: &str = "killed";

/// The real kernel, which ends the process at a point. A sub-directory is missing until a private mount has ended.
#[derive(Debug)]
struct Deadly {
    root: PathBuf,
    point: usize,
    passed: AtomicUsize,
}

impl Deadly {
    fn around<T>(&self, call: impl FnOnce() -> T) -> T {
        self.pass();
        let result = call();
        self.pass();
        result
    }

    fn pass(&self) {
        if self.passed.fetch_add(1, Ordering::SeqCst) == self.point {
            std::process::exit(KILLED);
        }
    }
}

impl Syscalls for Deadly {
    fn mount(&self, call: &MountArgs, directory: &File) -> Result<(), SysError> {
        if call.source.ends_with("/a/b") && !self.root.join("made").exists() {
            return self.around(|| Err(Errno::ENOENT.into()));
        }
        self.around(|| Kernel.mount(call, directory))
    }

    fn unmount(&self, target: &Path, how: UnmountFlags) -> Result<(), SysError> {
        if target.starts_with(self.root.join("working")) {
            std::fs::write(self.root.join("made"), "").unwrap();
        }
        self.around(|| Kernel.unmount(target, how))
    }

    fn mountinfo(&self) -> io::Result<Vec<u8>> {
        self.pass();
        Kernel.mountinfo()
    }
}

fn mounter(root: &Path, calls: Arc<dyn Syscalls>) -> Arc<KernelMounter> {
    let settings =
        KernelSettings { fs_type: "tmpfs".into(), working_dir: root.join("working"), ..KernelSettings::default() };
    Arc::new(KernelMounter::new(settings, Dependencies { syscalls: calls, ..Dependencies::default() }))
}

fn publish(mounter: Arc<KernelMounter>) -> Publish {
    Publish::new(mounter, Arc::new(SystemClock::new()))
}

fn request(root: &Path, sub_dir: bool) -> PublishRequest {
    PublishRequest {
        volume_id: VOLUME.into(),
        target: root.join("pod/mount"),
        capability: Capability {
            access: Some(AccessType::Mount { flags: vec!["noatime".into()] }),
            mode: Some(AccessMode::SingleNodeSingleWriter),
        },
        read_only: false,
        context: std::iter::once(("mgs-ip-address", "10.0.0.4"))
            .chain(sub_dir.then_some(("sub-dir", "a/b")))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    }
}

/// Whether this process is to be killed.
pub(crate) fn is_victim() -> bool {
    std::env::var_os(ROOT).is_some()
}

/// The victim's life.
pub(crate) fn be_killed() -> ! {
    let root = PathBuf::from(std::env::var_os(ROOT).unwrap());
    let point = std::env::var(POINT).unwrap().parse().unwrap();
    run(async {
        let driver =
            publish(mounter(&root, Arc::new(Deadly { root: root.clone(), point, passed: AtomicUsize::new(0) })));
        let request = request(&root, std::env::var_os(SUB_DIR).is_some());
        driver.publish(request.clone(), None).await.unwrap();
        driver.unpublish(VOLUME, &request.target, None).await.unwrap();
    });
    std::process::exit(0)
}

fn mounts_below(path: &Path) -> usize {
    mount_points().iter().filter(|point| point.starts_with(path)).count()
}

async fn a_driver_killed_at_any_point_is_taken_up_by_the_next() {
    let points = killed_at_every_point(true).await;
    assert!(points >= 13, "only {points} points were passed");
}

async fn a_driver_killed_while_it_mounts_in_one_act_is_taken_up_by_the_next() {
    let points = killed_at_every_point(false).await;
    assert!(points >= 6, "only {points} points were passed");
}

/// How many points there were.
async fn killed_at_every_point(sub_dir: bool) -> usize {
    let mut point = 0;
    loop {
        let mounts = MountRoot::new().unwrap();
        let root = mounts.path();
        std::fs::create_dir(root.join("pod")).unwrap();
        let mut victim = Command::new(std::env::current_exe().unwrap());
        victim.env(ROOT, &root).env(POINT, point.to_string());
        if sub_dir {
            victim.env(SUB_DIR, "1");
        }
        let ended = victim.status().unwrap();
        if ended.success() {
            assert_eq!(mounts_below(&root), 0);
            break point;
        }
        assert_eq!(ended.code(), Some(KILLED));
        let mounter = mounter(&root, Arc::new(Kernel));
        mounter.clean_leftovers().await;
        assert_eq!(mounts_below(&root.join("working")), 0, "point {point}");
        let (driver, request) = (publish(mounter), request(&root, sub_dir));
        driver.publish(request.clone(), None).await.unwrap();
        assert_eq!(mounts_below(&root), 1, "point {point}");
        driver.unpublish(VOLUME, &request.target, None).await.unwrap();
        assert_eq!(mounts_below(&root), 0, "point {point}");
        assert!(!request.target.exists(), "point {point}");
        assert_eq!(std::fs::read_dir(root.join("working")).into_iter().flatten().count(), 0, "point {point}");
        point += 1;
    }
}
