//! `doctor node` beside a running driver: the driver's operations in progress and faults, and a note where no driver answers.
#![cfg(all(feature = "server", feature = "kernel"))]
#![allow(clippy::unwrap_used, clippy::panic)] // a failed step fails the test

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::node_status::{NodeStatus, NodeStatusServer};
use azurelustre_csi::ports::operations::{Operation, OperationKind, Operations};
use serde_json::Value;
use tokio_stream::wrappers::UnixListenerStream;

const BINARY: &str = env!("CARGO_BIN_EXE_azurelustre-csi");

/// What a driver is doing.
#[derive(Debug)]
struct InProgress(Vec<Operation>);

impl Operations for InProgress {
    fn in_progress(&self) -> Vec<Operation> {
        self.0.clone()
    }
}

/// Serves the status alone while the test runs.
fn serve(socket: &Path, operations: Vec<Operation>) {
    let listener = UnixListenerStream::new(tokio::net::UnixListener::bind(socket).unwrap());
    let service = NodeStatusServer::new(NodeStatus::new(Some(Arc::new(InProgress(operations))), None));
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(listener));
}

fn endpoint(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

fn doctor_at(socket: &Path, output: &str) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.env_clear().args(["doctor", "node", "-o", output, "--endpoint", &endpoint(socket)]);
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

async fn doctor(socket: &Path, output: &'static str) -> (Option<i32>, String) {
    let socket = socket.to_owned();
    tokio::task::spawn_blocking(move || doctor_at(&socket, output)).await.unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[tokio::test]
async fn operations_in_progress_are_shown_and_overdue_ones_are_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("csi.sock");
    let operation = |subject: &str, overdue| Operation {
        kind: OperationKind::Mount,
        subject: subject.to_owned(),
        volume_id: Some("pvc-1#lustrefs#10.0.0.4##t#team".to_owned()),
        mgs: Some("10.0.0.4@tcp".to_owned()),
        age: Duration::from_secs(150),
        overdue,
    };
    serve(&socket, vec![operation("/target-1", true), operation("/target-2", false)]);
    let (code, text) = doctor(&socket, "json").await;
    let report = json(&text);
    assert_eq!((code, &report["healthy"]), (Some(1), &Value::Bool(false)));
    assert_eq!(report["operations"][0]["subject"], "/target-1");
    assert_eq!(report["operations"][0]["age_seconds"], 150);
    assert_eq!(report["operations"][1]["overdue"], false);
    let named = "1 operations are past their limit (mount of /target-1 on MGS 10.0.0.4@tcp for 2m30s)";
    assert!(texts(&report["reasons"]).iter().any(|reason| reason.starts_with(named)), "{text}");
    let (_, text) = doctor(&socket, "text").await;
    let lines = "operations in progress: 2\n  - mount of /target-1, id pvc-1#lustrefs#10.0.0.4##t#team, MGS 10.0.0.4@tcp, \
                 for 2m30s, past its limit\n  - mount of /target-2";
    assert!(text.contains(lines), "{text}");
}

#[tokio::test]
async fn a_driver_that_does_not_answer_is_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let (absent, silent) = (folder.path().join("absent.sock"), folder.path().join("silent.sock"));
    let _listener = std::os::unix::net::UnixListener::bind(&silent).unwrap();
    for (socket, why) in [(absent, "No such file or directory"), (silent, "no answer within 2s")] {
        let (_, text) = doctor(&socket, "json").await;
        let report = json(&text);
        assert_eq!(report["operations"], Value::Null);
        let note =
            format!("operations in progress are unknown: the driver at {} gives no status ({why}", endpoint(&socket));
        assert!(texts(&report["notes"]).iter().any(|text| text.starts_with(&note)), "{note} in {text}");
    }
}

/// A driver that really serves, and its log up to then. Dropping it kills the process.
struct Driver(Child, String);

impl Driver {
    fn serve(socket: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.env_clear().args(["serve", "--endpoint", &endpoint(socket)]).args(arguments);
        let mut driver = Self(command.stderr(Stdio::piped()).spawn().unwrap(), String::new());
        let mut lines = BufReader::new(driver.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        for line in lines.by_ref() {
            driver.1.push_str(&line);
            driver.1.push('\n');
            if line.contains("serving") {
                std::thread::spawn(move || lines.for_each(drop));
                return driver;
            }
        }
        panic!("it ended before it served: {}", driver.1);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(BINARY).env_clear().args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_driver_serves_its_status_where_it_serves_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, work) = (folder.path().join("csi.sock"), folder.path().join("work"));
    let work = work.to_str().unwrap();
    let node = ["--mode=node", "--nodeid=n", "--mount-fs-type=tmpfs", "--working-mount-dir", work];
    let driver = Driver::serve(&socket, &node);
    assert!(!driver.1.contains("ERROR"), "{}", driver.1);
    assert_eq!(json(&doctor_at(&socket, "json").1)["operations"], Value::Array(Vec::new()));
    let (code, stdout, stderr) = run(&["probe", "--endpoint", &endpoint(&socket)]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "ready\n", ""));
}

#[test]
fn a_working_directory_that_cannot_be_used_is_reported_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, work) = (folder.path().join("csi.sock"), folder.path().join("file"));
    std::fs::write(&work, "not a directory").unwrap();
    let work = work.to_str().unwrap();
    let fault = format!("--working-mount-dir: {work} cannot be used for private mounts: ");
    let hint = "mount an emptyDir there";
    let node = ["--mode=node", "--nodeid=n", "--mount-fs-type=tmpfs", "--working-mount-dir", work];
    let driver = Driver::serve(&socket, &node);
    let line = driver.1.lines().find(|line| line.contains(&fault)).unwrap_or_else(|| panic!("{}", driver.1));
    assert!(line.contains("ERROR") && line.contains(hint), "{line}");
    let (code, stdout, stderr) = run(&["probe", "--endpoint", &endpoint(&socket)]);
    assert_eq!((code, stdout.as_str()), (Some(0), "ready\n"));
    assert!(stderr.starts_with(&format!("warning: {fault}")) && stderr.contains(&format!("hint: {hint}")), "{stderr}");
    let (code, text) = doctor_at(&socket, "text");
    assert!(code == Some(1) && text.contains(&fault) && text.contains(hint), "{text}");
    drop(driver);
    let (code, stdout, stderr) = run(&[&["check-config"] as &[_], &node].concat());
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.starts_with(&format!("error: {fault}")) && stderr.contains(&format!("hint: {hint}")), "{stderr}");
    let without = ["doctor", "node", "--endpoint", &endpoint(&socket), "--working-mount-dir", work];
    let (code, stdout, _) = run(&without);
    assert!(code == Some(1) && stdout.contains(&fault), "without a driver it is checked from here: {stdout}");
}
