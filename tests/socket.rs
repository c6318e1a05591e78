//! The socket file and the end of the server, on real sockets.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on fails by panicking

use std::convert::Infallible;
use std::future::Future;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use azurelustre_csi::adapters::csi::client::CsiClient;
use azurelustre_csi::app::server::{Bound, ServerError, serve};
use azurelustre_csi::app::settings::Endpoint;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Answers every call with `UNIMPLEMENTED`, once it is let through.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

impl NamedService for Gate {
    const NAME: &'static str = "gate";
}

impl tower::Service<http::Request<Body>> for Gate {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        let gate = Arc::clone(&self.0);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(Status::unimplemented("passed").into_http())
        })
    }
}

/// A server under test: how to let calls through and how to stop it.
struct Running {
    gate: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    fn start(bound: Bound, drain: Duration) -> Self {
        Self::start_with(bound, TaskTracker::new(), drain)
    }

    fn start_with(bound: Bound, tasks: TaskTracker, drain: Duration) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let (stop, stopped) = oneshot::channel();
        let routes = Routes::new(Gate(Arc::clone(&gate)));
        let server = tokio::spawn(serve(bound, routes, tasks, async { drop(stopped.await) }, drain));
        Self { gate, stop, server }
    }

    async fn ended_within(server: JoinHandle<Result<(), ServerError>>, limit: Duration) {
        tokio::time::timeout(limit, server).await.expect("the server ends in time").unwrap().unwrap();
    }
}

fn endpoint(path: &Path) -> Endpoint {
    Endpoint::parse(&format!("unix://{}", path.display())).unwrap()
}

async fn bind(path: &Path) -> Result<Bound, ServerError> {
    Bound::bind(&endpoint(path)).await
}

async fn channel(path: PathBuf) -> Channel {
    CsiClient::unix(&path).await.unwrap().channel()
}

fn call(channel: Channel) -> JoinHandle<Status> {
    tokio::spawn(async move {
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        client.unary(tonic::Request::new(()), "/gate/Pass".parse().unwrap(), codec).await.unwrap_err()
    })
}

const SOON: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn the_socket_is_private_and_its_directory_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plugins/driver/csi.sock");
    let bound = bind(&path).await.unwrap();
    let metadata = std::fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(bound.address(), format!("unix://{}", path.display()));
    drop(bound);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_that_a_killed_process_left_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("csi.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the left one is there");
    let bound = bind(&path).await.unwrap();
    UnixStream::connect(&path).await.unwrap();
    drop(bound);
}

#[tokio::test]
async fn a_living_one_is_refused_and_its_process_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("csi.sock");
    let living = UnixListener::bind(&path).unwrap();
    let error = bind(&path).await.unwrap_err();
    let expected = format!("{} is in use by process {}", path.display(), std::process::id());
    assert!(error.to_string().starts_with(&expected), "{error}");
    UnixStream::connect(&path).await.expect("the living one was left alone");
    drop(living);
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    std::fs::write(&file, "precious").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link, &directory.path().to_owned()] {
        assert!(matches!(bind(path).await, Err(ServerError::NotASocket { .. })), "{path:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[tokio::test]
async fn the_longest_path_that_the_kernel_takes_works() {
    let directory = tempfile::tempdir().unwrap();
    let room = 107 - directory.path().as_os_str().len() - 1;
    let path = directory.path().join("s".repeat(room));
    drop(bind(&path).await.unwrap());
    let longer = format!("unix://{}s", path.display());
    assert!(Endpoint::parse(&longer).unwrap_err().message.contains("108 bytes"));
}

#[tokio::test]
async fn another_processes_socket_of_the_same_name_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("csi.sock");
    let bound = bind(&path).await.unwrap();
    // Renamed, not made in place: the inode of a removed file may be used again.
    let successor = UnixListener::bind(directory.path().join("new")).unwrap();
    std::fs::rename(directory.path().join("new"), &path).unwrap();
    drop(bound);
    UnixStream::connect(&path).await.expect("the successor's socket is there");
    drop(successor);
}

/// csi-provisioner exits at once when its connection is lost: nothing is closed, and new connections are served, until the
/// clients have left by themselves.
#[tokio::test]
async fn connections_stay_open_until_their_clients_have_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("csi.sock");
    let Running { gate, stop, server } = Running::start(bind(&path).await.unwrap(), LONG);
    let client = channel(path.clone()).await;
    gate.add_permits(1);
    assert_eq!(call(client.clone()).await.unwrap().code(), Code::Unimplemented);
    stop.send(()).unwrap();
    gate.add_permits(2);
    assert_eq!(call(client.clone()).await.unwrap().code(), Code::Unimplemented, "the same connection serves on");
    assert_eq!(call(channel(path.clone()).await).await.unwrap().code(), Code::Unimplemented, "a new one too");
    assert!(!server.is_finished() && path.exists());
    drop(client);
    Running::ended_within(server, SOON).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_call_that_hangs_is_cut_when_the_time_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("csi.sock");
    let Running { gate: _shut, stop, server } = Running::start(bind(&path).await.unwrap(), Duration::from_millis(300));
    let _call = call(channel(path.clone()).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.send(()).unwrap();
    let began = Instant::now();
    Running::ended_within(server, SOON).await;
    assert!(began.elapsed() >= Duration::from_millis(250), "the call had its time");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_client_that_stays_holds_the_end_for_the_whole_time_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("csi.sock");
    let drain = Duration::from_millis(300);
    let Running { gate, stop, server } = Running::start(bind(&path).await.unwrap(), drain);
    let silent = UnixStream::connect(&path).await.unwrap();
    // Accepted for certain once another client, which came later, has been served.
    let served = channel(path.clone()).await;
    gate.add_permits(1);
    assert_eq!(call(served).await.unwrap().code(), Code::Unimplemented);
    stop.send(()).unwrap();
    let began = Instant::now();
    Running::ended_within(server, SOON).await;
    assert!(began.elapsed() >= drain, "{:?}", began.elapsed());
    drop(silent);
}

#[tokio::test]
async fn tcp_serves_too() {
    let bound = Bound::bind(&Endpoint::parse("tcp://127.0.0.1:0").unwrap()).await.unwrap();
    let address = bound.address().trim_start_matches("tcp://").to_owned();
    let Running { stop, server, .. } = Running::start(bound, LONG);
    drop(TcpStream::connect(&address).await.unwrap());
    stop.send(()).unwrap();
    Running::ended_within(server, SOON).await;
    assert!(TcpStream::connect(&address).await.is_err());
}

#[tokio::test]
async fn work_that_continues_without_its_caller_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("csi.sock");
    let tasks = TaskTracker::new();
    let bound = Bound::bind(&endpoint(&path)).await.unwrap();
    let running = Running::start_with(bound, tasks.clone(), LONG);
    let gate = Arc::clone(&running.gate);
    let (finished, mut result) = oneshot::channel();
    tasks.spawn(async move {
        drop(gate.acquire().await);
        finished.send("finished").unwrap();
    });
    running.stop.send(()).unwrap();
    // The server closes the tracker once no call is in progress: from then on it waits for this task alone.
    while !tasks.is_closed() {
        tokio::task::yield_now().await;
    }
    assert!(result.try_recv().is_err() && !running.server.is_finished());
    running.gate.add_permits(1);
    Running::ended_within(running.server, LONG).await;
    assert_eq!(result.await.unwrap(), "finished");
}
