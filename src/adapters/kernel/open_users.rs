//! Processes and mounts that keep a mount busy (EBUSY of umount2(2)), as far as `/proc` shows them.
//!
//! Only the names of links are read, never their targets, so that the search does not hang with the servers. Processes of
//! other process namespaces are not seen.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::adapters::mountinfo::{MountEntry, Mountinfo};

/// Most users reported.
const REPORTED: usize = 5;
/// Most time spent searching.
const SEARCH_FOR: Duration = Duration::from_millis(500);

/// Descriptions of the users of a mount; none if `/proc` shows none.
pub(super) fn find(mount: &MountEntry, mounts: &Mountinfo) -> Vec<String> {
    let on_top = mounts.below(&mount.mount_point).filter(|other| other.parent == mount.id);
    let mut found: Vec<String> = on_top
        .map(|other| format!("a {} mount at {}", other.fs_type, other.mount_point.display()))
        .take(REPORTED)
        .collect();
    let until = Instant::now() + SEARCH_FOR;
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if found.len() >= REPORTED || Instant::now() >= until {
            break;
        }
        let is_process = process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        found.extend(is_process.then(|| describe(&process.path(), &mount.mount_point)).flatten());
    }
    found
}

fn describe(process: &Path, point: &Path) -> Option<String> {
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
