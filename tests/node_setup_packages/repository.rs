//! A signed apt repository, its key, and packages for it.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::modules::{self, Info, KERNEL};
use crate::server::Server;
use crate::tools::{run, shared_dir};

/// The requested client.
pub(crate) const CLIENT: &str = "2.17.0-24-gf517bc4";

/// An `OpenPGP` key pair with a key ring of its own.
#[derive(Debug)]
pub(crate) struct Key {
    home: PathBuf,
}

impl Key {
    fn new() -> Self {
        let home = shared_dir();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let key = Self { home };
        key.gpg(&["--passphrase", "", "--quick-gen-key", "Signer of tests", "rsa2048", "sign", "never"]);
        key
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn gpg(&self, args: &[&str]) -> String {
        run(Command::new("gpg").env("GNUPGHOME", &self.home).args(["--batch", "--yes", "--quiet"]), args)
    }

    /// The public key, armoured.
    pub(crate) fn public(&self) -> String {
        self.gpg(&["--armor", "--export"])
    }
}

/// Made once, since each takes a second: a key that is trusted, and one that is not.
pub(crate) static TRUSTED: LazyLock<Key> = LazyLock::new(Key::new);
pub(crate) static OTHER: LazyLock<Key> = LazyLock::new(Key::new);

/// The modules of [`CLIENT`], compiled once.
static MODULES: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = shared_dir();
    modules::client(&dir, &Info { kernel: KERNEL.to_owned(), version: CLIENT.replace('-', "_") });
    dir
});

/// The name of a package with modules.
pub(crate) fn name(kernel: &str, client: &str) -> String {
    format!("kmod-lustre-client-{kernel}-{client}")
}

/// Where a package has its modules.
pub(crate) fn updates(root: &Path) -> PathBuf {
    root.join("lib/modules").join(KERNEL).join("updates/kernel/net/lustre")
}

/// The content of the package of [`CLIENT`].
pub(crate) fn content(root: &Path) {
    let dir = updates(root);
    fs::create_dir_all(&dir).unwrap();
    for entry in fs::read_dir(&*MODULES).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
}

/// Makes a `.deb` with this content; adds its control file to the directory.
pub(crate) fn deb(root: &Path, package: &str, version: &str, arch: &str, file: &Path) {
    let control = root.join("DEBIAN");
    fs::create_dir_all(&control).unwrap();
    let text = format!(
        "Package: {package}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: Tests <tests@example.com>\nDescription: test\n"
    );
    fs::write(control.join("control"), text).unwrap();
    let args = ["--root-owner-group", "-Zgzip", "-z1", "-b"];
    run(Command::new("dpkg-deb").args(args), [root, file]);
}

/// Architectures of a repository.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// The index of an architecture.
fn index(arch: &str) -> String {
    format!("dists/noble/main/binary-{arch}/Packages")
}

/// A repository, served.
#[derive(Debug)]
pub(crate) struct Repository {
    dir: tempfile::TempDir,
    pub(crate) server: Server,
}

impl Repository {
    /// A signed repository with the package of [`CLIENT`].
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same with a changed content of that package.
    pub(crate) fn with(change: impl FnOnce(&Path)) -> Self {
        let repository = Self::empty();
        let root = tempfile::tempdir().unwrap();
        content(root.path());
        change(root.path());
        repository.add(root.path(), &name(KERNEL, CLIENT), "1", "amd64");
        repository.sign(&TRUSTED);
        repository
    }

    /// A repository without packages and signature.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("pool")).unwrap();
        for arch in ARCHITECTURES {
            let index = dir.path().join(index(arch));
            fs::create_dir_all(index.parent().unwrap()).unwrap();
            fs::write(index, "").unwrap();
        }
        let server = Server::start(dir.path());
        Self { dir, server }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The package's file of [`CLIENT`].
    pub(crate) fn package(&self) -> PathBuf {
        self.path(&format!("pool/{}_1_amd64.deb", name(KERNEL, CLIENT)))
    }

    /// Adds a package with this content to the index.
    pub(crate) fn add(&self, root: &Path, package: &str, version: &str, arch: &str) {
        self.add_as(root, package, package, version, arch);
    }

    /// Adds a package whose name in the index is `indexed`.
    pub(crate) fn add_as(&self, root: &Path, indexed: &str, package: &str, version: &str, arch: &str) {
        let file = format!("pool/{indexed}_{version}_{arch}.deb");
        deb(root, package, version, arch, &self.path(&file));
        let (size, hash) = size_and_hash(&self.path(&file));
        let index = self.path(&index(arch));
        let mut text = fs::read_to_string(&index).unwrap();
        write!(
            text,
            "Package: {indexed}\nVersion: {version}\nArchitecture: {arch}\nFilename: {file}\nSize: {size}\nSHA256: {hash}\n\n"
        )
        .unwrap();
        fs::write(index, text).unwrap();
    }

    /// Writes and signs the release file.
    pub(crate) fn sign(&self, key: &Key) {
        let entries = ARCHITECTURES.map(|arch| {
            let index = index(arch);
            let (size, hash) = size_and_hash(&self.path(&index));
            format!(" {hash} {size} {}\n", index.trim_start_matches("dists/noble/"))
        });
        let entries = entries.concat();
        let date = run(&mut Command::new("date"), ["-Ru"]).replace("+0000", "UTC");
        let text = format!(
            "Suite: noble\nCodename: noble\nArchitectures: {}\nComponents: main\nDate: {date}SHA256:\n{entries}",
            ARCHITECTURES.join(" ")
        );
        let (release, signed) = (self.path("dists/noble/Release"), self.path("dists/noble/InRelease"));
        fs::write(&release, text).unwrap();
        key.gpg(&["--clearsign", "-o", signed.to_str().unwrap(), release.to_str().unwrap()]);
        fs::remove_file(release).unwrap();
    }
}

fn size_and_hash(file: &Path) -> (u64, String) {
    let text = run(&mut Command::new("sha256sum"), [file]);
    (fs::metadata(file).unwrap().len(), text.split_whitespace().next().unwrap().to_owned())
}
