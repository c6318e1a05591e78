//! Threads of a running driver that are blocked in the kernel, from `/proc/PID/task/TID`.
//!
//! mount(2) of a dead MGS waits in state `S` for some seconds and in `I` (`TASK_IDLE`) for minutes, other calls in `D`. An
//! idle thread of the driver is in state `S` too: the call in which it waits is the difference.

use std::fs;
use std::path::{Path, PathBuf};

use nix::libc;

use crate::adapters::kernel::client_state::KernelFiles;
use crate::adapters::kernel::threads::THREAD_NAME;

/// Name of the driver's processes in `comm`, which the kernel cuts at 15 bytes.
const PROGRAM: &str = "azurelustre-csi";
/// Most threads that are reported.
const MOST_THREADS: usize = 64;

/// System calls in which a thread waits for its own process, for time or for a socket, never for a file system. Not all
/// exist on each architecture; those that a Rust program makes on Linux do.
const WAITING_CALLS: [libc::c_long; 8] = [
    libc::SYS_futex,
    libc::SYS_ppoll,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_epoll_pwait,
    libc::SYS_connect,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
];

/// Parts of the names of the kernel's functions in which such calls wait, for kernels that hide the number of the call.
const WAITING_FUNCTIONS: [&str; 6] = ["futex", "poll", "nanosleep", "inet_", "unix_stream", "skb_wait"];

/// One blocked thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockedThread {
    process: u32,
    thread: u32,
    waits_in: Option<String>,
}

impl BlockedThread {
    /// Whether this is the same thread as another.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.process, self.thread) == (other.process, other.thread)
    }
}

impl std::fmt::Display for BlockedThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "thread {} of the driver (process {}) is blocked in the kernel", self.thread, self.process)?;
        self.waits_in.as_ref().map_or(Ok(()), |function| write!(f, " in {function}"))
    }
}

/// The blocked threads of this moment. Files that cannot be read are left out: processes end meanwhile.
pub(super) fn read(files: &KernelFiles) -> Vec<BlockedThread> {
    let processes = numbered(&files.path("/proc")).into_iter().filter(|(_, process)| comm(process) == PROGRAM);
    let blocked = processes.flat_map(|(process, directory)| {
        let threads = numbered(&directory.join("task")).into_iter().filter(|(_, thread)| comm(thread) == THREAD_NAME);
        threads.filter(|(_, thread)| is_blocked(thread)).map(move |(thread, directory)| {
            let waits_in = wait_channel(&directory);
            BlockedThread { process, thread, waits_in }
        })
    });
    blocked.take(MOST_THREADS).collect()
}

/// Directories that are named by a number, in order.
fn numbered(directory: &Path) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let number = |entry: &fs::DirEntry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
    let mut found: Vec<_> = entries.filter_map(|entry| Some((number(&entry)?, entry.path()))).collect();
    found.sort();
    found
}

fn comm(directory: &Path) -> String {
    fs::read_to_string(directory.join("comm")).unwrap_or_default().trim_end().to_owned()
}

fn is_blocked(thread: &Path) -> bool {
    match state(thread) {
        Some('D' | 'I') => true,
        Some('S') => match call_number(thread) {
            Some(number) => !WAITING_CALLS.contains(&number),
            None => wait_channel(thread)
                .is_some_and(|function| !WAITING_FUNCTIONS.iter().any(|part| function.contains(part))),
        },
        _ => false,
    }
}

/// The letter after the name in brackets, which may itself hold brackets (`proc_pid_stat(5)`).
fn state(thread: &Path) -> Option<char> {
    let stat = fs::read_to_string(thread.join("stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// The system call that the thread is in (`proc_pid_syscall(5)`), for those who may trace it.
fn call_number(thread: &Path) -> Option<libc::c_long> {
    let call = fs::read_to_string(thread.join("syscall")).ok()?;
    call.split_whitespace().next()?.parse().ok()
}

/// The function of the kernel in which the thread waits (`proc_pid_wchan(5)`); none where the kernel shows `0`.
fn wait_channel(thread: &Path) -> Option<String> {
    let function = fs::read_to_string(thread.join("wchan")).ok()?;
    let function = function.trim();
    (!function.is_empty() && function != "0").then(|| function.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contents of the files of a thread in /proc.
    struct ProcFiles<'a> {
        program: &'a str,
        name: &'a str,
        state: char,
        call: Option<libc::c_long>,
        wchan: &'a str,
    }

    fn write(root: &Path, thread: u32, shown: &ProcFiles<'_>) {
        let task = root.join("proc/12/task").join(thread.to_string());
        fs::create_dir_all(&task).unwrap();
        fs::write(root.join("proc/12/comm"), format!("{}\n", shown.program)).unwrap();
        fs::write(task.join("comm"), format!("{}\n", shown.name)).unwrap();
        fs::write(task.join("stat"), format!("{thread} (mou) nt) {} 1 1 1", shown.state)).unwrap();
        if let Some(call) = shown.call {
            fs::write(task.join("syscall"), format!("{call} 0x1 0x2 0x7ffc 0x7f\n")).unwrap();
        }
        fs::write(task.join("wchan"), shown.wchan).unwrap();
    }

    fn blocked(shown: &ProcFiles<'_>) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self/task/1")).unwrap();
        write(root.path(), 30, shown);
        let files = KernelFiles { root: root.path().to_owned() };
        read(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_thread_is_blocked_in_state_d_s_or_i_unless_it_waits_for_work() {
        let mount = Some(libc::SYS_mount);
        for (state, call, wchan, expected) in [
            // As the mount of a dead MGS shows it: S for some seconds, then I for minutes.
            ('S', mount, "wait_woken", true),
            ('I', mount, "mgc_process_config", true),
            ('D', Some(libc::SYS_umount2), "ptlrpc_set_wait", true),
            ('S', Some(libc::SYS_statfs), "0", true),
            ('S', Some(libc::SYS_newfstatat), "", true),
            ('D', None, "0", true),
            ('I', None, "mgc_process_config", true),
            ('S', None, "wait_woken", true),
            // Idle, asleep, or waiting for a name server or a connection that has a limit of its own.
            ('S', Some(libc::SYS_futex), "futex_wait_queue", false),
            ('S', None, "futex_wait_queue_me", false),
            ('S', Some(libc::SYS_ppoll), "wait_woken", false),
            ('S', None, "do_poll", false),
            ('S', Some(libc::SYS_connect), "wait_woken", false),
            ('S', Some(libc::SYS_clock_nanosleep), "hrtimer_nanosleep", false),
            // Nothing is known of what it waits for.
            ('S', None, "0", false),
            ('R', mount, "0", false),
            ('Z', None, "", false),
        ] {
            let shown = ProcFiles { program: PROGRAM, name: THREAD_NAME, state, call, wchan };
            assert_eq!(blocked(&shown).len(), usize::from(expected), "{state} {call:?} {wchan}");
        }
    }

    #[test]
    fn other_threads_and_programs_are_left_out() {
        let hung =
            ProcFiles { program: PROGRAM, name: THREAD_NAME, state: 'I', call: None, wchan: "mgc_process_config" };
        let line = "thread 30 of the driver (process 12) is blocked in the kernel in mgc_process_config";
        assert_eq!(blocked(&hung), [line]);
        assert!(blocked(&ProcFiles { program: "another", ..hung }).is_empty());
        assert!(blocked(&ProcFiles { program: PROGRAM, name: "tokio-rt-worker", ..hung }).is_empty());
        let root = tempfile::tempdir().unwrap();
        assert!(read(&KernelFiles { root: root.path().to_owned() }).is_empty());
    }
}
