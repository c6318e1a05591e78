//! Publish and unpublish through the kernel's mount(2), beside what they cannot do without.
//!
//! What is compared, all on one tmpfs that holds the targets, so that no disk is measured:
//! - `bare`: mkdir(2), mount(2) of a tmpfs, umount2(2) and rmdir(2), on as many threads as there are calls in flight. The
//!   directory is part of it because the Container Storage Interface has the driver make and remove it.
//! - `floor`: both calls to empty handlers, which is what gRPC costs.
//! - `driver`: both calls to the driver with its kernel adapter and the type tmpfs.
//!
//! So (driver - floor) / bare is what the adapter adds. `slow` is 64 publishes at once whose mount(2) takes 100 ms each;
//! a driver with one lock takes 6.4 s. `scripts/figures --bench` prints both.

// A benchmark that cannot set up or call has nothing to measure; it ends there, saying where.
#![allow(clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azurelustre_csi::adapters::kernel::settings::KernelSettings;
use azurelustre_csi::adapters::kernel::{KernelMounter, Parts};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Channel;

use lustre::TreeKernel;
use shared::client::{connect, publish, unpublish};
use shared::lanes::{IN_FLIGHT, LANES, number, of_calls, timed};
use shared::serving::{floor, node, serve};

// Shared with the tests, which need more of it.
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../tests/fakes/lustre.rs"]
mod lustre;
#[path = "../shared/mod.rs"]
mod shared;

/// How long each mount of the slow kernel takes.
const SLOW: Duration = Duration::from_millis(100);

/// A directory on a tmpfs of its own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        mount(Some("bench"), folder.path(), Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("the right to mount");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        lustre::unmount_below(self.path());
    }
}

/// Serves the node calls over the kernel adapter with these parts.
fn driver(runtime: &Runtime, folder: &Path, name: &str, fs_type: &str, parts: Parts) -> Channel {
    let (working_dir, kubelet_dir) = (folder.join("working"), folder.to_owned());
    let settings = KernelSettings { fs_type: fs_type.into(), working_dir, kubelet_dir, ..KernelSettings::default() };
    let routes = move || Routes::new(node(Arc::new(KernelMounter::new(settings, parts)), TaskTracker::new()));
    runtime.block_on(connect(serve(folder.join(name), routes)))
}

/// What cannot be saved: `calls` directories, mounts, unmounts and removals, `in_flight` at a time.
fn bare(targets: &Path, calls: u64, in_flight: u64) -> Duration {
    let each = calls.div_ceil(in_flight);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for lane in 0..in_flight {
            scope.spawn(move || (0..each).for_each(|_| bare_pair(&targets.join(number(lane).to_string()))));
        }
    });
    of_calls(begun.elapsed(), calls, each * in_flight)
}

fn bare_pair(target: &Path) {
    std::fs::create_dir(target).expect("mkdir");
    mount(Some("10.0.0.4@tcp:/lustrefs"), target, Some("tmpfs"), MsFlags::MS_STRICTATIME, Some("")).expect("mount");
    umount2(target, MntFlags::UMOUNT_NOFOLLOW).expect("umount2");
    std::fs::remove_dir(target).expect("rmdir");
}

fn pairs(criterion: &mut Criterion) {
    let (folder, runtime) = (Folder::new(), Runtime::new().expect("a runtime"));
    let floor = runtime.block_on(connect(floor(folder.path())));
    let driver = driver(&runtime, folder.path(), "driver.sock", "tmpfs", Parts::default());
    let (targets, mut group) = (folder.path(), criterion.benchmark_group("kernel, publish + unpublish"));
    group.throughput(Throughput::Elements(1));
    for in_flight in IN_FLIGHT {
        // Side by side, so that a machine that slows down slows down all.
        group.bench_function(BenchmarkId::new("bare", in_flight), |bencher| {
            bencher.iter_custom(|calls| bare(targets, calls, in_flight));
        });
        for (name, channel) in [("floor", &floor), ("driver", &driver)] {
            let pair = |number| async move {
                publish(channel, targets, number).await;
                unpublish(channel, targets, number).await;
            };
            group.bench_function(BenchmarkId::new(name, in_flight), |bencher| {
                bencher.iter_custom(|calls| timed(&runtime, calls, in_flight, pair));
            });
        }
    }
    group.finish();
}

fn slow(criterion: &mut Criterion) {
    let (folder, runtime) = (Folder::new(), Runtime::new().expect("a runtime"));
    let kernel = Arc::new(TreeKernel::new(&folder.path().join("tree")).expect("the right to mount"));
    kernel.serve([10, 0, 0, 4].into());
    kernel.slow_down(SLOW);
    let parts = Parts { calls: kernel, ..Parts::default() };
    let driver = driver(&runtime, folder.path(), "slow.sock", "lustre", parts);
    let (driver, targets) = (&driver, folder.path());
    let mut group = criterion.benchmark_group("kernel, publishes of 100 ms");
    group.sample_size(10);
    let all = |calls: u64| {
        // Criterion counts rounds of 64 here, not calls; unpublishing is not timed.
        (0..calls).map(|_| {
            let numbers: Vec<u64> = (0..LANES).map(number).collect();
            let begun = Instant::now();
            runtime.block_on(futures_util::future::join_all(numbers.iter().map(|n| publish(driver, targets, *n))));
            let took = begun.elapsed();
            runtime.block_on(futures_util::future::join_all(numbers.iter().map(|n| unpublish(driver, targets, *n))));
            took
        })
    };
    group.bench_function(BenchmarkId::new("driver", LANES), |bencher| bencher.iter_custom(|calls| all(calls).sum()));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = pairs, slow
}
criterion_main!(benches);
