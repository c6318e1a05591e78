//! Reads of small files in sysfs, procfs and debugfs.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest file of sysfs or debugfs that is read, in bytes. The real ones hold a few thousand.
const LONGEST_ATTRIBUTE: u64 = 256 << 10;

/// Bytes that each read(2) asks for. Lustre's debugfs handlers (`lnet/nis`, `lnet/peers` …) hand out one whole record per
/// read and answer EINVAL when the buffer is smaller than the record, so the first read must be as large as the others.
const READ_SIZE: usize = 64 << 10;

/// The kernel's files, which are below one root directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFiles {
    /// Directory that holds `sys` and `proc`: `/`, or a tree of a test.
    pub root: PathBuf,
}

impl Default for KernelFiles {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl KernelFiles {
    /// Where a file is; the path is given from the root, with or without its leading slash.
    pub(in crate::adapters::kernel) fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        let file = file.as_ref();
        self.root.join(file.strip_prefix("/").unwrap_or(file))
    }

    /// The bytes of a file that is no longer than `limit` bytes. A longer one is an error, since a table that is cut off is wrong.
    pub(in crate::adapters::kernel) fn bytes(&self, file: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
        read_records(&mut File::open(self.path(file))?, limit)
    }

    /// The text of a small file; what is not UTF-8 is replaced.
    pub(super) fn attribute(&self, file: &str) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(file, LONGEST_ATTRIBUTE)?).into_owned())
    }

    /// [`KernelFiles::attribute`], or why it cannot be read.
    pub(super) fn text(&self, file: &str) -> Result<String, String> {
        self.attribute(file).map_err(|error| unreadable(file, &error))
    }

    /// The first line of a small file, without blanks round it; none if it is absent, unreadable or empty.
    pub(super) fn first_line(&self, file: &str) -> Option<String> {
        let text = self.attribute(file).ok()?;
        let line = text.lines().next()?.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }
}

/// Reads to the end with buffers that hold any record of the kernel, for at most `limit` bytes.
fn read_records(file: &mut impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; READ_SIZE]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(buffer.get(..count).unwrap_or(&buffer)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes")));
        }
    }
}

/// Why a file could not be read, and the most frequent cause.
pub(in crate::adapters::kernel) fn unreadable(path: &str, error: &io::Error) -> String {
    let debugfs = path.starts_with("/sys/kernel/debug/");
    match error.kind() {
        io::ErrorKind::NotFound if debugfs => {
            format!("{path} is not there; is debugfs mounted at /sys/kernel/debug (and visible in this container)?")
        }
        io::ErrorKind::NotFound => format!("{path} is not there"),
        io::ErrorKind::PermissionDenied if debugfs => {
            format!("{path} may not be read; it takes root, and a kernel in lockdown refuses it to every process")
        }
        io::ErrorKind::PermissionDenied => format!("{path} may not be read by this user"),
        _ => format!("{path} cannot be read: {error}"),
    }
}

/// A text in one line: control characters are escaped, nothing is cut off.
pub(in crate::adapters::kernel) fn one_line(text: &str) -> String {
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

    /// A file as the handlers of Lustre's debugfs serve it: a whole record for each read, EINVAL for a buffer that cannot
    /// hold it.
    struct RecordFile(std::collections::VecDeque<Vec<u8>>);

    impl Read for RecordFile {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(record) = self.0.front() else { return Ok(0) };
            let Some(space) = buffer.get_mut(..record.len()) else {
                return Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
            };
            space.copy_from_slice(record);
            Ok(self.0.pop_front().map_or(0, |record| record.len()))
        }
    }

    #[test]
    fn every_read_takes_a_whole_record() {
        let cases: [&[usize]; 4] = [&[81], &[81, 4096, 1], &[33; 20], &[65536, 65536]];
        for sizes in cases {
            let records: Vec<Vec<u8>> = sizes.iter().zip(b'a'..).map(|(size, byte)| vec![byte; *size]).collect();
            let read = read_records(&mut RecordFile(records.clone().into()), LONGEST_ATTRIBUTE);
            assert_eq!(read.unwrap(), records.concat(), "{sizes:?}");
        }
        let error = read_records(&mut RecordFile(vec![vec![b'x'; 40]; 9].into()), 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn paths_are_below_the_root() {
        let files = KernelFiles { root: PathBuf::from("/tree") };
        assert_eq!(files.path("/sys/module"), Path::new("/tree/sys/module"));
        assert_eq!(files.path("proc"), Path::new("/tree/proc"));
        assert_eq!(KernelFiles::default().path("/proc"), Path::new("/proc"));
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let files = KernelFiles { root: root.path().to_owned() };
        std::fs::write(root.path().join("f"), b" 2.15.5 \nmore\xff").unwrap();
        assert_eq!(files.bytes("/f", 14).unwrap().len(), 14);
        assert_eq!(files.bytes("/f", 13).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(files.first_line("/f").as_deref(), Some("2.15.5"));
        assert_eq!(files.attribute("/f").unwrap(), " 2.15.5 \nmore\u{fffd}");
        assert_eq!((files.first_line("/absent"), files.first_line("/")), (None, None));
        std::fs::write(root.path().join("empty"), "\n").unwrap();
        assert_eq!(files.first_line("/empty"), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_reported_with_its_likely_cause() {
        use io::ErrorKind::{NotFound, PermissionDenied};
        for (path, kind, expected) in [
            ("/sys/kernel/debug/lnet/nis", NotFound, "is debugfs mounted"),
            ("/sys/kernel/debug/lnet/nis", PermissionDenied, "lockdown"),
            ("/sys/fs/lustre/version", NotFound, "is not there"),
            ("/sys/fs/lustre/version", PermissionDenied, "by this user"),
            ("/sys/fs/lustre/version", io::ErrorKind::FileTooLarge, "cannot be read: "),
        ] {
            let text = unreadable(path, &io::Error::from(kind));
            assert!(text.contains(path) && text.contains(expected), "{text}");
        }
        assert_eq!(one_line("a\nb\u{1b}[1m é"), "a\\nb\\u{1b}[1m é");
    }
}
