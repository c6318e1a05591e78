//! Threads of a running driver that hang in the kernel, as /proc shows them.
//!
//! Why from outside: a node whose mounts hang is looked at with a program of its own, which must not depend on the driver
//! that hangs. Mount operations run on threads of one name, and a thread in state `D` waits where no signal reaches it.

use std::fs;
use std::path::Path;

use super::read::FactPaths;

/// The driver's program, as the kernel cuts it off (15 bytes).
const PROGRAM: &str = "azurelustre-csi";
/// Name of the threads that mount, unmount and ask.
pub(in super::super) const THREAD: &str = "mount";
/// Most threads that are told.
const MOST: usize = 64;

/// A line for each thread that hangs. What cannot be read is passed over: processes end while they are looked at.
pub(super) fn read(paths: &FactPaths) -> Vec<String> {
    let proc = paths.root.join("proc");
    let mut told = Vec::new();
    for process in numbered(&proc).into_iter().filter(|process| name(process) == PROGRAM) {
        for thread in numbered(&process.join("task")).into_iter().filter(|thread| name(thread) == THREAD) {
            if told.len() < MOST && state(&thread) == Some('D') {
                told.push(line(&process, &thread));
            }
        }
    }
    told
}

/// Directories that are named by a number, in order.
fn numbered(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let number = |entry: &fs::DirEntry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
    let mut found: Vec<_> = entries.filter_map(|entry| Some((number(&entry)?, entry.path()))).collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn name(directory: &Path) -> String {
    fs::read_to_string(directory.join("comm")).unwrap_or_default().trim_end().to_owned()
}

/// The letter after the name in brackets, which may itself hold brackets.
fn state(thread: &Path) -> Option<char> {
    let stat = fs::read_to_string(thread.join("stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

fn line(process: &Path, thread: &Path) -> String {
    let number = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (process, thread_number) = (number(process), number(thread));
    let waits = fs::read_to_string(thread.join("wchan")).unwrap_or_default();
    let waits = waits.trim().trim_matches('0');
    let place = if waits.is_empty() { String::new() } else { format!(" in {waits}") };
    format!("thread {thread_number} of the driver (process {process}) waits in the kernel{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(root: &Path, process: &str, program: &str, thread: &str, name: &str, stat: &str) {
        let task = root.join("proc").join(process).join("task").join(thread);
        fs::create_dir_all(&task).unwrap();
        fs::write(root.join("proc").join(process).join("comm"), format!("{program}\n")).unwrap();
        fs::write(task.join("comm"), format!("{name}\n")).unwrap();
        fs::write(task.join("stat"), stat).unwrap();
        fs::write(task.join("wchan"), "ptlrpc_set_wait").unwrap();
    }

    #[test]
    fn only_hanging_threads_of_the_driver_are_told() {
        let root = tempfile::tempdir().unwrap();
        thread(root.path(), "12", PROGRAM, "30", THREAD, "30 (mou) nt) D 1 1 1");
        thread(root.path(), "12", PROGRAM, "31", THREAD, "31 (mount) S 1 1 1");
        thread(root.path(), "12", PROGRAM, "32", "tokio-rt-worker", "32 (tokio) D 1 1 1");
        thread(root.path(), "13", "another", "40", THREAD, "40 (mount) D 1 1 1");
        fs::create_dir_all(root.path().join("proc/self/task/1")).unwrap();
        let told = read(&FactPaths { root: root.path().to_owned() });
        assert_eq!(told, ["thread 30 of the driver (process 12) waits in the kernel in ptlrpc_set_wait"]);
    }

    #[test]
    fn nothing_to_read_is_nothing_stuck() {
        let root = tempfile::tempdir().unwrap();
        assert!(read(&FactPaths { root: root.path().to_owned() }).is_empty());
    }
}
