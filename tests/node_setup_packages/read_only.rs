//! Only the private directory is written: a whole fetch in a root of which all else is read-only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use azurelustre_csi::adapters::node_setup::layout::HostRoot;

use crate::modules;
use crate::node::{Node, host_files, trusting};
use crate::repository::{Repository, TRUSTED};
use crate::{Test, tests, tools};

pub(crate) const TESTS: &[Test] = tests![nothing_but_the_private_directory_is_written];

/// Environment variable with the root of the child.
const ROOT: &str = "AZURELUSTRE_CSI_TEST_ROOT";
/// Environment variable with the file of the trusted key.
const KEY: &str = "AZURELUSTRE_CSI_TEST_KEY";
/// Environment variable with the URL of the repository.
const URL: &str = "AZURELUSTRE_CSI_TEST_URL";

/// Makes a root like that of the container below $1: this machine's, read-only, with the modules of the tests' kernel from $2
/// and a writable private directory. Runs the rest of its arguments.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs none "$1"
mkdir -p "$1/more/usr/lib/modules" "$1/host"
if ! mount -t overlay -o "lowerdir=$1/more:/" overlay "$1/host" 2>/dev/null; then
    mount --rbind / "$1/host"
    mount -o remount,bind,ro "$1/host"
    [ -d "$1/host/usr/lib/modules" ] || { echo "error: run as root: there is no /usr/lib/modules to mount at" >&2; exit 1; }
fi
mount --rbind /dev "$1/host/dev"
mount -t tmpfs none "$1/host/usr/lib/modules"
cp -r "$2/lib/modules/." "$1/host/usr/lib/modules"
mount -o remount,ro "$1/host/usr/lib/modules"
mount -t tmpfs none "$1/host/var/lib"
mkdir -p "$1/host/var/lib/azurelustre-csi/tmp"
mount --bind "$1/host/var/lib/azurelustre-csi" "$1/host/var/lib/azurelustre-csi"
mount -o remount,bind,ro "$1/host/var/lib"
for dir in / /etc /tmp /usr /usr/lib/modules /var/lib /var/tmp /var/cache; do
    if touch "$1/host$dir/azurelustre-csi-test" 2>/dev/null; then echo "error: $dir can be written" >&2; exit 1; fi
done
root=$1
shift 2
AZURELUSTRE_CSI_TEST_ROOT="$root/host" exec "$@"
"#;

fn nothing_but_the_private_directory_is_written() {
    let (dir, repository) = (tempfile::tempdir().unwrap(), Repository::new());
    let (root, kernel) = (dir.path().join("root"), dir.path().join("kernel"));
    fs::create_dir(&root).unwrap();
    modules::kernel(&kernel);
    let flags = if nix::unistd::geteuid().is_root() { "-m" } else { "-rm" };
    let command = &mut Command::new("unshare");
    command.args([flags, "sh", "-c", SCRIPT, "sh"]).args([&root, &kernel]);
    let key = dir.path().join("key.asc");
    fs::write(&key, TRUSTED.public()).unwrap();
    command.env(URL, repository.server.url()).env(KEY, key);
    tools::run(command, [std::env::current_exe().unwrap()]);
}

/// The root of the host, if this process is the child of the test.
pub(crate) fn child_root() -> Option<PathBuf> {
    std::env::var_os(ROOT).map(PathBuf::from)
}

/// Fetches the client by programs that run in `root`, as in production.
pub(crate) fn run_child(root: &Path) {
    // The state comes from files of an Ubuntu node, programs from the read-only root of this machine.
    let dir = tempfile::Builder::new().tempdir_in("/dev/shm").unwrap();
    host_files(dir.path());
    let node = Node::with_host(dir, HostRoot::mounted_at(root), ("UNUSED", ""));
    let key = fs::read_to_string(std::env::var(KEY).unwrap()).unwrap();
    node.ensure_from(&trusting(&std::env::var(URL).unwrap(), &key)).unwrap();
    node.assert_ready();
    let programs: Vec<_> = node.runs().iter().map(|run| run.program).collect();
    for program in ["apt-get", "dpkg-deb", "modinfo", "depmod"] {
        assert!(programs.contains(&program), "{programs:?}");
    }
}
