//! The simulated Lustre servers: which file system answers at which address, and where its files are.
//!
//! It is the one thing that the simulated cloud and the simulated mounter share. The cloud starts servers
//! when a file system becomes ready and stops them when it goes; the mounter asks who answers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::capacity::Bytes;
use crate::domain::mount_source::{FsName, Host, MgsAddress};

/// The network of servers.
#[derive(Debug)]
pub struct Servers {
    root: PathBuf,
    answer_everywhere: bool,
    known: Mutex<BTreeMap<Ipv4Addr, Option<Served>>>,
}

/// A file system that answers.
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
pub enum NoAnswer {
    /// No server there.
    Unreachable,
    /// A server, but of another file system.
    OtherFilesystem,
}

impl Servers {
    /// Servers whose files lie below `root`. With `answer_everywhere`, an address that was never used answers as an
    /// existing file system of the name asked for, which is how static volumes find theirs.
    pub fn new(root: &Path, answer_everywhere: bool) -> Self {
        Self { root: root.to_owned(), answer_everywhere, known: Mutex::default() }
    }

    /// The directory below which their files lie; may not exist until the first mount.
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
        self.known().insert(mgs, Some(served));
    }

    /// Stops them and forgets the files. From now on nothing answers at the address, until it is started again.
    pub fn stop(&self, mgs: Ipv4Addr) -> std::io::Result<()> {
        self.known().insert(mgs, None);
        match std::fs::remove_dir_all(self.root.join(mgs.to_string())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Who answers: the first server of the list that does.
    pub fn find(&self, mgs: &MgsAddress, fs_name: &FsName) -> Result<Served, NoAnswer> {
        let hosts = mgs.servers().iter().flatten().map(|nid| &nid.host);
        let answers = hosts.filter_map(|host| self.at(host, fs_name));
        let served = answers.into_iter().next().ok_or(NoAnswer::Unreachable)?;
        if served.fs_name == *fs_name { Ok(served) } else { Err(NoAnswer::OtherFilesystem) }
    }

    fn at(&self, host: &Host, fs_name: &FsName) -> Option<Served> {
        let Host::V4(address) = host else { return None };
        let known = self.known().get(address).cloned();
        match known {
            Some(known) => known,
            None if self.answer_everywhere => {
                const EXISTING: Bytes = Bytes(48 << 40);
                self.start(*address, fs_name, EXISTING);
                self.known().get(address).cloned().flatten()
            }
            None => None,
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Ipv4Addr, Option<Served>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
