//! Calls over the socket, each beside an empty handler.
//!
//! The empty handler is the floor that the transport sets on this machine; the ratio to it is the driver's figure. Both servers
//! run in this process on runtimes alike, over Unix sockets, and decode and encode the same messages. `scripts/figures
//! --bench` prints the ratios of the medians.

// A benchmark that cannot set up or call has nothing to measure; it ends there, saying where.
#![allow(clippy::expect_used)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use azurelustre_csi::adapters::csi::proto::{CreateVolumeRequest, NodeGetInfoRequest, ProbeRequest};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use tokio::runtime::Runtime;

mod client;
mod floor;
mod serve;
mod servers;

use client::{Client, capability};

/// Most calls in flight.
const LANES: u64 = 64;
const IN_FLIGHT: [u64; 3] = [1, 16, LANES];

/// What is called, by the name in the report.
#[derive(Clone, Copy)]
enum Call {
    Probe,
    NodeGetInfo,
    CreateStatic,
    CreateExisting,
    PublishUnpublish,
}

const CALLS: [(&str, Call); 5] = [
    ("Probe", Call::Probe),
    ("NodeGetInfo", Call::NodeGetInfo),
    ("CreateVolume static", Call::CreateStatic),
    ("CreateVolume dynamic, existing", Call::CreateExisting),
    ("NodePublish + NodeUnpublish", Call::PublishUnpublish),
];

impl Call {
    async fn make(self, client: &Client, number: u64) {
        match self {
            Self::Probe => drop(client.csi.identity().probe(ProbeRequest {}).await.expect("Probe")),
            Self::NodeGetInfo => {
                drop(client.csi.node().node_get_info(NodeGetInfoRequest {}).await.expect("NodeGetInfo"));
            }
            Self::CreateStatic => create(client, existing_filesystem(number)).await,
            Self::CreateExisting => create(client, new_filesystem(number)).await,
            Self::PublishUnpublish => {
                client.publish(number).await;
                client.unpublish(number).await;
            }
        }
    }
}

async fn create(client: &Client, request: CreateVolumeRequest) {
    drop(client.csi.controller().create_volume(request).await.expect("CreateVolume"));
}

fn request(number: u64, parameters: &[(&str, &str)]) -> CreateVolumeRequest {
    CreateVolumeRequest {
        name: format!("pvc-{number}"),
        volume_capabilities: vec![capability()],
        parameters: parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..CreateVolumeRequest::default()
    }
}

fn existing_filesystem(number: u64) -> CreateVolumeRequest {
    request(number, &[("mgs-ip-address", "10.0.0.4"), ("fs-name", "lustrefs")])
}

/// One of 64 volumes that the set-up has created, so that calls in flight do not exclude each other.
fn new_filesystem(number: u64) -> CreateVolumeRequest {
    let parameters = [
        ("sku-name", "AMLFS-Durable-Premium-500"),
        ("zone", "1"),
        ("maintenance-day-of-week", "Monday"),
        ("maintenance-time-of-day-utc", "03:00"),
    ];
    request(number % LANES, &parameters)
}

#[allow(clippy::cast_precision_loss)] // far fewer than 2^52 calls
/// Runs `calls` calls, `in_flight` of them at a time, and returns how long they took together.
fn timed(runtime: &Runtime, client: &Client, call: Call, calls: u64, in_flight: u64) -> Duration {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let each = calls.div_ceil(in_flight);
    let begun = std::time::Instant::now();
    runtime.block_on(async {
        join_all((0..in_flight).map(|lane| async move {
            for _ in 0..each {
                // The lane's number modulo 64, so that lanes never meet at one volume.
                let number = NEXT.fetch_add(1, Ordering::Relaxed) * LANES + lane;
                call.make(client, number).await;
            }
        }))
        .await;
    });
    // Criterion asked for `calls`; a few more were made so that every lane does the same.
    begun.elapsed().mul_f64(calls as f64 / (each * in_flight) as f64)
}

fn calls(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let runtime = Runtime::new().expect("a runtime");
    let sockets = [("floor", serve::floor(folder.path())), ("driver", servers::driver(folder.path()))];
    for (name, call) in CALLS {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        let clients = sockets.each_ref().map(|(server, socket)| {
            let client = runtime.block_on(Client::connect(socket.clone(), folder.path()));
            (0..LANES).for_each(|number| runtime.block_on(call.make(&client, number)));
            (*server, client)
        });
        for in_flight in IN_FLIGHT {
            // Side by side, so that a machine that slows down slows down both.
            for (server, client) in &clients {
                let id = BenchmarkId::new(*server, in_flight);
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|calls| timed(&runtime, client, call, calls, in_flight));
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = calls
}
criterion_main!(benches);
