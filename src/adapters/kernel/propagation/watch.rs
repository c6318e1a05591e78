//! The thread that waits for changes of the mount table.
//!
//! A mount or an unmount is an event; a change of propagation alone (`mount --make-private`) is none (`do_change_type` in
//! `fs/namespace.c`). So the table is also read now and then, and each second while it is unsound.

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

/// After so many milliseconds without an event the table is read all the same.
const SILENCE_MS: u16 = 10_000;

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
    let end = [(ended as &dyn AsFd, PollFlags::POLLIN)];
    loop {
        let at_most = if state.unsound().is_some() { PollTimeout::ZERO } else { SILENCE_MS.into() };
        wait(&[(table, PollFlags::POLLPRI), (ended, PollFlags::POLLIN)], at_most)?;
        if wait(&end, PollTimeout::ZERO)? {
            return Ok(());
        }
        state.refresh();
        if wait(&end, PAUSE_MS.into())? {
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
