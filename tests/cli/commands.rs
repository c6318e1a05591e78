//! `skus`, `probe`, `doctor` and `check-objects`.

use std::process::Command;

use super::{run, write};

#[cfg(feature = "simulator")]
#[test]
fn skus_are_printed_as_a_table_or_as_json() {
    let table = run(&["skus", "--cloud=simulator", "--location", "East US"]);
    assert_eq!((table.code, table.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert_eq!(lines[0], "NAME                       MB/S PER TIB  INCREMENT  MAXIMUM  ZONES");
    assert_eq!(lines[3], "AMLFS-Durable-Premium-40   40            48 TiB     768 TiB  1,2,3");
    let json = run(&["skus", "--cloud=simulator", "-L=westus", "-o", "json"]);
    let entries: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(entries.as_array().map(Vec::len), Some(4), "{}", json.stdout);
    assert_eq!(entries[3]["incrementTiB"], 4);
    assert_eq!(entries[3]["zones"], serde_json::json!([]));
    let nowhere = run(&["skus", "--cloud=simulator", "--location=eastsu"]);
    assert_eq!((nowhere.code, nowhere.stdout.as_str()), (Some(1), ""));
    assert!(nowhere.stderr.contains("no AMLFS SKU is offered in eastsu"), "{}", nowhere.stderr);
    for (arguments, expected) in [
        (&["skus", "--cloud=simulator", "--location=a/b"] as &[_], "--location: "),
        (&["skus", "--cloud=simulator", "--output=yaml"], "neither table nor json"),
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("hint: "), "{}", ran.stderr);
    }
}

#[test]
fn probe_fails_where_no_driver_listens() {
    let directory = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}/csi.sock", directory.path().display());
    let ran = run(&["probe", "--endpoint", &socket]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.starts_with(&format!("error: {socket}: ")) && ran.stderr.contains("hint: "), "{}", ran.stderr);
    for (arguments, expected) in
        [(&["probe", "--endpoint=x"] as &[_], "--endpoint: "), (&["probe", "--timeout=0"], "--timeout: ")]
    {
        let ran = run(arguments);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("hint: "), "{}", ran.stderr);
    }
}

/// Works on any machine: for one without Lustre the report says what it lacks.
#[cfg(feature = "kernel")]
#[test]
fn doctor_reports_what_a_node_lacks() {
    let text = run(&["doctor", "node"]);
    let json = run(&["doctor", "node", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let healthy = report["healthy"].as_bool().unwrap();
    assert_eq!((text.code, json.code), if healthy { (Some(0), Some(0)) } else { (Some(1), Some(1)) });
    assert_eq!((text.stderr.as_str(), json.stderr.as_str()), ("", ""));
    let reasons = report["reasons"].as_array().unwrap();
    assert_eq!(reasons.is_empty(), healthy, "{}", json.stdout);
    for reason in reasons {
        assert!(text.stdout.contains(reason.as_str().unwrap()), "{reason} in {}", text.stdout);
    }
    for arguments in [
        &["doctor"] as &[_],
        &["doctor", "cluster"],
        &["doctor", "node", "-o", "yaml"],
        &["doctor", "node", "--mgs=a b"],
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
    }
}

/// `install-driver.sh` pipes what `kubectl get -o json` prints into it; people name files.
#[test]
fn check_objects_takes_files_and_standard_input() {
    let class = r#"{"kind": "List", "items": [{"kind": "StorageClass", "metadata": {"name": "c"},
        "provisioner": "azurelustre.csi.azure.com", "parameters": {"mgs-ip-address": "10.0.0.4"}}]}"#;
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "class.json", class);
    let ran = run(&["check-objects", &file]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "1 objects checked, none would be refused\n"),
        "{}",
        ran.stderr
    );
    let output = Command::new(env!("CARGO_BIN_EXE_azurelustre-csi"))
        .args(["check-objects", "-"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1 objects checked, none would be refused\n");
}
