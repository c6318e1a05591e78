//! File lock of the private directory: one node-setup process changes a node at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use super::error::SetupError;
use super::layout::{HostRoot, LOCK_FILE, PRIVATE_DIR, TMP_DIR};

/// Creates the private directory and locks it (`flock(2)`) until the file is dropped or the process ends. Calls
/// `on_wait` before it waits for another process.
pub(super) fn acquire(host: &HostRoot, on_wait: impl FnOnce()) -> Result<File, SetupError> {
    try_acquire(host, on_wait).map_err(|error| {
        let root = host.dir.display();
        SetupError::needs_human(
            format!("cannot write {PRIVATE_DIR} on this node"),
            error.to_string(),
            format!("Mount {PRIVATE_DIR} of the host read-write below {root}; it must be on a writable file system."),
        )
    })
}

fn try_acquire(host: &HostRoot, on_wait: impl FnOnce()) -> io::Result<File> {
    for directory in [PRIVATE_DIR, TMP_DIR] {
        DirBuilder::new().recursive(true).mode(0o755).create(host.at(directory))?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(host.at(LOCK_FILE))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            on_wait();
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_second_process_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::directory(dir.path());
        let first = acquire(&host, || panic!("no process holds it")).unwrap();
        let (sender, waits) = channel();
        let second = std::thread::spawn(move || acquire(&host, || sender.send(()).unwrap()).is_ok());
        waits.recv().unwrap();
        assert!(!second.is_finished());
        drop(first);
        assert!(second.join().unwrap());
    }

    #[test]
    fn a_host_that_cannot_be_written_needs_a_human() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("var"), "a file").unwrap();
        let error = acquire(&HostRoot::directory(dir.path()), || {}).unwrap_err();
        assert_eq!(error.exit.code(), 3);
        assert!(error.what.contains(PRIVATE_DIR), "{error}");
    }
}
