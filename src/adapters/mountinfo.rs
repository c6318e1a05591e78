//! What the kernel says is mounted where, as `/proc/self/mountinfo` has it.
//!
//! Why the path decides: all mounts of one Lustre have the same device number, so neither `st_dev` nor the numbers in
//! this file tell two of them apart, nor a mount from the directory that it hides. What is visible at a path follows from
//! the tree of mounts: a path is walked from the root, and wherever a mount sits on the way, the walk goes on in it.
//! Fields are bytes; blanks, tabs, line ends and backslashes come as octal escapes.

#[cfg(feature = "kernel")]
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount of this process's mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Unique among the mounts of the moment.
    pub(super) id: u64,
    /// The mount that it sits on; not listed for the root.
    pub(super) parent: u64,
    /// What of the file system is mounted: `/`, or a directory of it for a bind mount.
    pub(super) root: PathBuf,
    /// Where it is mounted, free of symbolic links.
    pub(super) point: PathBuf,
    /// Such as `lustre`.
    pub(super) fs_type: String,
    /// As given when it was mounted.
    pub(super) source: String,
    /// Options of the mount and of its file system, each once.
    pub(super) options: Vec<String>,
}

/// All mounts of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mountinfo {
    lines: Vec<Line>,
}

impl Mountinfo {
    /// Reads the file; lines that make no sense are passed over.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self { lines: bytes.split(|byte| *byte == b'\n').filter_map(parse).collect() }
    }

    /// All mounts, also those that are hidden by others.
    #[cfg(feature = "kernel")]
    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// All mounts, for good.
    #[cfg(feature = "kernel")]
    pub(super) fn into_lines(self) -> impl Iterator<Item = Line> {
        self.lines.into_iter()
    }

    /// The mounts whose mount point is exactly this path, in the order of the file, also those that are hidden by others.
    #[cfg(feature = "simulator")]
    pub(super) fn on(self, path: &Path) -> Vec<Line> {
        self.lines.into_iter().filter(|line| line.point == path).collect()
    }

    /// The mounts that are visible at exactly this path, the lowest first. The path may hold no symbolic link.
    #[cfg(feature = "kernel")]
    pub(super) fn at(&self, path: &Path) -> Vec<&Line> {
        let mut on: BTreeMap<Option<u64>, Vec<&Line>> = BTreeMap::new();
        let listed: BTreeSet<u64> = self.lines.iter().map(|line| line.id).collect();
        for line in &self.lines {
            let inner = line.parent != line.id && listed.contains(&line.parent);
            on.entry(inner.then_some(line.parent)).or_default().push(line);
        }
        let mut walked = vec![];
        let mut current = None;
        // Each mount is entered once at most: a file that says otherwise cannot keep the walk going.
        while let Some(next) = on.remove(&current).and_then(|children| crossed(&children, path)) {
            walked.push(next);
            current = Some(next.id);
        }
        walked.retain(|line| line.point == path);
        walked
    }

    /// The mounts somewhere below this path.
    #[cfg(feature = "kernel")]
    pub(super) fn below(&self, path: &Path) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.point != path && line.point.starts_with(path))
    }
}

/// The first of these mounts that a walk to the path meets; of two at one place the later.
#[cfg(feature = "kernel")]
fn crossed<'a>(children: &[&'a Line], path: &Path) -> Option<&'a Line> {
    let on_the_way = children.iter().rev().filter(|line| path.starts_with(&line.point));
    on_the_way.min_by_key(|line| line.point.as_os_str().len()).copied()
}

/// `id parent major:minor root point options [tag…] - type source super-options`
fn parse(line: &[u8]) -> Option<Line> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let (root, point) = (path(fields.nth(1)?), path(fields.next()?));
    let mut options = words(fields.next()?);
    fields.find(|field| *field == b"-")?;
    let (fs_type, source) = (text(fields.next()?), text(fields.next()?));
    for word in words(fields.next()?) {
        if !options.contains(&word) {
            options.push(word);
        }
    }
    Some(Line { id, parent, root, point, fs_type, source, options })
}

fn path(field: &[u8]) -> PathBuf {
    OsString::from_vec(unescape(field)).into()
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

fn words(field: &[u8]) -> Vec<String> {
    field.split(|byte| *byte == b',').map(text).collect()
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = if *first == b'\\' { behind.split_at_checked(3) } else { None };
        let decoded = escaped.and_then(|(digits, after)| Some((octal(digits)?, after)));
        let (byte, after) = decoded.unwrap_or((*first, behind));
        plain.push(byte);
        rest = after;
    }
    plain
}

/// Three octal digits and nothing else: `from_str_radix` alone would take a sign.
fn octal(digits: &[u8]) -> Option<u8> {
    let all_octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
    u8::from_str_radix(all_octal.then(|| std::str::from_utf8(digits).ok())??, 8).ok()
}

#[cfg(test)]
mod tests;
