//! The driver as a process: it serves, keeps its socket private, and ends in order; the demo leaves nothing behind.
#![cfg(all(feature = "server", feature = "simulator"))]
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on fails by panicking

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use azurelustre_csi::adapters::csi::proto::controller_client::ControllerClient;
use azurelustre_csi::adapters::csi::proto::identity_client::IdentityClient;
use azurelustre_csi::adapters::csi::proto::node_client::NodeClient;
use azurelustre_csi::adapters::csi::proto::volume_capability::access_mode::Mode;
use azurelustre_csi::adapters::csi::proto::volume_capability::{AccessMode, AccessType, MountVolume};
use azurelustre_csi::adapters::csi::proto::{
    ControllerGetCapabilitiesRequest, CreateVolumeRequest, DeleteVolumeRequest, GetPluginCapabilitiesRequest,
    NodeGetInfoRequest, NodePublishVolumeRequest, NodeUnpublishVolumeRequest, ProbeRequest, VolumeCapability,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

const BINARY: &str = env!("CARGO_BIN_EXE_azurelustre-csi");

/// A served driver, and who reads its log. Dropping it kills the process.
struct Driver(Child, Option<JoinHandle<String>>);

impl Driver {
    /// Starts the driver at this socket, and waits until its log says that it serves.
    fn serve(socket: &Path, work: &Path) -> Self {
        Self::serve_as("all", socket, work)
    }

    fn serve_as(mode: &str, socket: &Path, work: &Path) -> Self {
        let simulated =
            ["serve", "--nodeid", "node-1", "--cloud", "simulator", "--mounter", "simulator", "--mode", mode];
        Self::start(&simulated, socket, work).0
    }

    /// Starts the driver with these arguments; returns it with its log up to the line that says that it serves.
    fn start(arguments: &[&str], socket: &Path, work: &Path) -> (Self, String) {
        let mut command = Command::new(BINARY);
        command.env_clear().args(arguments);
        command.arg("--endpoint").arg(format!("unix://{}", socket.display()));
        command.arg("--working-mount-dir").arg(work);
        let mut driver = Self(command.stderr(Stdio::piped()).spawn().unwrap(), None);
        let mut lines = BufReader::new(driver.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut log = String::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended before it served:\n{log}"));
            let serving = line.contains("serving") && line.contains("csi.sock");
            log.extend([line.as_str(), "\n"]);
            if serving {
                break;
            }
        }
        // The rest of the log is read, so that the process never waits for us.
        driver.1 = Some(std::thread::spawn(move || lines.flat_map(|line| [line, "\n".to_owned()]).collect()));
        (driver, log)
    }

    /// Stops the driver in order; returns what it logged since it served.
    fn stop(mut self) -> String {
        self.signal(Signal::SIGTERM);
        self.0.wait().unwrap();
        self.1.take().unwrap().join().unwrap()
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
    let reported = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(reported.contains("is in use by process") && reported.contains("hint:"), "{reported}");
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
        let channel = connect(&socket).await;
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

async fn connect(socket: &Path) -> Channel {
    Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap().connect().await.unwrap()
}

fn creation(parameters: &[(&str, &str)]) -> CreateVolumeRequest {
    let capability = VolumeCapability {
        access_mode: Some(AccessMode { mode: Mode::MultiNodeMultiWriter.into() }),
        access_type: Some(AccessType::Mount(MountVolume::default())),
    };
    CreateVolumeRequest {
        name: "pvc-1".to_owned(),
        volume_capabilities: vec![capability],
        parameters: parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..CreateVolumeRequest::default()
    }
}

const DYNAMIC: [(&str, &str); 3] = [
    ("sku-name", "AMLFS-Durable-Premium-125"),
    ("maintenance-day-of-week", "Sunday"),
    ("maintenance-time-of-day-utc", "22:00"),
];

/// The Go driver's node on a cluster with static volumes only, its controller, and the modes of our own.
#[cfg(all(feature = "arm", feature = "kernel"))]
#[tokio::test]
async fn without_cloud_settings_static_volumes_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let incomplete = folder.path().join("azure.json");
    std::fs::write(&incomplete, r#"{"location": "eastus", "aadClientSecret": "geheim"}"#).unwrap();
    let incomplete = format!("--cloud-config={}", incomplete.display());
    let absent = "--cloud-config=/nowhere/azure.json";
    for (arguments, file, missing) in [
        (&["-v=5", "--nodeid=n", "--enable-azurelustre-mock-mount=false"] as &[&str], absent, "`subscriptionId`"),
        (&["-v=5", "--enable-azurelustre-mock-dyn-prov=false"], absent, "`subscriptionId`"),
        (&["--mode=controller"], &incomplete, "`tenantId`"),
        (&["--mode=all", "--nodeid=n"], &incomplete, "`aadClientId`"),
    ] {
        let socket = folder.path().join("csi.sock");
        let (driver, log) = Driver::start(&[arguments, &[file]].concat(), &socket, folder.path());
        assert!(log.contains("only static volumes are served") && log.contains(missing), "{log}");
        assert!(!log.contains("geheim"), "{log}");
        let mut controller = ControllerClient::new(connect(&socket).await);
        let volume = controller.create_volume(creation(&[("mgs-ip-address", "10.0.0.4")])).await.unwrap().into_inner();
        assert_eq!(volume.volume.unwrap().volume_id, "pvc-1#lustrefs#10.0.0.4##f#");
        for parameters in [&DYNAMIC[..], &[("sku-nam", "x")]] {
            let refused = controller.create_volume(creation(parameters)).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
            let path = file.strip_prefix("--cloud-config=").unwrap();
            assert!(refused.message().contains(missing) && refused.message().contains(path), "{refused:?}");
        }
        let delete = |id: &str| DeleteVolumeRequest { volume_id: id.to_owned(), ..DeleteVolumeRequest::default() };
        let refused = controller.delete_volume(delete("pvc-1#lustrefs#10.0.0.4##t#rg")).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains(missing), "{refused:?}");
        controller.delete_volume(delete("pvc-1#lustrefs#10.0.0.4##f#")).await.unwrap();
        let refused = controller.delete_volume(delete("pvc-1#lustrefs#10.0.0.4##t#")).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        drop(driver);
    }
}

#[cfg(feature = "arm")]
#[tokio::test]
async fn the_go_drivers_controller_refuses_the_calls_of_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("csi.sock");
    let azure = concat!("--cloud-config=", env!("CARGO_MANIFEST_DIR"), "/tests/data/azure.json");
    let arguments = ["-v=5", "--enable-azurelustre-mock-dyn-prov=false", azure];
    let (_driver, log) = Driver::start(&arguments, &socket, folder.path());
    assert!(log.contains("neither --mode nor --nodeid is given"), "{log}");
    assert!(log.contains("cloud settings: ") && log.contains("credentials managed identity"), "{log}");
    assert!(log.contains("location eastus (`location` in "), "{log}");
    let channel = connect(&socket).await;
    let mut identity = IdentityClient::new(channel.clone());
    assert_eq!(identity.probe(ProbeRequest {}).await.unwrap().into_inner().ready, Some(true));
    let claimed = identity.get_plugin_capabilities(GetPluginCapabilitiesRequest {}).await.unwrap().into_inner();
    assert!(!claimed.capabilities.is_empty());
    let mut node = NodeClient::new(channel);
    let info = node.node_get_info(NodeGetInfoRequest {}).await.unwrap_err();
    let unpublish = NodeUnpublishVolumeRequest { volume_id: "v".to_owned(), target_path: "/t".to_owned() };
    let unpublished = node.node_unpublish_volume(unpublish).await.unwrap_err();
    let publish =
        NodePublishVolumeRequest { volume_id: "v".to_owned(), target_path: "/t".to_owned(), ..Default::default() };
    let published = node.node_publish_volume(publish).await.unwrap_err();
    for refused in [info, unpublished, published] {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        assert!(refused.message().contains("--nodeid"), "{refused:?}");
    }
}

/// What a request holds that does not stop it is one line of the log.
#[tokio::test]
async fn what_is_passed_over_is_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, target) = (folder.path().join("csi.sock"), folder.path().join("target"));
    let arguments = [
        "--nodeid=n",
        "--cloud=simulator",
        "--mounter=simulator",
        "--unknown-volume-attributes=warn",
        "--log-level=debug",
    ];
    let (driver, _) = Driver::start(&arguments, &socket, folder.path());
    let channel = connect(&socket).await;
    let class = [("mgs-ip-address", "10.0.0.4"), ("fs-name", "lustreAKS"), ("csi.storage.k8s.io/foo", "bar")];
    ControllerClient::new(channel.clone()).create_volume(creation(&class)).await.unwrap();
    let attributes = [("mgs-ip-address", "10.0.0.4"), ("fs-name", "lustreAKS"), ("subdir", "a"), ("team", "b")];
    let publish = |attributes: &[(&str, &str)]| NodePublishVolumeRequest {
        volume_id: "static-volume".to_owned(),
        target_path: target.display().to_string(),
        volume_capability: creation(&[]).volume_capabilities.pop(),
        volume_context: creation(attributes).parameters,
        ..Default::default()
    };
    let mut node = NodeClient::new(channel);
    node.node_publish_volume(publish(&attributes)).await.unwrap();
    let unpublish =
        NodeUnpublishVolumeRequest { volume_id: "static-volume".to_owned(), target_path: target.display().to_string() };
    node.node_unpublish_volume(unpublish).await.unwrap();
    let inline = [("mgs-ip-address", "10.0.0.4"), ("csi.storage.k8s.io/ephemeral", "true")];
    let refused = node.node_publish_volume(publish(&inline)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    drop(node);
    let log = driver.stop();
    let lines =
        |level: &str, part: &str| log.lines().filter(|line| line.contains(level) && line.contains(part)).count();
    assert_eq!(lines("WARN", "`lustreAKS` is not a Lustre file system name"), 2, "once a request: {log}");
    assert_eq!(lines("DEBUG", "`csi.storage.k8s.io/foo`"), 1, "{log}");
    assert_eq!(lines("WARN", "`subdir` is not an attribute of this driver; did you mean sub-dir?"), 1, "{log}");
    assert_eq!(lines("WARN", "`team` passed over"), 1, "{log}");
}

#[tokio::test]
async fn a_near_miss_is_refused_unless_the_setting_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("csi.sock");
    let _driver = Driver::serve(&socket, folder.path());
    let target = "/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pv-team-a/mount";
    let request = NodePublishVolumeRequest {
        volume_id: "static-volume".to_owned(),
        target_path: target.to_owned(),
        volume_capability: creation(&[]).volume_capabilities.pop(),
        volume_context: creation(&[("mgs-ip-address", "10.0.0.4"), ("subdir", "team-a")]).parameters,
        ..Default::default()
    };
    let refused = NodeClient::new(connect(&socket).await).node_publish_volume(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    for part in ["pv-team-a", "did you mean sub-dir?", "Retain"] {
        assert!(refused.message().contains(part), "{refused:?}");
    }
}

/// Only a file that cannot be parsed ends the process.
#[cfg(feature = "arm")]
#[test]
fn a_broken_cloud_settings_file_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("azure.json");
    for (text, expected) in
        [("{\"location\": ", "neither JSON nor YAML"), ("eyJsb2NhdGlvbiI6ICJlYXN0dXMifQ==", "decode it")]
    {
        std::fs::write(&broken, text).unwrap();
        let ended =
            Command::new(BINARY).env_clear().arg(format!("--cloud-config={}", broken.display())).output().unwrap();
        let reported = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{reported}");
        assert!(reported.contains(expected) && reported.matches("error: ").count() == 1, "{reported}");
    }
}

fn demo(arguments: &[&str]) -> (Option<i32>, String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.env_clear().env("TMPDIR", folder.path()).arg("demo").args(arguments);
    let output = command.output().unwrap();
    let reported = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), reported, entries(folder.path()))
}

#[test]
fn the_demo_holds_and_leaves_nothing() {
    for arguments in [&[][..], &["--static"], &["--simulator-speed", "100000"]] {
        let (code, reported, left) = demo(arguments);
        assert_eq!(code, Some(0), "{reported}");
        assert!(
            reported.contains("Every step held, and nothing is left") && !reported.contains('\u{1b}'),
            "{reported}"
        );
        assert!(reported.contains("@tcp:/lustrefs "), "{reported}");
        assert_eq!(left, Vec::<String>::new(), "{arguments:?}");
    }
}

#[test]
fn a_demo_that_does_not_hold_says_why_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("class.yaml");
    let text = "kind: StorageClass\nmetadata: {name: azurelustre-dynprov}\nprovisioner: azurelustre.csi.azure.com\nparameters: {sku-nam: x}\n";
    std::fs::write(&class, text).unwrap();
    let (code, reported, left) = demo(&["--storage-class", &class.display().to_string()]);
    assert_eq!(code, Some(1), "{reported}");
    assert!(
        reported.contains("error: CreateVolume: InvalidArgument") && reported.contains("did you mean sku-name?"),
        "{reported}"
    );
    assert_eq!(left, Vec::<String>::new());
    let class = class.display().to_string();
    // A class without fs-name and with fstype, and a Deployment, through the real server.
    let text = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: azurelustre-static}\nprovisioner: azurelustre.csi.azure.com\nparameters: {mgs-ip-address: 10.0.0.4, csi.storage.k8s.io/fstype: lustre, sub-dir: team-a}\n";
    std::fs::write(&class, text).unwrap();
    let (code, reported, left) = demo(&["--static", "--storage-class", &class]);
    assert_eq!(code, Some(0), "{reported}");
    assert!(reported.contains("10.0.0.4@tcp:/lustrefs/team-a "), "{reported}");
    assert_eq!(left, Vec::<String>::new());
    std::fs::write(&class, text.replace("mgs-ip-address: 10.0.0.4", "zone: 1")).unwrap();
    let (code, reported, _) = demo(&["--static", "--storage-class", &class]);
    assert_eq!(code, Some(2), "{reported}");
    assert!(reported.contains("quote it: \"1\""), "{reported}");
    let (code, reported, _) = demo(&["--claim", "/does/not/exist"]);
    assert_eq!(code, Some(2), "{reported}");
    assert!(reported.contains("error:") && reported.contains("hint:"), "{reported}");
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
