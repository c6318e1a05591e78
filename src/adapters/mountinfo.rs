//! What the kernel says is mounted where, as `/proc/self/mountinfo` has it.
//!
//! Why the path decides: all mounts of one Lustre have the same device number, so neither `st_dev` nor the numbers in
//! this file distinguish two of them, nor a mount from the directory that it hides. What is visible at a path follows from
//! the tree of mounts: a path is walked from the root, and wherever a mount sits on the way, the walk continues in it.
//! Fields are bytes; blanks, tabs, line ends and backslashes come as octal escapes.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One mount of this process's mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountEntry {
    /// Unique among the mounts of the moment.
    pub(super) id: u64,
    /// The mount that it sits on; not listed for the root.
    pub(super) parent: u64,
    /// What of the file system is mounted: `/`, or a directory of it for a bind mount.
    pub(super) root: PathBuf,
    /// Where it is mounted, free of symbolic links.
    pub(super) mount_point: PathBuf,
    /// Such as `lustre`.
    pub(super) fs_type: String,
    /// As given when it was mounted.
    pub(super) source: String,
    /// As the file has it, if that differs: Lustre 2.17 and newer write it without escapes.
    pub(super) raw_source: Option<String>,
    /// Options of the mount and of its file system, each once.
    pub(super) options: Vec<String>,
    /// Whether mounts made on it propagate to its peers (`shared:N`, `mount_namespaces(7)`); `master:N` alone only receives.
    pub(super) shared: bool,
}

impl MountEntry {
    /// What the source may be: the kernel escapes blanks, tabs, line ends and backslashes, Lustre 2.17 does not.
    #[cfg(feature = "kernel")]
    pub(super) fn sources(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.source.as_str()).chain(self.raw_source.as_deref())
    }
}

/// All mounts of one moment: the file itself. A node has hundreds of mounts, and a question is about one path, so a line is
/// taken apart only as far as that path needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mountinfo {
    bytes: Vec<u8>,
}

impl Mountinfo {
    /// The file as it was read; lines that make no sense are passed over.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// All mounts, also those that are hidden by others.
    #[cfg(feature = "kernel")]
    pub(super) fn entries(&self) -> impl Iterator<Item = MountEntry> {
        self.raw().filter_map(parse)
    }

    /// The mounts whose mount point is exactly this path, in the order of the file, also those that are hidden by others.
    #[cfg(feature = "simulator")]
    pub(super) fn all_at(&self, path: &Path) -> Vec<MountEntry> {
        let there = |line: &&[u8]| point(line).is_some_and(|point| *point == *path);
        self.raw().filter(there).filter_map(parse).collect()
    }

    /// The mounts that are visible at exactly this path, the lowest first. The path may hold no symbolic link.
    #[cfg(feature = "kernel")]
    pub(super) fn at(&self, path: &Path) -> Vec<MountEntry> {
        let mut walked = self.along(path);
        walked.retain(|line| line.mount_point == path);
        walked
    }

    /// The mounts that a walk to this path enters, in this order. The path may hold no symbolic link.
    #[cfg(feature = "kernel")]
    pub(super) fn along(&self, path: &Path) -> Vec<MountEntry> {
        // A mount sits below the mount point of the mount that it sits on, so those on the way are all that count.
        let on_the_way = |line: &&[u8]| point(line).is_some_and(|point| path.starts_with(point));
        let mut left: Vec<MountEntry> = self.raw().filter(on_the_way).filter_map(parse).collect();
        let listed: Vec<u64> = self.raw().filter_map(|line| number(line.split(|byte| *byte == b' ').next()?)).collect();
        let mut walked: Vec<MountEntry> = vec![];
        let mut current = None;
        // Each mount is entered once at most: a file that says otherwise cannot keep the walk going.
        while let Some(next) = crossed(&left, current, &listed) {
            let line = left.remove(next);
            current = Some(line.id);
            walked.push(line);
        }
        walked
    }

    /// The mounts somewhere below this path.
    #[cfg(feature = "kernel")]
    pub(super) fn below(&self, path: &Path) -> impl Iterator<Item = MountEntry> {
        let below = move |line: &&[u8]| point(line).is_some_and(|point| *point != *path && point.starts_with(path));
        self.raw().filter(below).filter_map(parse)
    }

    fn raw(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|byte| *byte == b'\n')
    }
}

/// Of the mounts that sit on `parent`, or on none that is listed, the first that a walk meets; of two at one place the
/// later.
#[cfg(feature = "kernel")]
fn crossed(left: &[MountEntry], parent: Option<u64>, listed: &[u64]) -> Option<usize> {
    let sits_on = |line: &MountEntry| (line.parent != line.id && listed.contains(&line.parent)).then_some(line.parent);
    let children = left.iter().enumerate().rev().filter(|(_, line)| sits_on(line) == parent);
    children.min_by_key(|(_, line)| line.mount_point.as_os_str().len()).map(|(index, _)| index)
}

/// The mount point of a line, which is not taken apart any further.
fn point(line: &[u8]) -> Option<Cow<'_, Path>> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    if field.contains(&b'\\') {
        return Some(Cow::Owned(path(field)));
    }
    Some(Cow::Borrowed(Path::new(OsStr::from_bytes(field))))
}

/// `id parent major:minor root point options [tag…] - type source super-options`
fn parse(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (id, parent) = (number(fields.next()?)?, number(fields.next()?)?);
    let (root, mount_point) = (path(fields.nth(1)?), path(fields.next()?));
    let mut options = words(fields.next()?);
    let tags: Vec<&[u8]> = fields.by_ref().take_while(|field| *field != b"-").collect();
    let shared = tags.iter().any(|tag| tag.starts_with(b"shared:"));
    let fs_type = text(fields.next()?);
    // Blanks of a source that is not escaped: it is what lies between the type and the options, which hold none.
    let rest: Vec<&[u8]> = fields.collect();
    let (super_options, source) = rest.split_last().filter(|(_, source)| !source.is_empty())?;
    let (raw_source, is_escaped) = (source.join(&b' '), source.len() == 1);
    let (raw, unescaped) = (String::from_utf8_lossy(&raw_source).into_owned(), text(&raw_source));
    let (source, raw_source) = if is_escaped && raw != unescaped { (unescaped, Some(raw)) } else { (raw, None) };
    for word in words(super_options) {
        if !options.contains(&word) {
            options.push(word);
        }
    }
    Some(MountEntry { id, parent, root, mount_point, fs_type, source, raw_source, options, shared })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
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
