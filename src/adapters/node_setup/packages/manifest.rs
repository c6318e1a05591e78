//! Manifest of an unpacked package, `ok.json`: the package's name and SHA-256, and size and SHA-256 of every file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::files;
use super::verify::module_name;
use crate::adapters::node_setup::layout::{HostRoot, unpacked_dir};
use crate::adapters::node_setup::modules::LOAD_ORDER;
use crate::adapters::node_setup::version::ClientVersion;

/// The file's name, beside `root`.
pub(super) const NAME: &str = "ok.json";

/// Maximum size of the file in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// Content of `ok.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// File name of the package.
    package: String,
    /// SHA-256 of the package file.
    sha256: String,
    /// Regular files below `root`, by path relative to it.
    files: BTreeMap<String, ManifestFile>,
}

/// Size in bytes and SHA-256 of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ManifestFile {
    size: u64,
    sha256: String,
}

/// Whether this client is unpacked for this kernel, with all files as they were when they were verified.
pub(super) fn is_complete(host: &HostRoot, kernel: &str, client: &ClientVersion) -> bool {
    let dir = host.at(unpacked_dir(kernel, client));
    read(&dir).is_some_and(|manifest| manifest.matches(&dir.join("root")))
}

fn read(dir: &Path) -> Option<Manifest> {
    let path = dir.join(NAME);
    let is_small = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_SIZE);
    Manifest::parse(&fs::read(path).ok().filter(|_| is_small)?)
}

impl Manifest {
    /// The manifest of the files below `root`, which were unpacked from the file `package`.
    pub(super) fn of(package: &Path, root: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for (path, meta) in files::walk(root)?.into_iter().filter(|(_, meta)| meta.is_file()) {
            let name = path.to_str().ok_or_else(|| io::Error::other(format!("{} is not UTF-8", path.display())))?;
            let sha256 = files::sha256(&root.join(&path))?;
            files.insert(name.to_owned(), ManifestFile { size: meta.len(), sha256 });
        }
        let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { package: name, sha256: files::sha256(package)?, files })
    }

    /// Reads a manifest; `None` if it is not valid, has a path that leads out of `root`, or lacks a module that is loaded.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(bytes).ok()?;
        let is_plain = |path: &String| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        let has = |name: &str| manifest.files.keys().any(|path| module_name(Path::new(path)).as_deref() == Some(name));
        (manifest.files.keys().all(is_plain) && LOAD_ORDER.into_iter().all(has)).then_some(manifest)
    }

    /// The file's content.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Whether every file exists unaltered. The size is compared first, since it costs no reading.
    fn matches(&self, root: &Path) -> bool {
        self.files.iter().all(|(path, file)| {
            let path = root.join(path);
            let same_size = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == file.size);
            same_size && files::sha256(&path).is_ok_and(|hash| hash == file.sha256)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A directory with all modules that are loaded, and its manifest.
    fn unpacked() -> (tempfile::TempDir, Manifest) {
        let dir = tempfile::tempdir().unwrap();
        let modules = dir.path().join("root/lib/modules/k");
        fs::create_dir_all(&modules).unwrap();
        for name in LOAD_ORDER {
            fs::write(modules.join(format!("{name}.ko")), name).unwrap();
        }
        fs::write(dir.path().join("package.deb"), "abc").unwrap();
        let manifest = Manifest::of(&dir.path().join("package.deb"), &dir.path().join("root")).unwrap();
        (dir, manifest)
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let (dir, manifest) = unpacked();
        assert_eq!((manifest.package.as_str(), manifest.files.len()), ("package.deb", LOAD_ORDER.len()));
        assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).as_ref(), Some(&manifest));
        assert!(manifest.matches(&dir.path().join("root")));
    }

    #[test]
    fn a_file_that_changed_is_noticed() {
        let (dir, manifest) = unpacked();
        let root = dir.path().join("root");
        let lnet = root.join("lib/modules/k/lnet.ko");
        for change in ["tenl", "", "longer than it was"] {
            fs::write(&lnet, change).unwrap();
            assert!(!manifest.matches(&root), "{change}");
        }
        fs::write(&lnet, "lnet").unwrap();
        assert!(manifest.matches(&root));
        fs::remove_file(&lnet).unwrap();
        std::os::unix::fs::symlink("ksocklnd.ko", &lnet).unwrap();
        assert!(!manifest.matches(&root));
    }

    #[test]
    fn an_invalid_manifest_one_without_modules_and_one_with_a_path_out_of_the_root_are_rejected() {
        let (_dir, manifest) = unpacked();
        let json = manifest.to_json();
        for text in [
            String::new(),
            "{}".to_owned(),
            "null".to_owned(),
            json[..json.len() - 3].to_owned(),
            json.replace("lnet.ko", "lnet.txt"),
            json.replace("lib/modules/k/lnet.ko", "../../lnet.ko"),
            json.replace("lib/modules/k/lnet.ko", "/lib/lnet.ko"),
        ] {
            assert_eq!(Manifest::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Manifest::parse(&bytes), None);
        }

        #[test]
        fn a_manifest_of_any_files_survives_writing(names in proptest::collection::btree_map("[a-z ./-]{1,20}", 0_u64.., 0..8)) {
            let (_dir, mut manifest) = unpacked();
            let file = |size| ManifestFile { size, sha256: "00".repeat(32) };
            manifest.files.extend(names.iter().map(|(name, size)| (name.clone(), file(*size))));
            let inside = names.keys().all(|name| Path::new(name).components().all(|part| matches!(part, Component::Normal(_))));
            let read = Manifest::parse(manifest.to_json().as_bytes());
            prop_assert_eq!(read, inside.then_some(manifest));
        }
    }
}
