//! Paths of node-setup: the root of the host, and the private directory below it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::version::ClientVersion;

/// A path in the private directory.
macro_rules! private {
    ($($path:literal)?) => { concat!("/var/lib/azurelustre-csi", $($path)?) };
}

/// The only directory of the host that is written. This and all paths below it are as the host opens them;
/// [`HostRoot::at`] makes paths of this process of them.
pub const PRIVATE_DIR: &str = private!();
/// apt's configuration, key, lists and cache.
pub const APT_DIR: &str = private!("/apt");
/// tdnf's configuration, key and cache.
pub const DNF_DIR: &str = private!("/dnf");
/// `HOME` and `TMPDIR` of the host's programs.
pub const TMP_DIR: &str = private!("/tmp");
/// The lock that a run holds from its first write to its end.
pub const LOCK_FILE: &str = private!("/lock");
/// Package files that the owner of the node laid there.
pub const PACKAGES_DIR: &str = private!("/packages");
/// The result of the last run, for `doctor node`.
pub const RESULT_FILE: &str = private!("/node-setup.json");

/// The unpacked modules of `version` for `kernel` (`uname -r`), complete once the directory exists.
pub fn unpacked_dir(kernel: &str, version: &ClientVersion) -> PathBuf {
    Path::new(PRIVATE_DIR).join(kernel).join(version.as_str())
}

/// Where process `pid` prepares [`unpacked_dir`].
pub fn staging_dir(kernel: &str, version: &ClientVersion, pid: u32) -> PathBuf {
    Path::new(PRIVATE_DIR).join(kernel).join(format!("{version}.tmp-{pid}"))
}

/// Where the root of the host is, and whether its programs run with it as their root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRoot {
    /// The directory at which the root of the host is mounted.
    pub dir: PathBuf,
    /// Whether programs of the host are run with that directory as their root. Without it they come from the caller's `PATH`.
    pub chroot: bool,
}

impl HostRoot {
    /// The root of a container: `dir` is the host's root, and its programs run in it.
    pub fn mounted_at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), chroot: true }
    }

    /// A directory with files of a host, without programs.
    pub fn directory(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), chroot: false }
    }

    /// The path by which this process opens `path` of the host. Symbolic links in it are not resolved against the host's
    /// root.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let relative = path.as_ref().components().filter(|part| !matches!(part, Component::RootDir));
        self.dir.join(relative.collect::<PathBuf>())
    }

    /// The path by which a program of the host opens `path` of the host.
    pub fn path_in_host(&self, path: impl AsRef<Path>) -> PathBuf {
        if self.chroot { path.as_ref().to_path_buf() } else { self.at(path) }
    }

    /// The text of a file of the host without white space around it; bytes that are not UTF-8 are replaced. `None` where it
    /// cannot be read.
    pub(super) fn read_text(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read(self.at(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_opened_below_the_root_and_named_as_the_program_opens_them() {
        for (root, at, in_host) in [
            (HostRoot::mounted_at("/host"), "/host/etc/os-release", "/etc/os-release"),
            (HostRoot::directory("/d"), "/d/etc/os-release", "/d/etc/os-release"),
        ] {
            assert_eq!(root.at("/etc/os-release"), PathBuf::from(at));
            assert_eq!(root.at("etc/os-release"), PathBuf::from(at));
            assert_eq!(root.path_in_host("/etc/os-release"), PathBuf::from(in_host));
        }
    }

    #[test]
    fn a_byte_that_is_not_utf_8_hides_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("os-release"), b"NAME=\"\xff\"\nID=ubuntu\n").unwrap();
        let text = HostRoot::directory(dir.path()).read_text("/os-release").unwrap();
        assert!(text.ends_with("\nID=ubuntu"), "{text:?}");
    }
}
