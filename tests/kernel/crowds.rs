//! Fifty mounts of one MGS hang: healthy volumes are not slower, nothing grows, and in the end all settles.
//!
//! Why twice: on the stand-in the calls block in this program, on FUSE in the kernel itself. What healthy volumes take is
//! compared with what they take on the same machine a moment before, and of several rounds the best of each side counts:
//! whatever else the machine does only adds to either.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::kernel::settings::Limits;
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::domain::mount_source::MountSource;
use azurelustre_csi::ports::inbound::Publishing;
use azurelustre_csi::ports::mounter::{MountError, MountErrorKind, MountOutcome, Mounter};
use azurelustre_csi::ports::operations::Operations;

use crate::fuse::Fuse;
use crate::world::{
    HEALTHY, SHORT, SICK, SICK_MOUNTS, TestNode, below, is_mounted, mounts_at, patient, plan, request, run, source,
    with_limits,
};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    fifty_hung_mounts_slow_nobody_down,
    fifty_hung_mounts_do_not_grow_and_settle,
    fifty_hung_mounts_cost_little_memory,
];
pub(crate) const FUSE_TESTS: &[Test] =
    tests![fifty_mounts_hung_in_the_kernel_slow_nobody_down, fifty_mounts_hung_in_the_kernel_do_not_grow_and_settle];

const HUNG: usize = 50;
/// Publications measured at a time.
const SAMPLES: usize = 200;
/// Most rounds that the figure may take to show what the machine can do.
const ROUNDS: usize = 8;
/// How often kubelet is assumed to repeat its calls.
const RETRIES: usize = 10;
/// Most memory that mounts and retries together may take, in bytes: a few pages for each thread that hangs.
const GROWTH: u64 = 6 << 20;
/// Marks a process of this program that only measures itself.
const MEASURED: &str = "AZURELUSTRE_TEST_MEMORY";

/// What makes mounts of the sick server hang.
enum Sickness {
    StandIn,
    Kernel(Fuse),
}

struct Crowd {
    node: TestNode,
    sickness: Sickness,
    targets: Vec<PathBuf>,
}

impl Crowd {
    fn new() -> Self {
        let node = TestNode::new(with_limits(Limits { mount: SHORT, ..patient() }));
        let targets = (0..HUNG).map(|pod| node.target(&format!("sick-{pod}"))).collect();
        Self { node, sickness: Sickness::StandIn, targets }
    }

    /// The sick server's files are on FUSE.
    fn in_the_kernel() -> Self {
        let mut crowd = Self::new();
        crowd.sickness = Sickness::Kernel(Fuse::mount("sick", &crowd.node.kernel.files(SICK)).unwrap());
        crowd
    }

    /// On FUSE a sub-directory, which has to be asked for there; one that is asked for twice waits for the first answer.
    fn source(&self, number: usize) -> MountSource {
        match &self.sickness {
            Sickness::StandIn => source(SICK),
            Sickness::Kernel(_) => below(SICK, &format!("team-{number}")),
        }
    }

    fn hang(&self) {
        match &self.sickness {
            Sickness::StandIn => self.node.kernel.hang(SICK_MOUNTS),
            Sickness::Kernel(fuse) => fuse.fall_silent(),
        }
    }

    fn release(&self) {
        match &self.sickness {
            Sickness::StandIn => self.node.kernel.release(SICK_MOUNTS),
            Sickness::Kernel(fuse) => fuse.resume(),
        }
    }

    fn hanging(&self) -> usize {
        match &self.sickness {
            Sickness::StandIn => self.node.kernel.hanging(SICK_MOUNTS),
            Sickness::Kernel(fuse) => fuse.hanging(),
        }
    }

    /// Tries to mount at all targets at once.
    async fn mount_all(&self) -> Vec<Result<MountOutcome, MountError>> {
        let calls = self.targets.iter().enumerate().map(|(number, target)| {
            let (mounter, plan) = (self.node.mounter.clone(), plan(&self.source(number), target));
            tokio::spawn(async move { mounter.mount(&plan).await })
        });
        let mut results = vec![];
        for call in calls.collect::<Vec<_>>() {
            results.push(call.await.unwrap());
        }
        results
    }

    async fn all_hang(&self) {
        for result in self.mount_all().await {
            assert_eq!(result.unwrap_err().kind, MountErrorKind::Stuck);
        }
        assert_eq!(self.hanging(), HUNG);
        assert_eq!(self.node.mounter.in_progress().iter().filter(|one| one.overdue).count(), HUNG);
    }

    async fn unmount_all(&self, targets: &[PathBuf]) {
        let calls = targets.iter().map(|target| {
            let (mounter, target) = (self.node.mounter.clone(), target.clone());
            tokio::spawn(async move { mounter.unmount(&target).await })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap().unwrap();
        }
    }

    /// What all but the slowest hundredth of the publications and unpublications of healthy volumes take at most.
    async fn healthy(&self) -> Duration {
        let driver = Publish::new(self.node.mounter.clone(), Arc::new(SystemClock::new()));
        let mut took = vec![];
        for pod in 0..SAMPLES {
            let request = request(&self.node.root, &format!("healthy-{pod}"), HEALTHY);
            let begun = Instant::now();
            driver.publish(request.clone(), None).await.unwrap();
            driver.unpublish(&request.volume_id, &request.target, None).await.unwrap();
            took.push(begun.elapsed());
        }
        took.sort();
        took[SAMPLES * 99 / 100 - 1]
    }

    async fn slows_nobody_down(self) {
        let (mut alone, mut disturbed) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            alone = alone.min(self.healthy().await);
            self.hang();
            self.all_hang().await;
            disturbed = disturbed.min(self.healthy().await);
            self.release();
            self.node.settled().await;
            self.unmount_all(&self.targets).await;
            if disturbed <= 2 * alone {
                return;
            }
        }
        panic!("healthy volumes take {disturbed:?} beside {HUNG} hung mounts, and {alone:?} alone");
    }

    async fn does_not_grow_and_settles(self) {
        self.hang();
        for _ in 0..RETRIES {
            self.all_hang().await;
        }
        let threads = self.node.mounter.threads();
        assert!(threads <= 2 * HUNG + 10, "{threads} threads");

        let (abandoned, kept) = self.targets.split_at(HUNG / 2);
        self.unmount_all(abandoned).await;
        assert_eq!(self.hanging(), HUNG, "nothing ends before the server answers");
        self.release();
        self.node.settled().await;
        for target in abandoned {
            assert!(!is_mounted(target), "{}", target.display());
        }
        for target in kept {
            assert_eq!(mounts_at(target), 1);
        }
        self.unmount_all(kept).await;
        assert!(!self.targets.iter().any(|target| is_mounted(target)));
        let asked = plan(&source(SICK), &self.node.root.join("other"));
        assert!(self.node.mounter.published(&asked).await.unwrap().is_empty());
    }
}

/// Whether this process only measures itself.
pub(crate) fn is_measured() -> bool {
    std::env::var_os(MEASURED).is_some()
}

/// Prints by how many bytes the process grows while mounts hang and are tried again.
pub(crate) fn be_measured() {
    run(async {
        let crowd = Crowd::new();
        let _used_before = crowd.healthy().await;
        crowd.hang();
        let before = resident();
        for _ in 0..RETRIES {
            crowd.all_hang().await;
        }
        println!("{}", resident().saturating_sub(before));
        crowd.release();
        crowd.node.settled().await;
    });
}

/// Memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// In a process of its own: other tests run beside this one.
async fn fifty_hung_mounts_cost_little_memory() {
    let output = Command::new(std::env::current_exe().unwrap()).env(MEASURED, "1").output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    let grown: u64 = shown.trim().parse().unwrap();
    assert!(grown < GROWTH, "{grown} bytes");
}

async fn fifty_hung_mounts_slow_nobody_down() {
    Crowd::new().slows_nobody_down().await;
}

async fn fifty_hung_mounts_do_not_grow_and_settle() {
    Crowd::new().does_not_grow_and_settles().await;
}

async fn fifty_mounts_hung_in_the_kernel_slow_nobody_down() {
    Crowd::in_the_kernel().slows_nobody_down().await;
}

async fn fifty_mounts_hung_in_the_kernel_do_not_grow_and_settle() {
    Crowd::in_the_kernel().does_not_grow_and_settles().await;
}
