//! Package files in the rpm format: which they are, their signature, and their content.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Job, fetch_errors, files, not_run};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::PrivateDir;
use crate::adapters::node_setup::tools::{Invocation, Output, ToolError};

/// What the names of packages with the client's modules begin with.
pub(super) const KMOD: &str = "kmod-lustre-client";

impl Job<'_> {
    /// Whether an rpm file holds modules of this client for this kernel, judged by its name, version and file list.
    pub(super) fn rpm_is_for(&self, path: &Path) -> Result<bool, SetupError> {
        let seen = self.host.path_in_host(path);
        let format = OsString::from("%{NAME}-%{VERSION}-%{RELEASE}\\n[%{FILENAMES}\\n]");
        let args = ["-qp".into(), "--nosignature".into(), "--qf".into(), format, seen.into_os_string()];
        let what = || format!("cannot read package {}", path.display());
        let text = self.run(what, &Invocation::new("rpm", args))?.text();
        Ok(is_for(&text, self.kernel, self.client.as_str()))
    }

    /// Where the trusted keys are kept for rpmkeys(8).
    fn key_database(&self) -> PathBuf {
        self.host.path_in_host(PrivateDir::dnf_dir().join("keys"))
    }

    /// Makes a key database that holds the trusted keys and no other, and returns the paths of the key files as the host
    /// sees them.
    pub(super) fn import_keys(&self) -> Result<Vec<PathBuf>, SetupError> {
        let dir = PrivateDir::dnf_dir();
        files::empty_dir(&self.host.at(dir.join("keys")))?;
        let mut paths = Vec::new();
        for (name, key) in self.source.trusted_keys() {
            files::write(&self.host.at(dir.join(&name)), key)?;
            let seen = self.host.path_in_host(dir.join(name));
            let args =
                ["--dbpath".into(), self.key_database().into(), "--import".into(), seen.clone().into_os_string()];
            self.run(|| self.what(), &Invocation::new("rpmkeys", args))?;
            paths.push(seen);
        }
        Ok(paths)
    }

    /// Refuses an rpm file without a good signature by a trusted key. Downloading need not have checked it.
    pub(super) fn check_signature(&self, path: &Path) -> Result<(), SetupError> {
        let args = [
            "--dbpath".into(),
            self.key_database().into(),
            "-Kv".into(),
            self.host.path_in_host(path).into_os_string(),
        ];
        let run = Invocation::new("rpmkeys", args);
        let output = self.tools.run(&run).map_err(|error| not_run(self.what(), &error))?;
        if output.ok() && is_signed(&output.text()) {
            return Ok(());
        }
        let said = format!("{} {}", output.text(), output.stderr);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(SetupError::needs_human(
            self.what(),
            format!("{} has no good signature by a trusted key: {said}", path.display()),
            "Do not bypass this check. Compare package-url with its origin; trust another key with package-key-file.",
        ))
    }

    /// Unpacks an rpm file into `root` by the first of three ways for which the host has the programs.
    pub(super) fn extract_rpm(&self, path: &Path, root: &Path) -> Result<(), SetupError> {
        let what = || format!("cannot unpack package {}", path.display());
        let ways = [Self::by_cpio, Self::by_tar, Self::by_rpm];
        let mut missing = Vec::new();
        for way in ways {
            match way(self, path, root) {
                Ok(output) if output.ok() => return Ok(()),
                Ok(output) => return Err(fetch_errors::of_tool(&what(), "unpacking", &output)),
                Err(ToolError::Missing { program }) => missing.push(program),
                Err(error) => return Err(not_run(what(), &error)),
            }
        }
        Err(SetupError::needs_human(
            what(),
            format!("the host has none of {}", missing.join(", ")),
            "Add cpio to the node image.",
        ))
    }

    fn by_cpio(&self, path: &Path, root: &Path) -> Result<Output, ToolError> {
        let cpio = |input| {
            let args = ["-idm", "--quiet", "--no-absolute-filenames"];
            Invocation::new("cpio", args).in_dir(self.host.path_in_host(root)).with_input(input)
        };
        // Asked first, so that a host without cpio does not unpack in vain.
        self.tools.run(&Invocation::new("cpio", ["--version"]))?;
        let archive = self.tools.run(&Invocation::new("rpm2cpio", [self.host.path_in_host(path)]))?;
        if archive.ok() { self.tools.run(&cpio(archive.stdout)) } else { Ok(archive) }
    }

    /// rpm2archive(8) writes a compressed tar archive to standard output if it reads the package from standard input.
    fn by_tar(&self, path: &Path, root: &Path) -> Result<Output, ToolError> {
        self.tools.run(&Invocation::new("tar", ["--version"]))?;
        let package = std::fs::read(self.host.at(path))
            .map_err(|error| ToolError::Failed { program: "rpm2archive", why: error.to_string() })?;
        let archive = self.tools.run(&Invocation::new("rpm2archive", ["-"]).with_input(package))?;
        if !archive.ok() {
            return Ok(archive);
        }
        let dir = self.host.path_in_host(root).into_os_string();
        let args = ["-xzf".into(), "-".into(), "--no-same-owner".into(), "-C".into(), dir];
        self.tools.run(&Invocation::new("tar", args).with_input(archive.stdout))
    }

    fn by_rpm(&self, path: &Path, root: &Path) -> Result<Output, ToolError> {
        let (root, path) =
            (self.host.path_in_host(root).into_os_string(), self.host.path_in_host(path).into_os_string());
        let flags =
            ["--nodeps", "--noscripts", "--notriggers", "--nosignature", "--ignorearch", "-i"].map(OsString::from);
        let args = [OsString::from("--root"), root].into_iter().chain(flags).chain([path]);
        self.tools.run(&Invocation::new("rpm", args))
    }
}

/// Whether a package with this name, version, release and files is the one for this kernel and client. Dots, dashes and
/// underscores are one, since versions of rpm packages hold no dash.
fn is_for(text: &str, kernel: &str, client: &str) -> bool {
    let plain = |text: &str| text.replace(['-', '_'], ".");
    let mut lines = text.lines();
    let name = lines.next().unwrap_or_default();
    let modules = format!("/lib/modules/{kernel}/");
    name.starts_with(KMOD) && plain(name).contains(&plain(client)) && lines.any(|file| file.contains(&modules))
}

/// Whether `rpmkeys -Kv` shows at least one good signature and no bad one. A package without any passes as "digests OK".
fn is_signed(text: &str) -> bool {
    let signatures: Vec<&str> = text.lines().filter(|line| line.to_lowercase().contains("signature")).collect();
    let good = |line: &&str| line.to_lowercase().contains("key id") && line.trim_end().ends_with(": OK");
    !signatures.is_empty() && signatures.iter().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_recognised_by_client_and_kernel() {
        let text = "kmod-lustre-client-2.17.0_24_gf517bc4-6.6.119.3-1\n/lib/modules/6.6.119.3-1.azl3/extra/lnet.ko\n";
        assert!(is_for(text, "6.6.119.3-1.azl3", "2.17.0-24-gf517bc4"));
        assert!(!is_for(text, "6.6.119.3-1.azl3", "2.17.0-19-gbb5310f"));
        assert!(!is_for(text, "6.6.119.3", "2.17.0-24-gf517bc4"));
        assert!(!is_for(&text.replace("kmod-", ""), "6.6.119.3-1.azl3", "2.17.0-24-gf517bc4"));
        assert!(!is_for("", "k", "v"));
    }

    #[test]
    fn only_a_good_signature_counts() {
        let ok = "x.rpm:\n    Header V4 RSA/SHA256 Signature, key ID be1229cf: OK\n    Header SHA256 digest: OK\n    MD5 digest: OK\n";
        assert!(is_signed(ok));
        for text in [
            "",
            "x.rpm:\n    Header SHA256 digest: OK\n    MD5 digest: OK\n",
            &ok.replace("be1229cf: OK", "be1229cf: NOKEY"),
            &ok.replace("be1229cf: OK", "be1229cf: BAD"),
            &format!("{ok}    V4 RSA/SHA256 Signature, key ID be1229cf: BAD\n"),
        ] {
            assert!(!is_signed(text), "{text}");
        }
    }
}
