//! Publishing through the kernel, beside the two system calls that it cannot do without.
//!
//! What mount(2) and umount2(2) cost depends on the machine and its kernel. So each round measures, one after the other, two
//! empty calls over the same transport, the bare pair of system calls on a tmpfs, the least that a driver has to do (two
//! calls, each of which makes its bare system call on a thread that it may block), and `NodePublishVolume` with
//! `NodeUnpublishVolume` of the driver on its kernel adapter with tmpfs in Lustre's place. Targets are on a tmpfs too, so that
//! no disk is measured. The figure is the median of the rounds' ratios. Needs the right to mount: root, or `unshare -rm`.

// A benchmark that cannot set up or call has nothing to measure; it ends there, saying where.
#![allow(clippy::expect_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tokio::runtime::Runtime;

#[path = "../rpc/client.rs"]
mod client;
#[path = "../rpc/floor.rs"]
mod floor;
#[path = "../rpc/serve.rs"]
mod serve;
mod servers;

use client::Client;

const IN_FLIGHT: [usize; 4] = [1, 4, 16, 64];
const ROUNDS: usize = 21;
/// Pairs in one measurement, all lanes together.
const PAIRS: usize = 192;
/// Publishes whose mount is slow, and how slow.
const SLOW: (u64, Duration) = (64, Duration::from_millis(100));

/// Time of one pair in one round, each of the four ways.
#[derive(Clone, Copy)]
struct Round {
    floor: Duration,
    bare: Duration,
    least: Duration,
    driver: Duration,
}

impl Round {
    /// What a server adds to the transport, in units of the bare pair.
    fn over_floor(&self, server: Duration) -> f64 {
        server.saturating_sub(self.floor).as_secs_f64() / self.bare.as_secs_f64()
    }

    /// What the driver takes, in units of transport and bare pair together.
    fn over_both(&self) -> f64 {
        self.driver.as_secs_f64() / (self.floor + self.bare).as_secs_f64()
    }
}

/// A directory on a tmpfs of its own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        mount_tmpfs("bench", folder.path());
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The servers' sockets are in it, and go with their process.
        umount2(self.path(), MntFlags::MNT_DETACH).expect("an unmount");
    }
}

fn mount_tmpfs(source: &str, target: &Path) {
    mount(Some(source), target, Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .expect("the right to mount; run as root or under unshare -rm");
}

fn main() {
    let folder = Folder::new();
    let runtime = Runtime::new().expect("a runtime");
    let connect = |socket| runtime.block_on(Client::connect(socket, folder.path()));
    let floor = connect(serve::floor(folder.path()));
    let least = connect(servers::bare(folder.path(), IN_FLIGHT[IN_FLIGHT.len() - 1]));
    let driver = connect(servers::driver(folder.path(), Duration::ZERO));
    println!(
        "in flight  empty calls    bare pair        least       driver  (l - e) / b  (d - e) / b  d / (e + b)  pairs a second"
    );
    for in_flight in IN_FLIGHT {
        let round = || Round {
            floor: over_grpc(&runtime, &floor, in_flight),
            bare: bare(folder.path(), in_flight),
            least: over_grpc(&runtime, &least, in_flight),
            driver: over_grpc(&runtime, &driver, in_flight),
        };
        round();
        print(in_flight, &(0..ROUNDS).map(|_| round()).collect::<Vec<_>>());
    }
    slow_mounts(&runtime, folder.path());
}

/// One line: the medians of the rounds.
fn print(in_flight: usize, rounds: &[Round]) {
    let of = |part: fn(&Round) -> Duration| median(rounds.iter().map(|round| part(round).as_secs_f64()));
    let times = [of(|round| round.floor), of(|round| round.bare), of(|round| round.least), of(|round| round.driver)];
    let ratio = |of: fn(&Round) -> f64| median(rounds.iter().map(of));
    print!("{in_flight:>9}");
    for time in times {
        print!("  {:>8.1} µs", time * 1e6);
    }
    let least = ratio(|round| round.over_floor(round.least));
    let driver = ratio(|round| round.over_floor(round.driver));
    let both = ratio(Round::over_both);
    println!("  {least:>11.2}  {driver:>11.2}  {both:>11.2}  {:>14.0}", 1.0 / times[3]);
}

/// Many publishes at once whose mount takes long.
fn slow_mounts(runtime: &Runtime, folder: &Path) {
    let slow = folder.join("slow");
    std::fs::create_dir(&slow).expect("a directory");
    let (count, each) = SLOW;
    let client = runtime.block_on(Client::connect(servers::driver(&slow, each), &slow));
    let took = (0..ROUNDS / 4).map(|_| {
        let begun = Instant::now();
        runtime.block_on(join_all((0..count).map(|number| client.publish(number))));
        let took = begun.elapsed();
        runtime.block_on(join_all((0..count).map(|number| client.unpublish(number))));
        took.as_secs_f64()
    });
    println!("{count} publishes at once whose mount takes {each:?}: all done within {:.0} ms", median(took) * 1e3);
}

/// One pair of calls, `in_flight` of them at a time.
fn over_grpc(runtime: &Runtime, client: &Client, in_flight: usize) -> Duration {
    let begun = Instant::now();
    runtime.block_on(join_all((0..in_flight).map(|lane| async move {
        for _ in 0..PAIRS / in_flight {
            let number = u64::try_from(lane).unwrap_or(0);
            client.publish(number).await;
            client.unpublish(number).await;
        }
    })));
    per_pair(begun, in_flight)
}

fn mount_bare(target: &Path) {
    mount_tmpfs("10.0.0.4@tcp:/lustrefs", target);
}

fn unmount_bare(target: &Path) {
    umount2(target, MntFlags::UMOUNT_NOFOLLOW).expect("an unmount");
}

/// mount(2) and umount2(2) of a tmpfs as the driver makes them, on that many threads.
fn bare(folder: &Path, in_flight: usize) -> Duration {
    let targets: Vec<_> = (0..in_flight).map(|lane| folder.join(format!("bare-{lane}"))).collect();
    for target in &targets {
        std::fs::create_dir_all(target).expect("a directory");
    }
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for target in &targets {
            scope.spawn(|| {
                for _ in 0..PAIRS / in_flight {
                    mount_bare(target);
                    unmount_bare(target);
                }
            });
        }
    });
    per_pair(begun, in_flight)
}

/// Wall time per pair; lanes make equally many.
fn per_pair(begun: Instant, in_flight: usize) -> Duration {
    let pairs = u32::try_from(PAIRS / in_flight * in_flight).unwrap_or(u32::MAX);
    begun.elapsed() / pairs
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
