//! The simulated Lustre servers: which file system is served at which MGS address, and where its files are.
//!
//! The simulated cloud and the simulated mounter share nothing else. The cloud starts servers when a file system becomes
//! Succeeded and stops them when it is deleted; the mounter finds file systems by address and name.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::capacity::Bytes;
use crate::domain::mount_source::{FsName, Host, MgsAddress};

/// All servers of a simulated world.
#[derive(Debug)]
pub struct Servers {
    root: PathBuf,
    any_address_answers: bool,
    /// By MGS address; `None` where servers were stopped.
    filesystems: Mutex<BTreeMap<Ipv4Addr, Option<Served>>>,
}

/// A file system that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its Lustre name.
    pub fs_name: FsName,
    /// Its size.
    pub capacity: Bytes,
    /// The directory that holds its files; may not exist until the first mount.
    pub files: PathBuf,
}

/// Why nothing can be mounted from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotServed {
    /// No server there.
    Unreachable,
    /// A server, but of another file system.
    OtherFilesystem,
}

impl Servers {
    /// Servers whose files are below `root`. With `any_address_answers`, an address that was never used serves an existing
    /// file system of the requested name, which is how static volumes find theirs.
    pub fn new(root: &Path, any_address_answers: bool) -> Self {
        Self { root: root.to_owned(), any_address_answers, filesystems: Mutex::default() }
    }

    /// The directory below which their files are; may not exist until the first mount.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Starts the servers of a file system.
    pub fn start(&self, mgs: Ipv4Addr, fs_name: &FsName, capacity: Bytes) {
        let served = Served {
            fs_name: fs_name.clone(),
            capacity,
            files: self.root.join(mgs.to_string()).join(fs_name.as_str()),
        };
        self.filesystems().insert(mgs, Some(served));
    }

    /// Stops the servers at an address and deletes the files. Until they are started again nothing is served there.
    pub fn stop(&self, mgs: Ipv4Addr) -> std::io::Result<()> {
        self.filesystems().insert(mgs, None);
        match std::fs::remove_dir_all(self.root.join(mgs.to_string())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The file system that the first server of the list serves which answers.
    pub fn find(&self, mgs: &MgsAddress, fs_name: &FsName) -> Result<Served, NotServed> {
        let mut hosts = mgs.servers().iter().flatten().map(|nid| &nid.host);
        let served = hosts.find_map(|host| self.at(host, fs_name)).ok_or(NotServed::Unreachable)?;
        if served.fs_name == *fs_name { Ok(served) } else { Err(NotServed::OtherFilesystem) }
    }

    fn at(&self, host: &Host, fs_name: &FsName) -> Option<Served> {
        const EXISTING: Bytes = Bytes(48 << 40);
        let Host::V4(address) = host else { return None };
        if self.any_address_answers && !self.filesystems().contains_key(address) {
            self.start(*address, fs_name, EXISTING);
        }
        self.filesystems().get(address).cloned().flatten()
    }

    fn filesystems(&self) -> MutexGuard<'_, BTreeMap<Ipv4Addr, Option<Served>>> {
        self.filesystems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
