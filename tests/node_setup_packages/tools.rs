//! Programs of this machine: which are missing, and one run that must succeed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Programs that the tests and node-setup run, with the Debian package of each.
const LOAD_ORDER: [(&str, &str); 17] = [
    ("apt-get", "apt"),
    ("apt-cache", "apt"),
    ("dpkg-deb", "dpkg"),
    ("gpg", "gnupg"),
    ("gpgv", "gpgv"),
    ("depmod", "kmod"),
    ("modinfo", "kmod"),
    ("modprobe", "kmod"),
    ("cc", "gcc"),
    ("cpio", "cpio"),
    ("tar", "tar"),
    ("rpm", "rpm"),
    ("rpmbuild", "rpm"),
    ("rpmkeys", "rpm"),
    ("rpmsign", "rpm"),
    ("rpm2cpio", "rpm2cpio"),
    ("unshare", "util-linux"),
];

/// The search path, with the directories of programs for administrators.
pub(crate) fn path() -> String {
    format!("{}:/usr/sbin:/sbin:/usr/bin:/bin", std::env::var("PATH").unwrap_or_default())
}

/// The missing programs, with the command that installs them.
pub(crate) fn missing() -> Option<String> {
    let path = path();
    let has = |name: &str| path.split(':').any(|dir| Path::new(dir).join(name).is_file());
    let mut missing: Vec<_> = LOAD_ORDER.iter().filter(|(name, _)| !has(name)).collect();
    missing.dedup_by_key(|(_, package)| *package);
    let programs: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    (!missing.is_empty()).then(|| format!("no {} here: apt-get install -y {}", programs.join(", "), packages.join(" ")))
}

/// Directories with fixtures that are made once and used by many tests.
static SHARED_DIRS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Makes a directory that exists until [`remove_shared_dirs`].
pub(crate) fn shared_dir() -> PathBuf {
    let dir = tempfile::tempdir().unwrap().keep();
    SHARED_DIRS.lock().unwrap().push(dir.clone());
    dir
}

/// Removes those directories, and stops the gpg agents of key rings in them.
pub(crate) fn remove_shared_dirs() {
    for dir in SHARED_DIRS.lock().unwrap().drain(..) {
        run(Command::new("gpgconf").arg("--homedir").arg(&dir), ["--kill", "all"]);
        fs::remove_dir_all(dir).unwrap();
    }
}

/// Runs a program that must succeed; returns its standard output.
pub(crate) fn run<A: AsRef<OsStr>>(command: &mut Command, args: impl IntoIterator<Item = A>) -> String {
    command.args(args).env("PATH", path()).env("LC_ALL", "C");
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}
