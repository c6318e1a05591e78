//! The binary on a fake root: programs from `PATH`, the result in files, exit codes, two processes at once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::node::{FakeNode, KERNEL, NEW, OLD};

/// Stub of modprobe: makes the module's directory in sysfs, or fails with the content of `stubs/<module>`.
const MODPROBE: &str = r#"#!/bin/sh
printf 'modprobe %s\n' "$*" >> "$ROOT/sys/log"
env | cut -d= -f1 | sort | tr '\n' ' ' > "$ROOT/sys/environment"
root=
[ "$1" = -d ] && { root=$2; shift 2; }
shift 4
[ -e "$ROOT/stubs/$1" ] && { cat "$ROOT/stubs/$1" >&2; exit 1; }
version=$(basename "$(dirname "$root")" | tr - _)
for module in "$1" $([ "$1" = lustre ] && echo ptlrpc obdclass libcfs); do
    mkdir -p "$ROOT/sys/module/$module/holders"
    echo "$version" > "$ROOT/sys/module/$module/version"
    echo 0 > "$ROOT/sys/module/$module/refcnt"
done
case $2 in networks=*)
    mkdir -p "$ROOT/sys/module/lnet/parameters"
    echo "${2#networks=}" > "$ROOT/sys/module/lnet/parameters/networks"
esac
"#;
const RMMOD: &str = r#"#!/bin/sh
printf 'rmmod %s\n' "$*" >> "$ROOT/sys/log"
rm -r "$ROOT/sys/module/$1"
"#;

struct Host {
    node: FakeNode,
}

impl Host {
    fn new() -> Self {
        let host = Self { node: FakeNode::new() };
        host.stub("modprobe", MODPROBE);
        host.stub("rmmod", RMMOD);
        host
    }

    /// A program on the `PATH` of the run; `$ROOT` in it is the fake root.
    fn stub(&self, name: &str, script: &str) {
        let root = self.node.path("").display().to_string();
        self.node.write(&format!("bin/{name}"), &script.replace("$ROOT", root.trim_end_matches('/')));
        fs::set_permissions(self.node.path(&format!("bin/{name}")), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A client that an earlier run has unpacked and recorded.
    fn unpack(&self, version: &str) {
        const SHA256_OF_X: &str = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        let dir = format!("var/lib/azurelustre-csi/{KERNEL}/{version}");
        let names = ["lnet", "ksocklnd", "lustre", "mgc", "mdc", "lmv", "lov", "osc"];
        let paths = names.map(|name| format!("lib/modules/{KERNEL}/updates/{name}.ko"));
        let root = format!("{dir}/root");
        for path in &paths {
            self.node.write(&format!("{root}/{path}"), "x");
        }
        let files = paths.map(|path| format!("\"{path}\":{{\"size\":1,\"sha256\":\"{SHA256_OF_X}\"}}")).join(",");
        let record = format!("{{\"package\":\"kmod.deb\",\"sha256\":\"{SHA256_OF_X}\",\"files\":{{{files}}}}}");
        self.node.write(&format!("{dir}/ok.json"), &record);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.without_lnet(arguments);
        command.args(["--lnet", "simulated"]);
        command
    }

    /// A run on a root that has no LNet.
    fn without_lnet(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_azurelustre-csi"));
        command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", self.node.path("bin").display()));
        command.env("SECRET_OF_THE_DRIVER", "x").env("https_proxy", "http://proxy:3128").arg("node-setup");
        command.arg("--termination-message-path").arg(self.node.path("sys/termination"));
        command.arg("--host-root").arg(self.node.path("")).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.node.path(path)).unwrap_or_default()
    }

    /// Modules in the order in which they were loaded or removed.
    fn log(&self) -> Vec<String> {
        let log = self.read("sys/log");
        fs::write(self.node.path("sys/log"), "").unwrap();
        log.lines().map(|line| line.split(" -C /dev/null ").last().unwrap().to_owned()).collect()
    }
}

#[test]
fn the_binary_loads_the_unpacked_client_and_writes_its_result() {
    let host = Host::new();
    host.unpack(NEW);
    let (code, stdout, stderr) = host.run(&[]);
    assert_eq!(
        (code, stdout.as_str()),
        (0, "ready: Lustre client 2.17.0-24-gf517bc4, kernel 6.8.0-1046-azure, LNet 10.224.0.4@tcp\n"),
        "{stderr}"
    );
    let root = host.node.path(&format!("var/lib/azurelustre-csi/{KERNEL}/{NEW}/root")).display().to_string();
    let first = host.read("sys/log").lines().next().unwrap().to_owned();
    assert_eq!(first, format!("modprobe -d {root} -S {KERNEL} -C /dev/null lnet networks=tcp(eth0)"));
    assert_eq!(
        host.log(),
        ["lnet networks=tcp(eth0)", "ksocklnd skip_mr_route_setup=1", "lustre", "mgc", "mdc", "lmv", "lov", "osc"]
    );
    assert_eq!(host.read("sys/environment").trim(), "DEBIAN_FRONTEND HOME LC_ALL PATH PWD TMPDIR https_proxy");
    assert_eq!(host.read("sys/termination"), stdout.trim_end());
    assert!(host.read("var/lib/azurelustre-csi/node-setup.json").contains("\"exit\":0"));
    let (code, again, _) = host.run(&[]);
    assert_eq!((code, again, host.log()), (0, stdout, Vec::new()));
}

#[test]
fn a_root_without_lnet_is_a_warning() {
    let host = Host::new();
    host.unpack(NEW);
    for _ in 0..2 {
        let output = host.without_lnet(&[]).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success() && stdout.contains("LNet no NID"), "{stdout}{stderr}");
        assert!(stderr.contains("warning: the NIDs of LNet are not known"), "{stderr}");
    }
    assert_eq!(host.log().len(), 8);
}

#[test]
fn a_ready_node_is_done_within_fifty_milliseconds() {
    let host = Host::new();
    host.unpack(NEW);
    host.run(&[]);
    // The fastest of some: the machine has other work.
    let times = (0..20).map(|_| {
        let start = Instant::now();
        assert_eq!(host.run(&[]).0, 0);
        start.elapsed()
    });
    let fastest = times.min().unwrap();
    println!("a ready node: {fastest:?}");
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}

/// `host-exec` of the binary. Changing the root requires `CAP_SYS_CHROOT`, which any user has in a user namespace.
fn host_exec(root: &std::path::Path, rest: &[&str]) -> Output {
    let mut words = vec![env!("CARGO_BIN_EXE_azurelustre-csi"), "host-exec", root.to_str().unwrap()];
    words.extend(rest);
    if !nix::unistd::geteuid().is_root() {
        words.splice(..0, ["unshare", "--user", "--map-root-user"]);
    }
    Command::new(words[0]).args(&words[1..]).output().unwrap()
}

#[test]
fn the_child_changes_its_root_and_becomes_the_program() {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let there = host_exec("/".as_ref(), &["/usr", "sh", "-c", "pwd; echo \"$@\"; exit 7", "sh", "--version", "-v=5"]);
    assert_eq!((there.status.code(), text(there.stdout)), (Some(7), "/usr\n--version -v=5\n".to_owned()));
    // The same program is not there in an empty root: the root was changed.
    let empty = tempfile::tempdir().unwrap();
    let missing = host_exec(empty.path(), &["/", "sh", "-c", "true"]);
    assert_eq!(missing.status.code(), Some(127), "{missing:?}");
    assert!(text(missing.stderr).starts_with("azurelustre-csi host-exec: "));
    for (root, dir) in [(empty.path(), "/usr"), ("/no/such/root".as_ref(), "/")] {
        assert_eq!(host_exec(root, &[dir, "sh"]).status.code(), Some(126));
    }
    assert_eq!(host_exec(empty.path(), &[]).status.code(), Some(126));
}

#[test]
fn an_idle_client_is_replaced_by_rmmod_where_the_root_is_a_directory() {
    let host = Host::new();
    host.unpack(NEW);
    host.node.load_client(OLD);
    let (code, stdout, stderr) = host.run(&[]);
    assert!(code == 0 && stdout.contains(NEW), "{stdout}{stderr}");
    let log = host.log();
    assert_eq!(log[..2], ["rmmod lustre", "rmmod mdc"]);
    assert_eq!(log[13], "lnet networks=tcp(eth0)");
}

#[test]
fn a_failure_is_reported_with_exit_code_cause_and_hint_everywhere() {
    for (message, exit, cause, hint) in [
        ("modprobe: ERROR: could not insert 'lnet': Key was rejected by service", 3, "signature", "UEFI keys"),
        (
            "modprobe: ERROR: could not insert 'lnet': Exec format error",
            1,
            "another kernel",
            "Remove /var/lib/azurelustre-csi/",
        ),
    ] {
        let host = Host::new();
        host.unpack(NEW);
        host.node.write("stubs/lnet", message);
        let (code, stdout, stderr) = host.run(&[]);
        assert_eq!((code, stdout.as_str()), (exit, ""), "{stderr}");
        let result = host.read("var/lib/azurelustre-csi/node-setup.json");
        for place in [&stderr, &host.read("sys/termination"), &result] {
            assert!(place.contains(cause) && place.contains(hint) && place.contains(message), "{place}");
        }
        fs::remove_file(host.node.path("stubs/lnet")).unwrap();
        assert_eq!(host.run(&[]).0, 0, "the next run");
    }
}

/// The tree of sysfs stands for the kernel here; all else is read-only but the private directory.
#[test]
fn nothing_is_written_outside_the_private_directory() {
    let host = Host::new();
    host.unpack(NEW);
    let root = host.node.path("").display().to_string();
    let root = root.trim_end_matches('/');
    let run = host.command(&[]);
    let words: Vec<_> = run.get_args().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let script = format!(
        "set -e; mount --bind {root} {root}; mount --bind {root}/sys {root}/sys
         mount --bind {root}/var/lib/azurelustre-csi {root}/var/lib/azurelustre-csi
         mount -o remount,bind,ro {root}; ! touch {root}/etc/x 2>/dev/null; exec '{}' {}",
        run.get_program().to_str().unwrap(),
        words.join(" ")
    );
    let mut unshare = vec!["--mount"];
    if !nix::unistd::geteuid().is_root() {
        unshare.extend(["--user", "--map-root-user"]);
    }
    let path = format!("{root}/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let output = Command::new("unshare").args(unshare).args(["sh", "-c", &script]).env("PATH", path).output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"ready: "), "{output:?}");
    assert_eq!(host.log().len(), 8);
}

#[test]
fn wrong_settings_are_reported_together_and_end_with_exit_code_2() {
    let host = Host::new();
    let (code, _, stderr) =
        host.run(&["--client-version", "latest", "--replace-client", "always", "--lnet-interfaces", "a/b"]);
    assert_eq!(code, 2, "{stderr}");
    for text in ["--client-version", "--replace-client", "--lnet-interfaces"] {
        assert!(stderr.contains(text) && host.read("sys/termination").contains(text), "{stderr}");
    }
    // In a pod the private directory is there before node-setup begins.
    host.node.write("var/lib/azurelustre-csi/node-setup.json", "of the last run");
    let (code, ..) = host.run(&["--replace-client", "always"]);
    let last = host.read("var/lib/azurelustre-csi/node-setup.json");
    assert!(code == 2 && last.contains("\"exit\":2") && last.contains("--replace-client"), "{last}");
    let flatcar = Host::new();
    flatcar.node.write("etc/os-release", "ID=flatcar\nVERSION_ID=4081\n");
    let (code, _, stderr) = flatcar.run(&[]);
    assert!(code == 3 && stderr.contains("flatcar") && stderr.contains("Azure Linux 3"), "{stderr}");
}

#[test]
fn a_dry_run_prints_steps_and_writes_nothing() {
    let host = Host::new();
    host.unpack(NEW);
    let before = files(&host.node.path(""));
    let (code, stdout, stderr) = host.run(&["--dry-run"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("1. load module lnet\n   $ modprobe -d "), "{stdout}");
    assert!(stdout.contains("'networks=tcp(eth0)'\n   because it is not loaded\n2. "), "{stdout}");
    assert_eq!(files(&host.node.path("")), before);
    host.run(&[]);
    assert_eq!(host.run(&["--dry-run"]).1, "nothing to do\n");
}

fn files(dir: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<PathBuf> = entries
        .flat_map(|entry| if entry.file_type().unwrap().is_dir() { files(&entry.path()) } else { vec![entry.path()] })
        .collect();
    all.sort();
    all
}

#[test]
fn of_two_processes_the_second_waits_and_both_end_ready() {
    let host = Host::new();
    host.unpack(NEW);
    // The first stays in modprobe until the second reports that it waits.
    let fifo = host.node.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    host.stub(
        "modprobe",
        &MODPROBE.replacen("root=\n", "[ -p $ROOT/fifo ] && { cat $ROOT/fifo; rm -f $ROOT/fifo; }\nroot=\n", 1),
    );
    let stderr = std::process::Stdio::piped;
    let first = host.command(&[]).stderr(stderr()).stdout(stderr()).spawn().unwrap();
    while host.read("sys/log").is_empty() {
        std::thread::yield_now();
    }
    let mut second = host.command(&[]).stderr(stderr()).stdout(stderr()).spawn().unwrap();
    let mut progress = std::io::BufReader::new(second.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut progress, &mut line).unwrap();
    assert!(line.contains("another node-setup works on this node"), "{line}");
    fs::write(&fifo, "").unwrap();
    for process in [first, second] {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success() && output.stdout.starts_with(b"ready: "), "{output:?}");
    }
    assert_eq!(host.log().len(), 8, "the second found the node ready");
}
