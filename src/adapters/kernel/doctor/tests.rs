//! Reports of nodes in all conditions, collected from trees of files and real connections.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::collect::collect_from;
use super::*;
use crate::adapters::kernel::client_state::MOUNTINFO;
use crate::adapters::kernel::client_state::lnet::NIS;
use crate::adapters::kernel::client_state::tests::{POINT, Tree, nis};
use crate::domain::mount_source::{MgsAddress, Nid};
use crate::ports::node_faults::NodeFault;
use crate::ports::operations::{Operation, OperationKind};

/// With a driver without operations in progress.
fn request() -> Request {
    Request {
        mountinfo: MOUNTINFO.into(),
        mgs: None,
        driver: Ok(DriverStatus::default()),
        node_setup: None,
        kubelet_dir: "/var/lib/kubelet".into(),
        working_dir: "/tmp".into(),
        driver_name: "azurelustre.csi.azure.com".to_owned(),
    }
}

/// Reachability with its detail.
type Reached = (Option<bool>, Option<&'static str>);
const REACHED: Reached = (Some(true), None);

/// The report of a tree of files 30 hours from now, with this result for the MGS of the tree; other addresses are unknown.
fn report(tree: &Tree, request: &Request, (reachable, detail): Reached) -> NodeReport {
    let check = |nids: &[Nid]| -> Vec<AddressReport> {
        let report = |nid: &Nid| match nid.to_string() {
            nid if nid == "10.99.0.1@tcp" => AddressReport { nid, reachable, detail: detail.map(str::to_owned) },
            nid => AddressReport { nid, reachable: None, detail: Some("not checked".to_owned()) },
        };
        nids.iter().map(report).collect()
    };
    collect_from(&tree.files(), request, SystemTime::now() + Duration::from_hours(30), check)
}

#[test]
fn a_healthy_node_is_reported_with_all_its_mounts() {
    let report = report(&Tree::mounted(), &request(), REACHED);
    assert!(report.healthy && report.reasons.is_empty() && report.notes.is_empty(), "{report:?}");
    assert_eq!((report.client.loaded, report.client.version.as_deref()), (Some(true), Some("2.17.57")));
    let [server] = report.servers.as_slice() else { panic!("two spellings are one server: {report:?}") };
    assert_eq!((server.mgs.as_str(), server.reachable, server.mounts.len()), ("10.99.0.1@tcp", Some(true), 2));
    let [mount, by_hand] = server.mounts.as_slice() else { panic!("{server:?}") };
    assert_eq!((mount.volume.as_deref(), mount.pod_uid.as_deref()), (Some("pvc-1"), Some("uid-1")));
    assert_eq!(mount.volume_id.as_deref(), Some("pvc-1#lustrefs#10.99.0.1##t#team"));
    assert!((3600 * 29..3600 * 31).contains(&mount.age_seconds.unwrap()), "{mount:?}");
    assert_eq!((by_hand.read_only, &by_hand.volume, by_hand.age_seconds), (true, &None, None));
    let text = report.to_string();
    for expected in [
        "healthy\nLustre client: module loaded, version 2.17.57, health healthy\n",
        "LNet: 10.99.0.2@tcp up\n",
        "mounts: 2\nMGS 10.99.0.1@tcp: reachable, 2 mounts\n",
        POINT,
        "10.99.0.1@tcp:/lustrefs rw, volume pvc-1, pod uid-1, id pvc-1#lustrefs#10.99.0.1##t#team, for 1d6h\n",
        "10.99.0.1@tcp0:/lustrefs/sub/dir ro\n",
        "connections: 3 of 3 well\n",
        "operations in progress: 0\n",
    ] {
        assert!(text.contains(expected), "{expected:?} in\n{text}");
    }
}

#[test]
fn the_last_node_setup_is_a_line_and_its_failure_a_note() {
    let setup = |ready, message: &str, warnings: &[&str]| SetupReport {
        ready,
        message: message.to_owned(),
        warnings: warnings.iter().map(|&warning| warning.to_owned()).collect(),
        age_seconds: 7200,
    };
    let reported = |setup| report(&Tree::mounted(), &Request { node_setup: Some(setup), ..request() }, REACHED);
    let ready = reported(setup(true, "ready: Lustre client 2.17.57", &["client 2.15.8 stays"]));
    assert!(ready.healthy && ready.to_string().contains("node-setup: ready: Lustre client 2.17.57, 2h0m ago\n"));
    assert_eq!(ready.notes, ["node-setup: client 2.15.8 stays"]);
    let failed = reported(setup(false, "cannot fetch: no route. Allow it.", &[]));
    assert!(failed.to_string().contains("node-setup: failed, see notes, 2h0m ago\n"), "{}", failed.to_string());
    assert_eq!(failed.notes, ["the last node-setup failed: cannot fetch: no route. Allow it."]);
}

#[test]
fn a_nid_whose_interface_is_up_is_healthy_although_lnet_reports_it_down() {
    let tree = Tree::mounted();
    tree.write(NIS, &nis("down"));
    tree.write("/sys/class/net/eth0/operstate", "up\n");
    tree.write("/proc/net/route", "eth0\t0000630A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
    tree.write("/proc/net/fib_trie", "Local:\n  |-- 10.99.0.2\n     /32 host LOCAL\n");
    let report = report(&tree, &request(), REACHED);
    assert!(report.healthy, "{report:?}");
    assert!(report.notes[0].contains("LNet reports 10.99.0.2@tcp as down"), "{:?}", report.notes);
    assert!(report.to_string().contains("LNet: 10.99.0.2@tcp up (LNet reports down)\n"), "{}", report.to_string());
}

#[test]
fn each_fault_makes_a_node_unhealthy_and_is_named() {
    let tree = Tree::mounted();
    tree.write(NIS, &nis("down"));
    tree.write("/sys/fs/lustre/health_check", "LBUG\n");
    tree.import("osc/lustrefs-OST0000-osc-ffff01", "DISCONN");
    let operation = |overdue| Operation {
        kind: OperationKind::Mount,
        subject: "/pods/uid-1\nx".to_owned(),
        volume_id: Some("pvc-1".to_owned()),
        mgs: Some("10.99.0.1@tcp".to_owned()),
        age: Duration::from_mins(5),
        overdue,
    };
    let driver = Ok(DriverStatus { operations: vec![operation(true), operation(false)], faults: Vec::new() });
    tree.write("/proc/12/comm", "azurelustre-csi\n");
    for (file, text) in [("comm", "mount\n"), ("stat", "30 (mount) I 1\n"), ("wchan", "mgc_process_config")] {
        tree.write(format!("/proc/12/task/30/{file}"), text);
    }
    let report = report(&tree, &Request { driver, ..request() }, (Some(false), Some("no answer")));
    assert!(!report.healthy);
    for (index, expected) in [
        "LBUG",
        "10.99.0.2@tcp is down",
        "MGS 10.99.0.1@tcp cannot be reached at TCP port 988 (10.99.0.1@tcp: no answer)",
        "lustrefs-OST0000-osc-ffff01 is DISCONN",
        "1 operations are past their limit (mount of /pods/uid-1\\nx on MGS 10.99.0.1@tcp for 5m0s)",
        "1 threads of the driver are blocked",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(report.reasons[index].contains(expected), "{expected} in {:?}", report.reasons);
    }
    assert_eq!(report.reasons.len(), 6);
    let text = report.to_string();
    assert!(text.starts_with("NOT healthy\n  - "), "{text}");
    assert!(text.contains("connections: 2 of 3 well\n  lustrefs-OST0000-osc-ffff01 DISCONN\n"), "{text}");
    let operations = "operations in progress: 2\n  - mount of /pods/uid-1\\nx, id pvc-1, MGS 10.99.0.1@tcp, for 5m0s, past its limit\n";
    assert!(text.contains(operations), "{text}");
    let threads =
        "blocked threads: 1\n  - thread 30 of the driver (process 12) is blocked in the kernel in mgc_process_config\n";
    assert!(text.contains(threads), "{text}");
}

#[test]
fn an_unknown_value_is_a_note_and_does_not_make_a_node_unhealthy() {
    let tree = Tree::mounted();
    std::fs::remove_dir_all(tree.files().path("/sys/kernel")).unwrap();
    tree.write("/sys/fs/lustre/osc/lustrefs-OST0000-osc-ffff01/uuid", "x\n");
    let driver = Err("no\nanswer".to_owned());
    let elsewhere = Request { mountinfo: "/proc/1/mountinfo".into(), driver, ..request() };
    let unseen = report(&tree, &elsewhere, REACHED);
    assert!(unseen.healthy, "{unseen:?}");
    for expected in [
        "LNet is unknown",
        "mounts of this node are unknown",
        "state of 1 connections is unknown",
        "operations in progress are unknown: no\\nanswer",
    ] {
        assert!(unseen.notes.iter().any(|note| note.contains(expected)), "{expected} in {:?}", unseen.notes);
    }
    let text = unseen.to_string();
    assert!(text.contains("LNet: unknown\nmounts: unknown\nconnections: 0 of 1 well\n"), "{text}");
    assert!(text.contains("\noperations in progress: unknown\n"), "{text}");
    std::fs::remove_dir_all(tree.files().path("/sys/fs/lustre/osc")).unwrap();
    let unsure = report(&tree, &request(), (None, Some("no thread")));
    assert!(unsure.healthy && unsure.servers[0].reachable.is_none(), "{unsure:?}");
    for expected in
        ["no connection can be seen", "whether MGS 10.99.0.1@tcp can be reached is unknown: 10.99.0.1@tcp: no thread"]
    {
        assert!(unsure.notes.iter().any(|note| note.contains(expected)), "{expected} in {:?}", unsure.notes);
    }
}

#[test]
fn one_reachable_failover_server_is_enough_and_unparsable_sources_are_shown() {
    let tree = Tree::client();
    tree.write(
        "/proc/self/mountinfo",
        "38 31 1:2 / /a rw - lustre 10.99.0.1@tcp:10.99.0.9@tcp:/lustrefs rw\n39 31 1:2 / /b rw - lustre no\\011source rw\n",
    );
    let report = report(&tree, &request(), REACHED);
    let names: Vec<_> = report.servers.iter().map(|server| (server.mgs.as_str(), server.reachable)).collect();
    assert_eq!(names, [("10.99.0.1@tcp:10.99.0.9@tcp", Some(true)), ("no\\tsource", None)]);
    assert!(report.healthy && report.notes.len() == 2, "{:?}", report.notes);
    assert!(report.notes[0].contains("not everywhere: 10.99.0.9@tcp: not checked"), "{:?}", report.notes);
}

#[test]
fn the_mgs_of_the_request_and_those_of_mounts_are_checked_once_each() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tree = Tree::client();
    let lines = "38 31 1:2 / /a rw - lustre 127.0.0.1@tcp:/lustrefs rw\n39 31 1:2 / /b rw - lustre 127.0.0.1@tcp:/lustrefs/b rw\n";
    tree.write("/proc/self/mountinfo", lines);
    let request = Request { mgs: Some(MgsAddress::parse("127.0.0.2").unwrap()), ..request() };
    let check = |nids: &[Nid]| {
        assert_eq!(nids.len(), 2, "{nids:?}");
        connectivity::check(nids, port, Duration::from_secs(5))
    };
    let report = collect_from(&tree.files(), &request, SystemTime::now(), check);
    let names: Vec<_> = report.servers.iter().map(|server| (server.mgs.as_str(), server.reachable)).collect();
    assert_eq!(names, [("127.0.0.1@tcp", Some(true)), ("127.0.0.2@tcp", Some(false))]);
    assert!(!report.healthy && report.reasons.len() == 1, "{report:?}");
}

#[test]
fn the_report_is_json_with_stable_names() {
    let report = report(&Tree::mounted(), &request(), REACHED);
    let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
    assert_eq!(json["healthy"], true);
    assert_eq!(json["client"]["version"], "2.17.57");
    assert_eq!(json["nids"][0]["status"], "up");
    assert_eq!(json["servers"][0]["mounts"][0]["volume"], "pvc-1");
    assert_eq!(json["servers"][0]["addresses"][0]["detail"], serde_json::Value::Null);
    assert_eq!(json["connections"][0]["kind"], "mgc");
}

#[test]
fn ages_are_short() {
    for (seconds, shown) in [(0, "0s"), (59, "59s"), (190, "3m10s"), (7500, "2h5m"), (1_047_600, "12d3h")] {
        assert_eq!(text::age(seconds), shown);
    }
}

/// On the machine of the test.
#[test]
fn this_machine_is_reported() {
    let report = collect(&request());
    assert!(!report.to_string().is_empty() && report.healthy == report.reasons.is_empty());
    let loaded = Path::new("/sys/module/lustre").exists();
    assert!(loaded || !report.healthy, "no Lustre here: {report}");
}

#[test]
fn faults_are_those_of_the_running_driver_or_are_checked_from_here() {
    let tree = Tree::mounted();
    let fault = NodeFault { message: "/x is not a shared mount".to_owned(), hint: "set it".to_owned() };
    let driver = Ok(DriverStatus { faults: vec![fault], ..DriverStatus::default() });
    let shown = report(&tree, &Request { driver, ..request() }, REACHED);
    assert_eq!((shown.healthy, shown.reasons), (false, vec!["/x is not a shared mount: set it".to_owned()]));
    let alone = |tree: &Tree| {
        let working_dir = tree.files().path("/proc/self/mountinfo");
        let driver = Err("no answer".to_owned());
        report(tree, &Request { driver, working_dir, ..request() }, REACHED).reasons
    };
    let found = alone(&tree);
    let [working_dir] = found.as_slice() else { panic!("{found:?}") };
    assert!(working_dir.contains("--working-mount-dir: ") && working_dir.contains("emptyDir"), "{working_dir}");
    tree.write(
        MOUNTINFO,
        "31 1 8:1 / / rw - ext4 /dev/sda1 rw\n32 31 8:1 / /var/lib/kubelet rw master:3 - ext4 s rw\n",
    );
    let found = alone(&tree);
    assert!(found[0].contains("/var/lib/kubelet is not a shared mount") && found.len() == 2, "{found:?}");
    assert!(found[0].contains("set `mountPropagation: Bidirectional` for /var/lib/kubelet"), "{found:?}");
}

#[test]
fn entries_in_an_unmounted_target_are_a_finding() {
    let tree = Tree::mounted();
    let volume = "/var/lib/kubelet/pods/uid-9/volumes/kubernetes.io~csi/pvc-9";
    tree.write(format!("{volume}/vol_data.json"), r#"{"driverName":"azurelustre.csi.azure.com"}"#);
    tree.write(format!("{volume}/mount/data"), "x");
    let reasons = report(&tree, &request(), REACHED).reasons;
    let [reason] = reasons.as_slice() else { panic!("{reasons:?}") };
    assert!(
        reason.contains(&format!("nothing is mounted on: {volume}/mount (1 entries): a pod wrote them")),
        "{reason}"
    );
}
