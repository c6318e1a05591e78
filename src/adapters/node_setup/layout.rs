//! Paths of node-setup: the root of the host, and the private directory below it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::version::ClientVersion;

/// The only directory of the host that is written, as the host sees it.
pub const PRIVATE_DIR: &str = "/var/lib/azurelustre-csi";

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

/// Paths below [`PRIVATE_DIR`], as the host sees them; [`HostRoot::at`] makes paths of this process of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateDir;

impl PrivateDir {
    /// apt's configuration, key, lists and cache.
    pub fn apt_dir() -> PathBuf {
        Path::new(PRIVATE_DIR).join("apt")
    }

    /// tdnf's configuration, key and cache.
    pub fn dnf_dir() -> PathBuf {
        Path::new(PRIVATE_DIR).join("dnf")
    }

    /// `HOME` and `TMPDIR` of the host's programs.
    pub fn tmp() -> PathBuf {
        Path::new(PRIVATE_DIR).join("tmp")
    }

    /// The lock that a run holds from its first write to its end.
    pub fn lock() -> PathBuf {
        Path::new(PRIVATE_DIR).join("lock")
    }

    /// Package files that the owner of the node laid there.
    pub fn packages() -> PathBuf {
        Path::new(PRIVATE_DIR).join("packages")
    }

    /// The result of the last run, for `doctor node`.
    pub fn last_result() -> PathBuf {
        Path::new(PRIVATE_DIR).join("node-setup.json")
    }

    /// The unpacked modules of `version` for `kernel` (`uname -r`), complete once it exists.
    pub fn unpacked(kernel: &str, version: &ClientVersion) -> PathBuf {
        Path::new(PRIVATE_DIR).join(kernel).join(version.as_str())
    }

    /// Where process `pid` prepares [`Self::unpacked`].
    pub fn staging(kernel: &str, version: &ClientVersion, pid: u32) -> PathBuf {
        Path::new(PRIVATE_DIR).join(kernel).join(format!("{version}.tmp-{pid}"))
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
