//! Calls over the socket, each beside an empty handler.
//!
//! Why the empty handler: it is the floor that the transport sets on this machine, whatever the machine; the driver is
//! judged by the ratio. Both servers run in this process on runtimes alike, speak over Unix sockets and decode and encode
//! the same messages. `scripts/figures --bench` prints the ratios of the medians.

// A benchmark that cannot set up or call has nothing to measure; it ends there, saying where.
#![allow(clippy::expect_used)]

use std::path::PathBuf;
use std::time::Duration;

use azurelustre_csi::adapters::csi::proto::controller_client::ControllerClient;
use azurelustre_csi::adapters::csi::proto::identity_client::IdentityClient;
use azurelustre_csi::adapters::csi::proto::node_client::NodeClient;
use azurelustre_csi::adapters::csi::proto::{CreateVolumeRequest, NodeGetInfoRequest, ProbeRequest};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use shared::client::{capability, connect, publish, unpublish};
use shared::lanes::{IN_FLIGHT, LANES, timed};

mod servers;
#[path = "../shared/mod.rs"]
mod shared;

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

/// A connection to one of the servers.
#[derive(Clone)]
struct Client {
    channel: Channel,
    targets: PathBuf,
}

impl Client {
    async fn call(&self, call: Call, number: u64) {
        match call {
            Call::Probe => drop(IdentityClient::new(self.channel.clone()).probe(ProbeRequest {}).await.expect("Probe")),
            Call::NodeGetInfo => {
                let mut node = NodeClient::new(self.channel.clone());
                drop(node.node_get_info(NodeGetInfoRequest {}).await.expect("NodeGetInfo"));
            }
            Call::CreateStatic => self.create(existing_filesystem(number)).await,
            Call::CreateExisting => self.create(new_filesystem(number)).await,
            Call::PublishUnpublish => {
                publish(&self.channel, &self.targets, number).await;
                unpublish(&self.channel, &self.targets, number).await;
            }
        }
    }

    async fn create(&self, request: CreateVolumeRequest) {
        let mut controller = ControllerClient::new(self.channel.clone());
        drop(controller.create_volume(request).await.expect("CreateVolume"));
    }
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

fn calls(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let runtime = Runtime::new().expect("a runtime");
    let sockets = [("floor", shared::serving::floor(folder.path())), ("driver", servers::driver(folder.path()))];
    for (name, call) in CALLS {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        let clients = sockets.each_ref().map(|(server, socket)| {
            let channel = runtime.block_on(connect(socket.clone()));
            let client = Client { channel, targets: folder.path().to_owned() };
            (0..LANES).for_each(|number| runtime.block_on(client.call(call, number)));
            (*server, client)
        });
        for in_flight in IN_FLIGHT {
            // Side by side, so that a machine that slows down slows down both.
            for (server, client) in &clients {
                let id = BenchmarkId::new(*server, in_flight);
                let call = |number| client.call(call, number);
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|calls| timed(&runtime, calls, in_flight, call));
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
