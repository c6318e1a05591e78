//! `ok.json`: which package an unpacked directory holds, with the hash of every file, so that it can be trusted later.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::files;
use super::verify::module_name;
use crate::adapters::node_setup::layout::{HostRoot, PrivateDir};
use crate::adapters::node_setup::modules::LOAD_ORDER;
use crate::adapters::node_setup::version::ClientVersion;

/// The file's name, beside `root`.
pub(super) const NAME: &str = "ok.json";

/// The longest file that is read.
const LONGEST: u64 = 1 << 20;

/// Content of `ok.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// File name of the package.
    package: String,
    /// SHA-256 of the package file.
    sha256: String,
    /// Regular files below `root`, by path relative to it.
    files: BTreeMap<String, RecordedFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RecordedFile {
    size: u64,
    sha256: String,
}

/// Whether this client is unpacked for this kernel, with all files as they were when it was checked.
pub(super) fn is_complete(host: &HostRoot, kernel: &str, client: &ClientVersion) -> bool {
    let dir = host.at(PrivateDir::unpacked(kernel, client));
    read(&dir).is_some_and(|record| record.matches(&dir.join("root")))
}

fn read(dir: &Path) -> Option<Record> {
    let path = dir.join(NAME);
    let short = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST);
    Record::parse(&fs::read(path).ok().filter(|_| short)?)
}

impl Record {
    /// The record of what is below `root`, unpacked from the file `package`.
    pub(super) fn of(package: &Path, root: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        add(root, Path::new(""), &mut files)?;
        let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { package: name, sha256: files::sha256(package)?, files })
    }

    /// Reads a record; `None` if it is none, names a path that leads out of `root`, or lacks a module that is loaded.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        let plain = |path: &String| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        let has = |name: &str| record.files.keys().any(|path| module_name(Path::new(path)).as_deref() == Some(name));
        (record.files.keys().all(plain) && LOAD_ORDER.into_iter().all(has)).then_some(record)
    }

    /// The file's content.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Whether every file is there and is what it was. The size is compared first, since it costs no reading.
    fn matches(&self, root: &Path) -> bool {
        self.files.iter().all(|(path, file)| {
            let path = root.join(path);
            let same_size = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == file.size);
            same_size && files::sha256(&path).is_ok_and(|hash| hash == file.sha256)
        })
    }
}

fn add(root: &Path, dir: &Path, files: &mut BTreeMap<String, RecordedFile>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let (path, meta) = (dir.join(entry.file_name()), entry.metadata()?);
        if meta.is_dir() {
            add(root, &path, files)?;
        } else if meta.is_file() {
            let name = path.to_str().ok_or_else(|| io::Error::other(format!("{} is no UTF-8", path.display())))?;
            let sha256 = files::sha256(&entry.path())?;
            files.insert(name.to_owned(), RecordedFile { size: meta.len(), sha256 });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A directory with all needed modules, and its record.
    fn unpacked() -> (tempfile::TempDir, Record) {
        let dir = tempfile::tempdir().unwrap();
        let modules = dir.path().join("root/lib/modules/k");
        fs::create_dir_all(&modules).unwrap();
        for name in LOAD_ORDER {
            fs::write(modules.join(format!("{name}.ko")), name).unwrap();
        }
        fs::write(dir.path().join("package.deb"), "abc").unwrap();
        let record = Record::of(&dir.path().join("package.deb"), &dir.path().join("root")).unwrap();
        (dir, record)
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let (dir, record) = unpacked();
        assert_eq!((record.package.as_str(), record.files.len()), ("package.deb", LOAD_ORDER.len()));
        assert_eq!(Record::parse(record.to_json().as_bytes()).as_ref(), Some(&record));
        assert!(record.matches(&dir.path().join("root")));
    }

    #[test]
    fn a_file_that_changed_is_noticed() {
        let (dir, record) = unpacked();
        let root = dir.path().join("root");
        let lnet = root.join("lib/modules/k/lnet.ko");
        for change in ["tenl", "", "longer than it was"] {
            fs::write(&lnet, change).unwrap();
            assert!(!record.matches(&root), "{change}");
        }
        fs::write(&lnet, "lnet").unwrap();
        assert!(record.matches(&root));
        fs::remove_file(&lnet).unwrap();
        std::os::unix::fs::symlink("ksocklnd.ko", &lnet).unwrap();
        assert!(!record.matches(&root));
    }

    #[test]
    fn what_is_no_record_or_lacks_modules_or_leads_out_counts_for_nothing() {
        let (_dir, record) = unpacked();
        let json = record.to_json();
        for text in [
            String::new(),
            "{}".to_owned(),
            "null".to_owned(),
            json[..json.len() - 3].to_owned(),
            json.replace("lnet.ko", "lnet.txt"),
            json.replace("lib/modules/k/lnet.ko", "../../lnet.ko"),
            json.replace("lib/modules/k/lnet.ko", "/lib/lnet.ko"),
        ] {
            assert_eq!(Record::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Record::parse(&bytes), None);
        }

        #[test]
        fn a_record_of_any_files_survives_writing(names in proptest::collection::btree_map("[a-z ./-]{1,20}", 0_u64.., 0..8)) {
            let (_dir, mut record) = unpacked();
            let file = |size| RecordedFile { size, sha256: "00".repeat(32) };
            record.files.extend(names.iter().map(|(name, size)| (name.clone(), file(*size))));
            let inside = names.keys().all(|name| Path::new(name).components().all(|part| matches!(part, Component::Normal(_))));
            let read = Record::parse(record.to_json().as_bytes());
            prop_assert_eq!(read, inside.then_some(record));
        }
    }
}
