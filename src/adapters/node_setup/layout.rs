//! Paths of node-setup: the root of the host, and the private directory below it.

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

    /// How this process opens `path` of the host. Symbolic links in it are not resolved against the host's root.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let relative = path.as_ref().components().filter(|part| !matches!(part, Component::RootDir));
        self.dir.join(relative.collect::<PathBuf>())
    }

    /// How a program of the host sees `path` of the host.
    pub fn path_in_host(&self, path: impl AsRef<Path>) -> PathBuf {
        if self.chroot { path.as_ref().to_path_buf() } else { self.at(path) }
    }
}

/// Paths below [`PRIVATE_DIR`], as the host sees them; [`HostRoot`] says how they are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateDir;

impl PrivateDir {
    /// The directory itself.
    pub fn root() -> PathBuf {
        PathBuf::from(PRIVATE_DIR)
    }

    /// apt's configuration, key, lists and cache.
    pub fn apt_dir() -> PathBuf {
        Self::root().join("apt")
    }

    /// tdnf's configuration, key and cache.
    pub fn dnf_dir() -> PathBuf {
        Self::root().join("dnf")
    }

    /// `HOME` and `TMPDIR` of the host's programs.
    pub fn tmp() -> PathBuf {
        Self::root().join("tmp")
    }

    /// The lock that a run holds from its first write to its end.
    pub fn lock() -> PathBuf {
        Self::root().join("lock")
    }

    /// Package files that the owner of the node laid there.
    pub fn packages() -> PathBuf {
        Self::root().join("packages")
    }

    /// How the last run ended, for `doctor node`.
    pub fn last_result() -> PathBuf {
        Self::root().join("node-setup.json")
    }

    /// The unpacked modules of `version` for `kernel` (`uname -r`), complete once it exists.
    pub fn unpacked(kernel: &str, version: &ClientVersion) -> PathBuf {
        Self::root().join(kernel).join(version.as_str())
    }

    /// Where process `pid` prepares [`Self::unpacked`].
    pub fn staging(kernel: &str, version: &ClientVersion, pid: u32) -> PathBuf {
        Self::root().join(kernel).join(format!("{version}.tmp-{pid}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_opened_below_the_root_and_seen_as_the_program_sees_them() {
        for (root, at, seen) in [
            (HostRoot::mounted_at("/host"), "/host/etc/os-release", "/etc/os-release"),
            (HostRoot::directory("/d"), "/d/etc/os-release", "/d/etc/os-release"),
        ] {
            assert_eq!(root.at("/etc/os-release"), PathBuf::from(at));
            assert_eq!(root.at("etc/os-release"), PathBuf::from(at));
            assert_eq!(root.path_in_host("/etc/os-release"), PathBuf::from(seen));
        }
    }
}
