//! Who uses a mount that cannot be unmounted, as far as `/proc` shows.
//!
//! Why: "device is busy" sends people searching. Only names of links are read, never what they lead to, so that this does
//! not hang with the servers. Processes of other process namespaces are not seen.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::adapters::mountinfo::{MountEntry, Mountinfo};

/// Most holders named.
const NAMED: usize = 5;
/// Most time spent searching.
const SEARCH_FOR: Duration = Duration::from_millis(500);

/// Processes and mounts that hold the mount, in words; none if `/proc` does not tell.
pub(super) fn find(mount: &MountEntry, mounts: &Mountinfo) -> Vec<String> {
    let upon = mounts.below(&mount.mount_point).filter(|line| line.parent == mount.id);
    let mut found: Vec<String> =
        upon.map(|line| format!("a {} mount at {}", line.fs_type, line.mount_point.display())).take(NAMED).collect();
    let until = Instant::now() + SEARCH_FOR;
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if found.len() >= NAMED || Instant::now() >= until {
            break;
        }
        let is_process = process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        found.extend(is_process.then(|| process_at(&process.path(), &mount.mount_point)).flatten());
    }
    found
}

fn process_at(process: &Path, point: &Path) -> Option<String> {
    let is_inside = |link: &Path| std::fs::read_link(link).is_ok_and(|path| path.starts_with(point));
    let links = [("cwd", "works in it"), ("root", "has its root in it"), ("exe", "runs a program of it")];
    let by_link = links.into_iter().find(|(link, _)| is_inside(&process.join(link))).map(|(_, how)| how);
    let open = || {
        let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files.map(|file| file.path()).any(|file| is_inside(&file)).then_some("has files of it open")
    };
    let how = by_link.or_else(open)?;
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    let number = process.file_name().unwrap_or_default().to_string_lossy();
    Some(format!("process {number} ({}) {how}", name.trim_end()))
}
