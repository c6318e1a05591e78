//! The thread that waits for changes of the mount table.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Propagation;
use crate::adapters::kernel::client_state::MOUNTINFO;

/// For so many milliseconds after a read of the table further changes are collected: each publish is one.
const PAUSE_MS: u16 = 1000;

/// Enough to read and parse the table, which lies on the heap.
const STACK: usize = 128 << 10;

/// Keeps a [`Propagation`] up to date until this is dropped.
#[derive(Debug)]
pub struct Watch {
    /// Closed, it ends the thread.
    _end: UnixStream,
}

impl Watch {
    /// Begins to watch this process's mount table. An error is one of poll's files or of the thread.
    pub fn start(state: Arc<Propagation>) -> io::Result<Self> {
        let table = File::open(MOUNTINFO)?;
        let (end, ended) = UnixStream::pair()?;
        // What changed before the file was open is no event of it.
        state.refresh();
        let thread = std::thread::Builder::new().name("mount-table".to_owned()).stack_size(STACK);
        thread.spawn(move || {
            if let Err(errno) = follow(&state, &table, &ended) {
                tracing::error!(%errno, "changes of the mount table are no longer seen");
            }
        })?;
        Ok(Self { _end: end })
    }
}

fn follow(state: &Propagation, table: &File, ended: &UnixStream) -> Result<(), Errno> {
    loop {
        if wait(&[(ended, PollFlags::POLLIN)], PollTimeout::ZERO)? {
            return Ok(());
        }
        if wait(&[(table, PollFlags::POLLPRI), (ended, PollFlags::POLLIN)], PollTimeout::NONE)? {
            state.refresh();
        }
        if wait(&[(ended, PollFlags::POLLIN)], PAUSE_MS.into())? {
            return Ok(());
        }
    }
}

/// Whether any of the files had one of its events before the time was over.
fn wait(files: &[(&dyn AsFd, PollFlags)], timeout: PollTimeout) -> Result<bool, Errno> {
    let mut files: Vec<PollFd<'_>> = files.iter().map(|(file, events)| PollFd::new(file.as_fd(), *events)).collect();
    match poll(&mut files, timeout) {
        Err(Errno::EINTR) => Ok(false),
        ready => ready.map(|count| count > 0),
    }
}
