//! Reading small files of the kernel: never more than is sensible, and what cannot be read is told in words.
//!
//! Why it exists: these files belong to other versions of Lustre than the one at hand, to containers that see half of
//! them, and to kernels that refuse some. A fact that cannot be had is unknown, which is neither good nor bad.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest file of sysfs or debugfs that is read, in bytes. The real ones hold a few thousand.
pub(super) const SMALL: u64 = 256 << 10;

/// Something that may be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// It is.
    Known(T),
    /// It is not, for this reason.
    Unknown(String),
}

impl<T> Fact<T> {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Why it is not known, if it is not.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(why) => Some(why),
        }
    }

    /// What the value tells, if it is known.
    pub fn and_then<U>(self, tell: impl FnOnce(T) -> Fact<U>) -> Fact<U> {
        match self {
            Self::Known(value) => tell(value),
            Self::Unknown(why) => Fact::Unknown(why),
        }
    }
}

/// Where the kernel's files are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactPaths {
    /// Directory that holds `sys` and `proc`: `/`, or a tree that tests made.
    pub root: PathBuf,
}

impl Default for FactPaths {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl FactPaths {
    /// A path given from the root, with or without its leading slash.
    pub(super) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The bytes of a file that is no longer than `limit` bytes. A longer one is an error: half a table is no table.
    pub(super) fn bytes(&self, path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        File::open(self.at(path))?.take(limit.saturating_add(1)).read_to_end(&mut read)?;
        if read.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes")));
        }
        Ok(read)
    }

    /// The text of a small file; what is not UTF-8 is replaced.
    pub(super) fn text(&self, path: &str) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(path, SMALL)?).into_owned())
    }

    /// The text of a small file as a fact.
    pub(super) fn fact(&self, path: &str) -> Fact<String> {
        self.text(path).map_or_else(|error| Fact::Unknown(unreadable(path, &error)), Fact::Known)
    }

    /// The first line of a small file, without blanks round it; none if it is absent, unreadable or empty.
    pub(super) fn line(&self, path: &str) -> Option<String> {
        let text = self.text(path).ok()?;
        let line = text.lines().next()?.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }
}

/// Why a file could not be read, and what stands behind it most often.
pub(super) fn unreadable(path: &str, error: &io::Error) -> String {
    let debugfs = path.starts_with("/sys/kernel/debug/");
    match error.kind() {
        io::ErrorKind::NotFound if debugfs => {
            format!("{path} is not there; is debugfs mounted at /sys/kernel/debug (and visible in this container)?")
        }
        io::ErrorKind::NotFound => format!("{path} is not there"),
        io::ErrorKind::PermissionDenied if debugfs => {
            format!("{path} may not be read; it takes root, and a kernel in lockdown refuses it to everybody")
        }
        io::ErrorKind::PermissionDenied => format!("{path} may not be read by this user"),
        _ => format!("{path} cannot be read: {error}"),
    }
}

/// Text of the kernel made fit for one line: control characters escaped. Nothing is cut off.
pub(super) fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lie_below_the_root() {
        let paths = FactPaths { root: PathBuf::from("/tree") };
        assert_eq!(paths.at("/sys/module"), Path::new("/tree/sys/module"));
        assert_eq!(paths.at("proc"), Path::new("/tree/proc"));
        assert_eq!(FactPaths::default().at("/proc"), Path::new("/proc"));
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let paths = FactPaths { root: root.path().to_owned() };
        std::fs::write(root.path().join("f"), b" 2.15.5 \nmore\xff").unwrap();
        assert_eq!(paths.bytes("/f", 14).unwrap().len(), 14);
        assert_eq!(paths.bytes("/f", 13).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(paths.line("/f").as_deref(), Some("2.15.5"));
        assert_eq!(paths.text("/f").unwrap(), " 2.15.5 \nmore\u{fffd}");
        assert_eq!((paths.line("/absent"), paths.line("/")), (None, None));
        std::fs::write(root.path().join("empty"), "\n").unwrap();
        assert_eq!(paths.line("/empty"), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_stands_behind_it() {
        use io::ErrorKind::{NotFound, PermissionDenied};
        for (path, kind, said) in [
            ("/sys/kernel/debug/lnet/nis", NotFound, "is debugfs mounted"),
            ("/sys/kernel/debug/lnet/nis", PermissionDenied, "lockdown"),
            ("/sys/fs/lustre/version", NotFound, "is not there"),
            ("/sys/fs/lustre/version", PermissionDenied, "by this user"),
            ("/sys/fs/lustre/version", io::ErrorKind::FileTooLarge, "cannot be read: "),
        ] {
            let told = unreadable(path, &io::Error::from(kind));
            assert!(told.contains(path) && told.contains(said), "{told}");
        }
        assert_eq!(one_line("a\nb\u{1b}[1m é"), "a\\nb\\u{1b}[1m é");
    }
}
