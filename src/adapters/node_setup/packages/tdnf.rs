//! Downloading the package by tdnf of Azure Linux 3, or dnf where tdnf fails for other reasons than the network.
//!
//! From documents, not proved on a node. The name of the package with the modules is taken from the requirements of the
//! metapackage, which names client and kernel.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::rpm::KMOD;
use super::{Job, fetch_errors, files, limit, not_run};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::PrivateDir;
use crate::adapters::node_setup::ports::PlannedStep;
use crate::adapters::node_setup::tools::{Invocation, ToolError};

/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(150);
/// The only repository that is used.
const REPOSITORY: &str = "azurelustre-csi-amlfs";

impl Job<'_> {
    /// The metapackage's name and version.
    fn metapackage(&self) -> String {
        let kernel = self.kernel.strip_suffix(&format!(".{}", self.machine.rpm())).unwrap_or(self.kernel);
        format!("amlfs-lustre-client-{}-{}-1", self.client.with_underscores(), kernel.replace(['-', '_'], "."))
    }

    /// Downloads the package and checks its signature; the path is as the host sees it.
    pub(super) fn download_by_tdnf(&self, left: Duration) -> Result<PathBuf, SetupError> {
        self.configure_tdnf()?;
        let package = self.kmod(left)?;
        self.download_rpm(&package, left)?;
        let path = self.downloaded_rpm()?;
        self.check_signature(&path)?;
        Ok(path)
    }

    fn configure_tdnf(&self) -> Result<(), SetupError> {
        let dir = PrivateDir::dnf_dir();
        let (seen, at) = (self.host.path_in_host(&dir), |name: &str| self.host.at(dir.join(name)));
        files::make_dir(&at("repos"))?;
        files::empty_dir(&at("cache"))?;
        files::empty_dir(&at("rpms"))?;
        let keys = self.import_keys()?;
        files::write(&at("tdnf.conf"), config(&seen))?;
        files::write(
            &at("repos").join(format!("{REPOSITORY}.repo")),
            repository(&self.source.repository(self.os), &keys),
        )
    }

    fn tdnf(&self, program: &'static str, args: &[OsString], left: Duration) -> Invocation {
        let config = self.host.path_in_host(PrivateDir::dnf_dir().join("tdnf.conf")).into_os_string();
        let words = ["-c".into(), config, "-q".into(), "-y".into()].into_iter().chain(args.iter().cloned());
        Invocation::new(program, words).within(limit(LIMIT, left))
    }

    fn query(&self, left: Duration) -> Invocation {
        self.tdnf("tdnf", &["repoquery", "--requires", &self.metapackage()].map(OsString::from), left)
    }

    /// The package with the modules, as the metapackage requires it.
    fn kmod(&self, left: Duration) -> Result<String, SetupError> {
        let output = self.tools.run(&self.query(left)).map_err(|error| not_run(self.what(), &error))?;
        if !output.ok() && !fetch_errors::is_not_found(&output) {
            return Err(fetch_errors::of_fetch(&self.what(), "tdnf", &output));
        }
        required_kmod(&output.text()).ok_or_else(|| self.no_client(&[]))
    }

    /// tdnf may fail on the read-only rpm database of the host; dnf, where the host has it, downloads without it.
    fn download_rpm(&self, package: &str, left: Duration) -> Result<(), SetupError> {
        let output = self.tools.run(&self.install(package, left)).map_err(|error| not_run(self.what(), &error))?;
        if output.ok() {
            return Ok(());
        }
        let error = fetch_errors::of_fetch(&self.what(), "tdnf", &output);
        if error.transient {
            return Err(error);
        }
        let dir = self.host.path_in_host(PrivateDir::dnf_dir());
        let option = |name: &str, path: &str| OsString::from(format!("--setopt={name}={}", dir.join(path).display()));
        let destination = dir.join("rpms").into_os_string();
        let args = [
            option("reposdir", "repos"),
            option("cachedir", "cache"),
            option("logdir", "cache"),
            "download".into(),
            "--destdir".into(),
            destination,
            package.into(),
        ];
        match self.tools.run(&self.tdnf("dnf", &args, left)) {
            Ok(output) if output.ok() => Ok(()),
            Ok(output) => Err(fetch_errors::of_fetch(&self.what(), "dnf", &output)),
            Err(ToolError::Missing { .. }) => Err(error),
            Err(failed) => Err(not_run(self.what(), &failed)),
        }
    }

    fn install(&self, package: &str, left: Duration) -> Invocation {
        let rpms = self.host.path_in_host(PrivateDir::dnf_dir().join("rpms")).into_os_string();
        let args = ["install".into(), "--downloadonly".into(), "--downloaddir".into(), rpms, package.into()];
        self.tdnf("tdnf", &args, left)
    }

    /// The package among what was downloaded, which may hold packages that it requires.
    fn downloaded_rpm(&self) -> Result<PathBuf, SetupError> {
        let dir = PrivateDir::dnf_dir().join("rpms");
        let entries = fs::read_dir(self.host.at(&dir)).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name());
        let mut rpms: Vec<_> = names
            .filter(|name| name.to_string_lossy().starts_with(KMOD))
            .filter(|name| Path::new(name).extension().is_some_and(|end| end == "rpm"))
            .collect();
        rpms.sort();
        match rpms.as_slice() {
            [name] => Ok(dir.join(name)),
            names => Err(SetupError::try_again(
                self.what(),
                format!("tdnf succeeded, yet {} packages {KMOD}* are in {}", names.len(), dir.display()),
                "Run node-setup with --dry-run for the commands, and run them on the node.",
            )),
        }
    }

    pub(super) fn planned_by_tdnf(&self, reason: &str) -> Vec<PlannedStep> {
        let dir = self.host.path_in_host(PrivateDir::dnf_dir());
        vec![
            PlannedStep::new(
                "write tdnf's private configuration",
                format!("write {}", dir.join("{tdnf.conf,repos,keys}").display()),
                reason,
            ),
            PlannedStep::new(
                "find the package with the modules",
                self.query(LIMIT).command_line(),
                format!("{} requires it", self.metapackage()),
            ),
            PlannedStep::new("download the package", self.install(&format!("{KMOD}-…"), LIMIT).command_line(), reason),
            PlannedStep::new(
                "check its signature",
                format!("rpmkeys --dbpath {} -Kv {}", dir.join("keys").display(), dir.join("rpms/….rpm").display()),
                "downloading may skip this check",
            ),
        ]
    }
}

fn config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "[main]\ngpgcheck=1\nrepo_gpgcheck=0\ninstallonly_limit=3\nclean_requirements_on_remove=0\nrepodir={dir}/repos\ncachedir={dir}/cache\n"
    )
}

fn repository(url: &str, keys: &[PathBuf]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| format!("file://{}", key.display())).collect();
    let keys = keys.join(" ");
    format!("[{REPOSITORY}]\nname=Azure Managed Lustre\nbaseurl={url}\nenabled=1\ngpgcheck=1\ngpgkey={keys}\n")
}

/// The requirement that is the package with the modules, as a name to install: `NAME = VERSION` becomes `NAME-VERSION`.
fn required_kmod(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| name.starts_with(KMOD))?;
        let version = (words.next() == Some("=")).then(|| words.next()).flatten();
        let package = version.map_or_else(|| name.to_owned(), |version| format!("{name}-{version}"));
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-+~^:".contains(c);
        package.chars().all(plain).then_some(package)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_modules_package_is_found_among_the_requirements() {
        for (text, expected) in [
            (
                "lustre-client-2.17.0\nkmod-lustre-client-2.17.0_24 = 6.6.119.3-1\nkernel = 6.6\n",
                Some("kmod-lustre-client-2.17.0_24-6.6.119.3-1"),
            ),
            ("kmod-lustre-client\n", Some("kmod-lustre-client")),
            ("kmod-lustre-client >= 2\n", Some("kmod-lustre-client")),
            ("kmod-lustre-client(x) = 1\n", None),
            ("kernel = 6.6\n", None),
            ("", None),
        ] {
            assert_eq!(required_kmod(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_repository_names_every_key() {
        let text = repository("https://m/x", &["/d/a.asc".into(), "/d/b.asc".into()]);
        assert!(
            text.contains("\nbaseurl=https://m/x\n") && text.contains("\ngpgkey=file:///d/a.asc file:///d/b.asc\n")
        );
        assert!(config(Path::new("/d")).contains("\nrepodir=/d/repos\ncachedir=/d/cache\n"));
    }

    proptest! {
        #[test]
        fn what_is_found_is_one_plain_word(text in "(kmod-lustre-client[ -~]{0,20}\n?){0,4}") {
            if let Some(package) = required_kmod(&text) {
                prop_assert!(package.starts_with(KMOD) && !package.contains([' ', ';', '$', '/', '(']), "{}", package);
            }
        }
    }
}
