//! What the kernel says is mounted where, read from `/proc/self/mountinfo`.
//!
//! Why it exists: a target's path in this file is the only way to see a mount without touching it, and the only way to
//! see those that another process left. Fields are bytes; blanks, tabs, line ends and backslashes come as octal escapes.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::domain::mount::Mounted;

/// One mount of this process's mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Unique among the mounts of the moment.
    pub(super) id: u64,
    /// Where it is mounted, free of symbolic links.
    pub(super) point: PathBuf,
    /// What is mounted there, and how.
    pub(super) shown: Mounted,
}

/// All mounts, the older first.
pub(super) fn all() -> io::Result<Vec<Line>> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// The mounts on one path, the lowest first. The path may hold no symbolic link.
pub(super) fn at(point: &Path) -> io::Result<Vec<Line>> {
    Ok(all()?.into_iter().filter(|line| line.point == point).collect())
}

/// `id parent major:minor root point options [tag…] - type source super-options`
fn parse(line: &[u8]) -> Option<Line> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let point = PathBuf::from(OsString::from_vec(unescape(fields.nth(3)?)));
    let mut options = words(fields.next()?);
    fields.find(|field| *field == b"-")?;
    let fs_type = text(fields.next()?);
    let source = text(fields.next()?);
    for word in words(fields.next()?) {
        if !options.contains(&word) {
            options.push(word);
        }
    }
    Some(Line { id, point, shown: Mounted { source, fs_type, options } })
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

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_tags_and_both_kinds_of_options_are_read() {
        let line = br"39 31 8:1 / /mnt/a\040b\134c ro,nosuid shared:5 master:1 - lustre 10.0.0.4@tcp:/lustrefs/team\040a rw,flock,nosuid";
        let Line { id, point, shown } = parse(line).unwrap();
        assert_eq!((id, point.to_str()), (39, Some(r"/mnt/a b\c")));
        assert_eq!((shown.fs_type.as_str(), shown.source.as_str()), ("lustre", "10.0.0.4@tcp:/lustrefs/team a"));
        assert_eq!(shown.options, ["ro", "nosuid", "rw", "flock"]);
    }

    #[test]
    fn odd_lines_are_passed_over_and_odd_escapes_kept() {
        for odd in
            ["", "39", "x 31 8:1 / /mnt rw - lustre s rw", "39 31 8:1 / /mnt rw lustre s rw", "1 2 3 4 5 6 - a b"]
        {
            assert_eq!(parse(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(unescape(br"a\04\999\777\040"), br"a\04\999\777 ");
    }

    #[test]
    fn the_root_of_this_process_is_listed() {
        assert!(!at(Path::new("/")).unwrap().is_empty());
    }
}
