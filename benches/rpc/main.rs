//! Calls over the socket, each beside an empty handler.
//!
//! Why the empty handler: it is the floor that the transport sets on this machine, whatever the machine; the driver is
//! judged by the ratio. Both servers run in this process on runtimes alike, speak over Unix sockets and decode and encode
//! the same messages. `scripts/figures --bench` prints the ratios of the medians.

// A benchmark that cannot set up or call has nothing to measure; it ends there, saying where.
#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use azurelustre_csi::adapters::csi::proto::controller_client::ControllerClient;
use azurelustre_csi::adapters::csi::proto::identity_client::IdentityClient;
use azurelustre_csi::adapters::csi::proto::node_client::NodeClient;
use azurelustre_csi::adapters::csi::proto::volume_capability::access_mode::Mode;
use azurelustre_csi::adapters::csi::proto::volume_capability::{AccessMode, AccessType, MountVolume};
use azurelustre_csi::adapters::csi::proto::{
    CreateVolumeRequest, NodeGetInfoRequest, NodePublishVolumeRequest, NodeUnpublishVolumeRequest, ProbeRequest,
    VolumeCapability,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint, Uri};

mod floor;
mod servers;

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

/// A connection to one of the servers.
#[derive(Clone)]
struct Client {
    channel: Channel,
    targets: PathBuf,
}

impl Client {
    async fn connect(socket: PathBuf, targets: &Path) -> Self {
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://csi.sock").connect_with_connector(connector).await;
        Self { channel: channel.expect("a server answers"), targets: targets.to_owned() }
    }

    async fn call(&self, call: Call, number: u64) {
        match call {
            Call::Probe => drop(IdentityClient::new(self.channel.clone()).probe(ProbeRequest {}).await.expect("Probe")),
            Call::NodeGetInfo => {
                let mut node = NodeClient::new(self.channel.clone());
                drop(node.node_get_info(NodeGetInfoRequest {}).await.expect("NodeGetInfo"));
            }
            Call::CreateStatic => self.create(existing_filesystem(number)).await,
            Call::CreateExisting => self.create(new_filesystem(number)).await,
            Call::PublishUnpublish => self.publish_and_unpublish(number).await,
        }
    }

    async fn create(&self, request: CreateVolumeRequest) {
        let mut controller = ControllerClient::new(self.channel.clone());
        drop(controller.create_volume(request).await.expect("CreateVolume"));
    }

    async fn publish_and_unpublish(&self, number: u64) {
        let (volume_id, target) = (format!("bench-{number}"), self.targets.join(number.to_string()));
        let target_path = target.display().to_string();
        let mut node = NodeClient::new(self.channel.clone());
        let publish = NodePublishVolumeRequest {
            volume_id: volume_id.clone(),
            target_path: target_path.clone(),
            volume_capability: Some(capability()),
            volume_context: [("mgs-ip-address".to_owned(), "10.0.0.4".to_owned())].into(),
            ..NodePublishVolumeRequest::default()
        };
        drop(node.node_publish_volume(publish).await.expect("NodePublishVolume"));
        let unpublish = NodeUnpublishVolumeRequest { volume_id, target_path };
        drop(node.node_unpublish_volume(unpublish).await.expect("NodeUnpublishVolume"));
    }
}

fn capability() -> VolumeCapability {
    VolumeCapability {
        access_mode: Some(AccessMode { mode: Mode::MultiNodeMultiWriter.into() }),
        access_type: Some(AccessType::Mount(MountVolume::default())),
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
                client.call(call, number).await;
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
    let sockets = [("floor", servers::floor(folder.path())), ("driver", servers::driver(folder.path()))];
    for (name, call) in CALLS {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        let clients = sockets.each_ref().map(|(server, socket)| {
            let client = runtime.block_on(Client::connect(socket.clone(), folder.path()));
            (0..LANES).for_each(|number| runtime.block_on(client.call(call, number)));
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
