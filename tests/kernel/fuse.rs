//! A real file system that stops answering: FUSE, served by this test process.
//!
//! Why besides the stand-in of the fakes: there a call blocks in this program, here it waits in the kernel, where no
//! signal and no timer of ours reaches it, as with Lustre. Requests are read but kept unanswered until [`Fuse::resume`];
//! dropping the server closes its end, and the kernel fails all that waits. Every name is a directory, and all are empty.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::statvfs::statvfs;

/// The kernel gives requests to nobody with less room.
const ROOM: usize = 1 << 17;
const ROOT: u64 = 1;
const DIRECTORY: u32 = 0o040_755;

/// What the kernel asks for, by the numbers of its protocol.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const FORGET_MANY: u32 = 42;
const NOT_IMPLEMENTED: i32 = -38;

/// A request that was read: what, its number, and the node that it is about.
#[derive(Debug, Clone, Copy)]
struct Request {
    operation: u32,
    unique: u64,
    node: u64,
}

#[derive(Debug, Default)]
struct State {
    silent: bool,
    kept: Vec<Request>,
}

/// A mounted file system and its server.
#[derive(Debug)]
pub(crate) struct Fuse {
    device: File,
    state: Arc<Mutex<State>>,
    /// Closed, it ends the server.
    end: Option<PipeWriter>,
    server: Option<JoinHandle<()>>,
}

impl Fuse {
    /// Mounts one, which answers.
    pub(crate) fn mount(source: &str, at: &Path) -> io::Result<Self> {
        let device =
            OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open("/dev/fuse")?;
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        mount(Some(source), at, Some("fuse"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(data.as_str()))?;
        let (state, (ended, end)) = (Arc::<Mutex<State>>::default(), io::pipe()?);
        let (device_end, kept) = (device.try_clone()?, Arc::clone(&state));
        let server = std::thread::spawn(move || serve(device_end, &kept, &ended));
        let fuse = Self { device, state, end: Some(end), server: Some(server) };
        // Until it has answered once, the two sides have not agreed on a protocol.
        statvfs(at)?;
        Ok(fuse)
    }

    /// Why there can be none here.
    pub(crate) fn unavailable() -> Option<String> {
        let try_it = || {
            let directory = tempfile::tempdir()?;
            let fuse = Self::mount("probe", directory.path());
            umount2(directory.path(), MntFlags::MNT_DETACH).ok();
            fuse.map(drop)
        };
        try_it().err().map(|error| format!("no file system can be served through /dev/fuse: {error}"))
    }

    /// From now on nothing is answered.
    pub(crate) fn fall_silent(&self) {
        self.state.lock().unwrap().silent = true;
    }

    /// Answers the requests that came meanwhile, and continues.
    pub(crate) fn resume(&self) {
        let mut state = self.state.lock().unwrap();
        state.silent = false;
        for request in state.kept.drain(..) {
            answer(&self.device, request);
        }
    }

    /// How many requests wait in vain.
    pub(crate) fn hanging(&self) -> usize {
        self.state.lock().unwrap().kept.len()
    }

    /// Ends the server: whatever waits for it fails, now and later.
    pub(crate) fn die(self) {
        drop(self);
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        drop(self.end.take());
        drop(self.server.take().map(JoinHandle::join));
    }
}

fn serve(mut device: File, state: &Mutex<State>, ended: &PipeReader) {
    let mut buffer = vec![0; ROOM];
    loop {
        let mut waiting =
            [PollFd::new(device.as_fd(), PollFlags::POLLIN), PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        poll(&mut waiting, PollTimeout::NONE).unwrap();
        if waiting[1].any().unwrap() {
            return;
        }
        match device.read(&mut buffer) {
            Ok(read) => take(&device, state, &buffer[..read]),
            // Taken back meanwhile, or interrupted.
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotFound | ErrorKind::Interrupted) => {}
            // Unmounted, or ended by force.
            Err(_) => return,
        }
    }
}

fn take(device: &File, state: &Mutex<State>, bytes: &[u8]) {
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    let request = Request { operation: word(4), unique: long(8), node: long(16) };
    let mut state = state.lock().unwrap();
    match request.operation {
        FORGET | FORGET_MANY | INTERRUPT => {}
        _ if state.silent => state.kept.push(request),
        _ => answer(device, request),
    }
}

/// Answers a request; one whose asker is gone is refused by the kernel, which is none of ours to mind.
fn answer(mut device: &File, request: Request) {
    let (error, body) = match request.operation {
        INIT => (0, init()),
        GETATTR => (0, [vec![0; 16], attributes(request.node)].concat()),
        // A node for each request: nobody here compares them.
        LOOKUP => {
            (0, [words64(&[request.unique + ROOT, 0, 0, 0]), vec![0; 8], attributes(request.unique + ROOT)].concat())
        }
        STATFS => (0, [words64(&[1000, 500, 500, 100, 50]), words32(&[4096, 255, 4096, 0]), vec![0; 24]].concat()),
        _ => (NOT_IMPLEMENTED, vec![]),
    };
    let length = u32::try_from(16 + body.len()).unwrap();
    let head = [&length.to_ne_bytes()[..], &error.to_ne_bytes(), &request.unique.to_ne_bytes()].concat();
    device.write_all(&[head, body].concat()).ok();
}

/// Protocol 7.31, with names of one directory asked for at the same time, and the sizes of requests.
fn init() -> Vec<u8> {
    const PARALLEL_DIROPS: u32 = 1 << 18;
    [words32(&[7, 31, 0, PARALLEL_DIROPS, 0, 4096, 1]), vec![0; 36]].concat()
}

fn attributes(node: u64) -> Vec<u8> {
    [words64(&[node, 0, 0, 0, 0, 0]), words32(&[0, 0, 0, DIRECTORY, 2, 0, 0, 0, 4096, 0])].concat()
}

fn words64(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn words32(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
