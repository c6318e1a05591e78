//! The lock of the private directory: one node-setup works on a node at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::error::SetupError;
use super::layout::{HostRoot, PRIVATE_DIR, PrivateDir};

/// Holds the lock until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the private directory and takes its lock. `waiting` is called before it waits for another process.
    pub(super) fn take(host: &HostRoot, waiting: impl FnOnce()) -> Result<Self, SetupError> {
        Self::try_take(host, waiting).map_err(|error| {
            SetupError::needs_human(
                format!("cannot write {PRIVATE_DIR} on this node"),
                error.to_string(),
                format!(
                    "Mount {PRIVATE_DIR} of the host read-write below {}; it must be on a writable file system.",
                    host.dir.display()
                ),
            )
        })
    }

    fn try_take(host: &HostRoot, waiting: impl FnOnce()) -> io::Result<Self> {
        directory(&host.at(PRIVATE_DIR))?;
        directory(&host.at(PrivateDir::tmp()))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(host.at(PrivateDir::lock()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self { _file: file })
    }
}

/// Makes a directory with its parents that others may read.
fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_second_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::directory(dir.path());
        let first = Lock::take(&host, || panic!("nobody holds it")).unwrap();
        let (sender, waits) = channel();
        let second = std::thread::spawn(move || {
            let taken = Lock::take(&host, || sender.send(()).unwrap());
            taken.is_ok()
        });
        waits.recv().unwrap();
        assert!(!second.is_finished());
        drop(first);
        assert!(second.join().unwrap());
    }

    #[test]
    fn a_host_that_cannot_be_written_needs_a_human() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("var"), "a file").unwrap();
        let error = Lock::take(&HostRoot::directory(dir.path()), || {}).unwrap_err();
        assert_eq!(error.exit.code(), 3);
        assert!(error.what.contains(PRIVATE_DIR), "{error}");
    }
}
