//! The driver as a process: it serves, keeps its socket private, and ends in order; the demo leaves nothing behind.
#![cfg(all(feature = "server", feature = "simulator"))]
#![allow(clippy::unwrap_used)] // a test that cannot go on fails by panicking

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use azurelustre_csi::adapters::csi::proto::controller_client::ControllerClient;
use azurelustre_csi::adapters::csi::proto::identity_client::IdentityClient;
use azurelustre_csi::adapters::csi::proto::node_client::NodeClient;
use azurelustre_csi::adapters::csi::proto::{
    ControllerGetCapabilitiesRequest, GetPluginCapabilitiesRequest, NodeGetInfoRequest, ProbeRequest,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tonic::Code;
use tonic::transport::Endpoint;

const BINARY: &str = env!("CARGO_BIN_EXE_azurelustre-csi");

/// A served driver. Dropping it kills the process.
struct Driver(Child);

impl Driver {
    /// Starts the driver at this socket, and waits until its log says that it serves.
    fn serve(socket: &Path, work: &Path) -> Self {
        Self::serve_as("all", socket, work)
    }

    fn serve_as(mode: &str, socket: &Path, work: &Path) -> Self {
        let mut command = Command::new(BINARY);
        command.env_clear().args(["serve", "--nodeid", "node-1", "--cloud", "simulator", "--mounter", "simulator"]);
        command.args(["--mode", mode]);
        command.arg("--endpoint").arg(format!("unix://{}", socket.display()));
        command.arg("--working-mount-dir").arg(work);
        let mut driver = Self(command.stderr(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(driver.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("serving")), "it ended before it served");
        // The rest of the log is read, so that the process never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        driver
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.collect()
}

#[test]
fn sigterm_ends_it_well_and_leaves_no_socket_and_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, work) = (folder.path().join("new/csi.sock"), folder.path().join("work"));
    let mut driver = Driver::serve(&socket, &work);
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // A client that is connected keeps the socket until it has left.
    let client = UnixStream::connect(&socket).unwrap();
    driver.signal(Signal::SIGTERM);
    assert!(UnixStream::connect(&socket).is_ok());
    drop(client);
    assert_eq!(driver.0.wait().unwrap().code(), Some(0));
    assert!(!socket.exists());
    assert_eq!(entries(&work), Vec::<String>::new());
}

#[test]
fn a_killed_process_is_succeeded_and_a_living_one_is_not_robbed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("csi.sock");
    let mut killed = Driver::serve(&socket, folder.path());
    killed.signal(Signal::SIGKILL);
    killed.0.wait().unwrap();
    assert!(socket.exists(), "a killed process leaves its socket");
    let _living = Driver::serve(&socket, folder.path());
    let arguments = ["--nodeid=n", "--cloud=simulator", "--mounter=simulator"];
    let second =
        Command::new(BINARY).args(arguments).arg(format!("--endpoint=unix://{}", socket.display())).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains("is in use by process") && told.contains("hint:"), "{told}");
    assert!(UnixStream::connect(&socket).is_ok(), "the living one still answers");
}

#[tokio::test]
async fn a_mode_serves_its_services_and_identity_only() {
    for (mode, controller, node) in [
        ("controller", Code::Ok, Code::Unimplemented),
        ("node", Code::Unimplemented, Code::Ok),
        ("all", Code::Ok, Code::Ok),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("csi.sock");
        let _driver = Driver::serve_as(mode, &socket, folder.path());
        let channel = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap().connect().await.unwrap();
        let mut identity = IdentityClient::new(channel.clone());
        assert_eq!(identity.probe(ProbeRequest {}).await.unwrap().into_inner().ready, Some(true), "{mode}");
        let claimed = identity.get_plugin_capabilities(GetPluginCapabilitiesRequest {}).await.unwrap().into_inner();
        assert_eq!(!claimed.capabilities.is_empty(), controller == Code::Ok, "{mode}");
        let asked = ControllerClient::new(channel.clone())
            .controller_get_capabilities(ControllerGetCapabilitiesRequest {})
            .await;
        assert_eq!(asked.map_or_else(|status| status.code(), |_| Code::Ok), controller, "{mode}");
        let asked = NodeClient::new(channel).node_get_info(NodeGetInfoRequest {}).await;
        assert_eq!(asked.map_or_else(|status| status.code(), |_| Code::Ok), node, "{mode}");
    }
}

fn demo(arguments: &[&str]) -> (Option<i32>, String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.env_clear().env("TMPDIR", folder.path()).arg("demo").args(arguments);
    let output = command.output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), told, entries(folder.path()))
}

#[test]
fn the_demo_holds_and_leaves_nothing() {
    for arguments in [&[][..], &["--static"], &["--simulator-speed", "100000"]] {
        let (code, told, left) = demo(arguments);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("Every step held, and nothing is left") && !told.contains('\u{1b}'), "{told}");
        assert_eq!(left, Vec::<String>::new(), "{arguments:?}");
    }
}

#[test]
fn a_demo_that_does_not_hold_says_why_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("class.yaml");
    let text = "kind: StorageClass\nmetadata: {name: azurelustre-dynprov}\nprovisioner: azurelustre.csi.azure.com\nparameters: {sku-nam: x}\n";
    std::fs::write(&class, text).unwrap();
    let (code, told, left) = demo(&["--storage-class", &class.display().to_string()]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("error: CreateVolume: InvalidArgument") && told.contains("did you mean sku-name?"), "{told}");
    assert_eq!(left, Vec::<String>::new());
    let (code, told, _) = demo(&["--claim", "/does/not/exist"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("error:") && told.contains("hint:"), "{told}");
}

#[test]
fn a_demo_that_is_interrupted_cleans_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.env_clear().env("TMPDIR", folder.path()).args(["demo", "--simulator-speed", "1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("CreateVolume")));
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(entries(folder.path()), Vec::<String>::new());
}
